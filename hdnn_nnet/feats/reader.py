"""Features of a Kaldi data directory, by utterance, normalised and with deltas, without Kaldi."""

import os
from collections.abc import Iterator, Mapping
from functools import cached_property
from pathlib import Path

import numpy as np

from hdnn_nnet.errors import HdnnError
from hdnn_nnet.feats.description import frame_rate
from hdnn_nnet.feats.frame_rate import read_counts, remedy, require_fit
from hdnn_nnet.feats.normaliser import Normaliser
from hdnn_nnet.feats.transforms import Cmvn, Deltas
from hdnn_nnet.kaldi.accounting import announced_utterances
from hdnn_nnet.kaldi.data_dir import ALIGNED_FRAMES
from hdnn_nnet.kaldi.matrix_table import MatrixTable
from hdnn_nnet.kaldi.script_table import read_scp
from hdnn_nnet.progress import counted


class FeatureReader:
    """Features of a data directory: `reader[utterance]` is float32 of shape (T, D).

    Args:
        data_dir: with feats.scp, and where needed utt2spk and cmvn.scp; utt2num_frames is used if it is there.
        cmvn_opts: options of apply-cmvn, such as `--norm-means=true --norm-vars=false`; empty: no normalisation.
        delta_opts: options of add-deltas, such as `--delta-order=2`; empty: no deltas.
        root: where to look for relative scp paths that do not exist from the current directory.

    Attributes:
        utts: utterances in the order of feats.scp.
        rate: of its rows, which are repeated to frames of 10 ms.
        utt2spk: utterance -> speaker (the utterance itself where there is no utt2spk file).

    Raises (also while reading):
        HdnnError: names file and key of what is missing, truncated, of zero frames, or not finite.
    """

    def __init__(
        self,
        data_dir: str | os.PathLike[str],
        cmvn_opts: str = "",
        delta_opts: str = "",
        root: str | os.PathLike[str] | None = None,
    ) -> None:
        self.data_dir = Path(data_dir)
        self.cmvn = Cmvn.parse(cmvn_opts)
        self.deltas = Deltas.parse(delta_opts)
        self.table = MatrixTable(self.data_dir / "feats.scp", root)
        self.utts = list(self.table.lines)
        self.rate = frame_rate(self.data_dir)
        if not self.utts:
            raise HdnnError(f"{self.table.path} is empty; extract the features")
        utt2spk = self.data_dir / "utt2spk"
        self.utt2spk = read_scp(utt2spk) if utt2spk.exists() else {utterance: utterance for utterance in self.utts}
        stats: MatrixTable | None = None
        if self.cmvn is not None:
            if not utt2spk.exists():
                raise HdnnError(f"{utt2spk} does not exist, but normalisation by speaker was asked for")
            for utterance in self.utts:
                if utterance not in self.utt2spk:
                    raise HdnnError(f"{utt2spk}: utterance {utterance} is missing; run fix_data_dir.sh")
            stats = MatrixTable(self.data_dir / "cmvn.scp", root)
        self._normalise = Normaliser(self.cmvn, self.deltas, stats, self.utt2spk)

    def __len__(self) -> int:
        return len(self.utts)

    def __contains__(self, utterance: str) -> bool:
        return utterance in self.table.lines

    def __iter__(self) -> Iterator[tuple[str, np.ndarray]]:
        return counted(((utterance, self[utterance]) for utterance in self.utts), "utterances", len(self.utts))

    @cached_property
    def announced(self) -> list[str]:
        """Utterances that any table of the data directory names, also those without features."""
        return announced_utterances(self.data_dir)

    @cached_property
    def dim(self) -> int:
        """Columns of the features as delivered (deltas included)."""
        order = self.deltas.delta_order if self.deltas is not None else 0
        return self.table.shape(self.utts[0])[1] * (order + 1)

    @cached_property
    def num_rows(self) -> dict[str, int]:
        """Utterance -> rows in the archives, from utt2num_frames, else from their headers."""
        path = self.data_dir / "utt2num_frames"
        if not path.exists():
            return {utterance: self.table.shape(utterance)[0] for utterance in self.utts}
        return read_counts(path, self.utts)

    @cached_property
    def num_frames(self) -> dict[str, int]:
        """Utterance -> frames T as delivered."""
        if self.rate.same:
            return self.num_rows
        path = self.data_dir / ALIGNED_FRAMES
        if not path.exists():
            return {utterance: rows * self.rate.factor for utterance, rows in self.num_rows.items()}
        stated = read_counts(path, self.utts, least=1)
        for utterance, frames in stated.items():
            require_fit(self.rate, self.num_rows[utterance], frames, self.data_dir, utterance, str(path))
        return stated

    def fit(self, frames: Mapping[str, int]) -> None:
        """Take the lengths of alignments, labels or other features (utterance -> frames) where the tolerance allows it."""
        if not self.rate.same:
            for utterance in self.num_rows.keys() & frames.keys():
                if frames[utterance] and self.rate.fits(self.num_rows[utterance], frames[utterance]):
                    self.num_frames[utterance] = frames[utterance]

    def remedy(self, frames: Mapping[str, int]) -> str:
        """What to do where lengths (utterance -> frames) do not fit these features."""
        return remedy(self.data_dir, self.rate, self.num_rows, frames)

    def __getitem__(self, utterance: str) -> np.ndarray:
        features = self.table[utterance]
        if len(features) == 0:
            raise HdnnError(f"{self.table.path}: utterance {utterance} has no frames; remove it with fix_data_dir.sh")
        features = features.astype(np.float32, copy=False)
        if not np.isfinite(features).all():
            raise HdnnError(f"{self.table.path}: utterance {utterance} holds NaN or infinity; extract it again")
        if not self.rate.same:
            if len(features) != self.num_rows[utterance]:
                raise HdnnError(
                    f"{self.data_dir}/utt2num_frames: {self.num_rows[utterance]} rows of utterance {utterance}, its archive has "
                    f"{len(features)}; remove the file, it is out of date"
                )
            features = self.rate.expand(features, self.num_frames[utterance])
        features = self._normalise(utterance, features, self.table.path)
        return features if features.flags.writeable else features.copy()
