"""Features as a GMM system takes them: normalised, with deltas or spliced and projected, adapted to speakers.

What Kaldi's scripts build as pipes, apply-cmvn | add-deltas or apply-cmvn | splice-feats | transform-feats final.mat, and
then transform-feats trans.JOB by speaker.
"""

import copy
import os
import re
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from hdnn_nnet.errors import HdnnError
from hdnn_nnet.feats.affine import apply_transform, compose_transforms, read_matrix_file, read_transforms
from hdnn_nnet.feats.reader import FeatureReader
from hdnn_nnet.feats.transforms import Splice
from hdnn_nnet.gmm.options import DEFAULT_CMVN, DEFAULT_DELTAS
from hdnn_nnet.kaldi.text_file import read_word


class GmmFeatures(FeatureReader):
    """Features of a data directory by utterance: `features[utterance]` is float32 of shape (T, D).

    Args:
        data_dir, cmvn_opts, delta_opts, root: as for FeatureReader; no `delta_opts` where frames are spliced.
        splice: None for delta features.
        matrix: (D, spliced dimensions) of LDA or LDA and MLLT; None leaves the spliced features as they are.
        transforms: speaker -> (D, D + 1); None: not adapted.

    Raises (also while reading):
        HdnnError: as FeatureReader; a speaker without transform; matrices that do not fit.
    """

    def __init__(
        self,
        data_dir: str | os.PathLike[str],
        cmvn_opts: str = "",
        delta_opts: str = "",
        splice: Splice | None = None,
        matrix: np.ndarray | None = None,
        transforms: Mapping[str, np.ndarray] | None = None,
        root: str | os.PathLike[str] | None = None,
    ) -> None:
        super().__init__(data_dir, cmvn_opts, delta_opts, root)
        self.splice = splice
        self.matrix = matrix
        self.transforms = transforms
        self._check_matrix()
        missing = [s for s in dict.fromkeys(self.utt2spk.values()) if transforms is not None and s not in transforms]
        if missing:
            raise HdnnError(
                f"{self.data_dir}: {len(missing)} speakers have no transform, such as {missing[0]}; "
                "are the transforms those of this data directory?"
            )

    def _check_matrix(self) -> None:
        if self.matrix is not None and self.matrix.shape[1] not in (self._wide, self._wide + 1):
            raise HdnnError(
                f"{self.data_dir}: {self._wide} dimensions after splicing, the transform has {self.matrix.shape[1]} "
                "columns; splice_opts and final.mat are not those of these features"
            )

    @property
    def _wide(self) -> int:
        return super().dim * (self.splice.width if self.splice is not None else 1)

    @property
    def dim(self) -> int:  # type: ignore[override]  # follows the matrix
        """Columns of the features as delivered."""
        return self.matrix.shape[0] if self.matrix is not None else self._wide

    def with_matrix(self, matrix: np.ndarray | None) -> "GmmFeatures":
        """The same features by another LDA or MLLT matrix."""
        changed = copy.copy(self)
        changed.matrix = matrix
        changed._check_matrix()
        return changed

    def with_transforms(self, transforms: Mapping[str, np.ndarray] | None) -> "GmmFeatures":
        """The same features by other speaker transforms; None: speaker-independent. Not all speakers need have one."""
        changed = copy.copy(self)
        changed.transforms = transforms
        return changed

    def adapt(self, utterance: str, features: np.ndarray) -> np.ndarray:
        """Speaker-independent features (T, D) of an utterance by its speaker's transform."""
        if self.transforms is None:
            return features
        speaker = self.utt2spk[utterance]
        if speaker not in self.transforms:
            raise HdnnError(
                f"{self.data_dir}: speaker {speaker} of utterance {utterance} has no transform; estimate it"
            )
        return apply_transform(self.transforms[speaker], features, f"transform of speaker {speaker}")

    def independent(self, utterance: str) -> np.ndarray:
        """Without the speaker's transform."""
        features = super().__getitem__(utterance)
        if self.splice is not None:
            features = self.splice.apply(features)
        return features if self.matrix is None else apply_transform(self.matrix, features, f"{self.data_dir}: LDA")

    def __getitem__(self, utterance: str) -> np.ndarray:
        return self.adapt(utterance, self.independent(utterance))


def read_option_file(path: Path, default: str) -> str:
    """Content of `cmvn_opts` or `delta_opts`; empty or missing, what Kaldi's scripts take."""
    return (read_word(path) if path.exists() else "") or default


def transform_files(directory: Path) -> list[Path]:
    """`trans.1`, `trans.2` ... of a directory, by number; empty if there are none."""
    named = [(re.fullmatch(r"trans\.(\d+)", path.name), path) for path in directory.glob("trans.*")]
    return [path for _, path in sorted((int(match[1]), path) for match, path in named if match)]


def read_speaker_transforms(directory: Path) -> dict[str, np.ndarray]:
    """All transforms of a directory: speaker -> (D, D + 1).

    Raises:
        HdnnError: no transforms there.
    """
    files = transform_files(directory)
    if not files:
        raise HdnnError(f"{directory} has no trans.1; estimate transforms there first")
    transforms: dict[str, np.ndarray] = {}
    for path in files:
        transforms |= read_transforms(path)
    return transforms


def compose_speakers(after: Mapping[str, np.ndarray], before: Mapping[str, np.ndarray] | None) -> dict[str, np.ndarray]:
    """Speaker transforms that do first those of `before`, then those of `after`; a speaker may lack either."""
    composed = dict(before or {})
    for speaker, matrix in after.items():
        first = composed.get(speaker)
        composed[speaker] = matrix if first is None else compose_transforms(matrix, first, before_is_affine=True)
    return composed


def open_features(
    data_dir: Path, gmm_dir: Path, root: Path | str | None = None, transforms: Mapping[str, np.ndarray] | None = None
) -> GmmFeatures:
    """The features that the system in `gmm_dir` expects: LDA features if it has a `final.mat`, else deltas."""
    cmvn = read_option_file(gmm_dir / "cmvn_opts", DEFAULT_CMVN)
    if not (gmm_dir / "final.mat").exists():
        deltas = read_option_file(gmm_dir / "delta_opts", DEFAULT_DELTAS)
        return GmmFeatures(data_dir, cmvn, deltas, transforms=transforms, root=root)
    splice = Splice.parse(read_option_file(gmm_dir / "splice_opts", ""))
    return GmmFeatures(data_dir, cmvn, "", splice, read_matrix_file(gmm_dir / "final.mat"), transforms, root)
