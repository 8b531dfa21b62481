"""What a frame-level training reads: features and pdf-ids of training and cross-validation data."""

import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from hdnn_nnet.errors import HdnnError
from hdnn_nnet.feats.description import require_same_features
from hdnn_nnet.feats.source import FeatureSource
from hdnn_nnet.kaldi.alignments import read_pdf_alignments
from hdnn_nnet.kaldi.transitions import TransitionModel
from hdnn_nnet.train.dataset import usable_utterances


@dataclass
class LabelledData:
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
class TrainingData:
    """Data for training and cross-validation, and the frames of each pdf in all alignments (also of unused utterances)."""

    train: LabelledData
    cv: LabelledData
    counts: np.ndarray

    @property
    def num_pdfs(self) -> int:
        return len(self.counts)


def read_training_data(
    data_train: str,
    data_cv: str,
    ali_train: str,
    ali_cv: str,
    cmvn_opts: str,
    delta_opts: str,
    unlabelled: Sequence[str] = (),
) -> TrainingData:
    """Read alignments and check them against the features.

    Args:
        data_train, data_cv: data directories; no utterance may be in both.
        ali_train, ali_cv: alignment directories; may be the same.
        unlabelled: data directories that add utterances without labels to the training part.

    Raises:
        HdnnError: missing or unreadable input, or alignments that do not fit the features.
    """
    require_same_features(data_train, data_cv)
    transitions = TransitionModel.read(Path(ali_train) / "final.mdl")
    counts = np.zeros(transitions.num_pdfs, dtype=np.int64)
    labels: dict[str, np.ndarray] = {}
    parts: dict[str, LabelledData] = {}
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
        parts[name] = LabelledData(features, used, frames)
    shared = parts["train"].frames.keys() & parts["cv"].frames.keys()
    if shared:
        raise HdnnError(f"{len(shared)} utterances are in both {data_train} and {data_cv}; split by speaker")
    return TrainingData(parts["train"], parts["cv"], counts)
