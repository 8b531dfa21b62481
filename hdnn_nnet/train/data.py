"""What a frame-level training reads: features and pdf-ids of training and cross-validation data."""

import logging
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from hdnn_nnet.errors import HdnnError
from hdnn_nnet.feats.description import require_same_features
from hdnn_nnet.feats.source import FeatureSource
from hdnn_nnet.kaldi.alignments import read_pdf_alignments
from hdnn_nnet.kaldi.copies import read_originals, stand_ins
from hdnn_nnet.kaldi.transitions import TransitionModel
from hdnn_nnet.ragged import Vectors
from hdnn_nnet.train.dataset import usable_utterances

log = logging.getLogger(__name__)


@dataclass
class LabelledData:
    """Training or cross-validation data.

    Attributes:
        features: of all its data directories.
        labels: utterance -> pdf-ids (T,) int32; only of labelled utterances.
        frames: usable utterance -> frames, labelled ones first.
        originals: utterance -> its original, where it is a copy (utt2uniq).
    """

    features: FeatureSource
    labels: Mapping[str, np.ndarray]
    frames: dict[str, int]
    originals: Mapping[str, str] = field(default_factory=dict)

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

    A copy of an utterance (utt2uniq) that is as long as its original has the original's alignment.

    Args:
        data_train, data_cv: data directories; no utterance may be in both, nor copies of the same one.
        ali_train, ali_cv: alignment directories; may be the same.
        unlabelled: data directories that add utterances without labels to the training part.

    Raises:
        HdnnError: missing or unreadable input, or alignments that do not fit the features.
    """
    require_same_features(data_train, data_cv)
    transitions = TransitionModel.read(Path(ali_train) / "final.mdl")
    counts = np.zeros(transitions.num_pdfs, dtype=np.int64)
    labels = Vectors(())
    parts: dict[str, LabelledData] = {}
    for name, data, ali, more in (("train", data_train, ali_train, unlabelled), ("cv", data_cv, ali_cv, ())):
        features = FeatureSource([data, *more], cmvn_opts, delta_opts)
        if name == "train" or Path(ali).resolve() != Path(ali_train).resolve():
            labels = read_pdf_alignments(ali, transitions)
            counts += labels.occurrences(transitions.num_pdfs)
        originals = read_originals(data, *more)
        lengths = labels.lengths()
        taken = stand_ins(features.readers[0].num_frames, lengths, originals)
        if taken:
            log.info("%s: %d copies have the alignments of their originals", data, len(taken))
        lengths |= {copy: lengths[utt] for copy, utt in taken.items()}
        frames = usable_utterances(features.readers[0], lengths, ali)
        used = labels.only(frames, taken)
        for reader in features.readers[1:]:
            frames |= {utt: length for utt, length in reader.num_frames.items() if length}
        parts[name] = LabelledData(features, used, frames, originals)
    heard, unheard = ({part.originals.get(utt, utt) for utt in part.frames} for part in parts.values())
    if shared := heard & unheard:
        raise HdnnError(
            f"{len(shared)} utterances, or copies of them, are in both {data_train} and {data_cv} ({min(shared)} ...); "
            "split by speaker (hdnn data split-tr-cv)"
        )
    return TrainingData(parts["train"], parts["cv"], counts)
