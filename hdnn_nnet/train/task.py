"""What a frame-level training reads: features and pdf-ids of training and cross-validation data."""

import functools
import zlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from hdnn_nnet.errors import HdnnError
from hdnn_nnet.feats.reader import FeatureReader
from hdnn_nnet.kaldi.alignments import read_pdf_alignments
from hdnn_nnet.kaldi.transitions import TransitionModel
from hdnn_nnet.train.dataset import usable_utterances


class FeatureSource:
    """Features of several data directories as one: `source[utterance]` is float32 (T, D)."""

    def __init__(self, data_dirs: Sequence[str], cmvn_opts: str, delta_opts: str) -> None:
        self.readers = [FeatureReader(d, cmvn_opts, delta_opts) for d in data_dirs]
        self.dim = self.readers[0].dim
        self._reader: dict[str, FeatureReader] = {}
        for reader in self.readers:
            if reader.dim != self.dim:
                raise HdnnError(
                    f"{reader.data_dir} has {reader.dim} features a frame, {self.readers[0].data_dir} {self.dim}; "
                    "extract both with the same settings"
                )
            shared = self._reader.keys() & set(reader.utts)
            if shared:
                raise HdnnError(
                    f"{reader.data_dir}: utterance {min(shared)} is also in another data directory; remove one"
                )
            self._reader |= dict.fromkeys(reader.utts, reader)

    def __contains__(self, utt: str) -> bool:
        return utt in self._reader

    def __getitem__(self, utt: str) -> np.ndarray:
        if utt not in self._reader:
            raise HdnnError(f"{self.readers[0].table.path}: utterance {utt} is missing")
        return self._reader[utt][utt]

    def num_frames(self) -> dict[str, int]:
        return {utt: frames for reader in self.readers for utt, frames in reader.num_frames.items()}

    def digest(self, utts: Iterable[str]) -> int:
        """Checksum of the features of some twenty of the utterances, normalised as in training."""
        names = list(utts)
        return functools.reduce(lambda c, u: zlib.crc32(self[u].tobytes(), c), names[:: max(1, len(names) // 20)], 0)


@dataclass
class Part:
    """Training or cross-validation data.

    Attributes:
        features: of all its data directories.
        labels: utterance -> pdf-ids (T,) int32; only of labelled utterances.
        frames: usable utterance -> frames, labelled ones first.
    """

    features: FeatureSource
    labels: Mapping[str, np.ndarray]
    frames: dict[str, int]

    def digest(self) -> int:
        """Checksum of the usable utterances, in order, and their pdf-ids."""
        checksum = 0
        for utt in self.frames:
            checksum = zlib.crc32(utt.encode(), checksum)
            if utt in self.labels:
                checksum = zlib.crc32(np.ascontiguousarray(self.labels[utt]).tobytes(), checksum)
        return checksum


@dataclass
class Task:
    """Both parts, and the frames of every pdf in all alignments (of utterances with and without features)."""

    train: Part
    cv: Part
    counts: np.ndarray

    @property
    def num_pdfs(self) -> int:
        return len(self.counts)


def read_task(
    data_train: str,
    data_cv: str,
    ali_train: str,
    ali_cv: str,
    cmvn_opts: str,
    delta_opts: str,
    unlabelled: Sequence[str] = (),
) -> Task:
    """Read alignments and check them against the features.

    Args:
        data_train, data_cv: data directories; no utterance may be in both.
        ali_train, ali_cv: alignment directories; may be the same.
        unlabelled: data directories that add utterances without labels to the training part.

    Raises:
        HdnnError: missing or unreadable input, or alignments that do not fit the features.
    """
    transitions = TransitionModel.read(Path(ali_train) / "final.mdl")
    counts = np.zeros(transitions.num_pdfs, dtype=np.int64)
    labels: dict[str, np.ndarray] = {}
    parts: dict[str, Part] = {}
    for name, data, ali, more in (("train", data_train, ali_train, unlabelled), ("cv", data_cv, ali_cv, ())):
        features = FeatureSource([data, *more], cmvn_opts, delta_opts)
        if name == "train" or Path(ali).resolve() != Path(ali_train).resolve():
            labels = read_pdf_alignments(ali, transitions)
            for pdfs in labels.values():
                counts += np.bincount(pdfs, minlength=transitions.num_pdfs)
        frames = usable_utterances(features.readers[0], {utt: len(pdfs) for utt, pdfs in labels.items()}, ali)
        used = {utt: labels[utt] for utt in frames}
        for reader in features.readers[1:]:
            frames |= {utt: length for utt, length in reader.num_frames.items() if length}
        parts[name] = Part(features, used, frames)
    shared = parts["train"].frames.keys() & parts["cv"].frames.keys()
    if shared:
        raise HdnnError(f"{len(shared)} utterances are in both {data_train} and {data_cv}; split by speaker")
    return Task(parts["train"], parts["cv"], counts)
