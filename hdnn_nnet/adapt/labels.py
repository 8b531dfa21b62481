"""What the frames of a speaker are adapted to: first-pass hypotheses, a teacher's posteriors, or alignments of transcripts."""

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple, Protocol

import numpy as np

from hdnn_nnet.errors import HdnnError
from hdnn_nnet.feats.source import FeatureSource
from hdnn_nnet.kaldi.alignments import read_pdf_alignments
from hdnn_nnet.kaldi.posteriors import PosteriorTable
from hdnn_nnet.kaldi.transitions import TransitionModel
from hdnn_nnet.train.columns import Targets
from hdnn_nnet.train.criteria import Criterion, CrossEntropy, KnowledgeDistillation, WeightedCrossEntropy
from hdnn_nnet.train.soft_sources import SoftSource


class Labelled(NamedTuple):
    """Targets of one utterance of T frames.

    columns: what the criterion takes, each of T frames. weights: (T,) float32; frames of weight 0 are left out.
    """

    columns: tuple[Targets, ...]
    weights: np.ndarray


class Labels(Protocol):
    """Targets by utterance, and the criterion that they are for."""

    description: str
    criterion: Criterion

    def meet(self, features: FeatureSource) -> None:
        """Agree with the features on lengths, within their tolerances."""

    def get(self, utt: str) -> Labelled | None:
        """Targets of an utterance; None where there are none."""


class HardLabels:
    """Best paths of a first pass: one pdf a frame and, as its weight, how sure the lattice is of it.

    Args:
        table: posteriors with one pdf a frame (hdnn lattice labels).
        num_pdfs: of the network.
        min_confidence: frames below it are left out.
        weighted: frames count by their confidence; otherwise all that are left count 1.
        usable: (num_pdfs,) bool; frames of other pdfs are left out; None: all are usable.
    """

    def __init__(
        self,
        table: PosteriorTable,
        num_pdfs: int,
        min_confidence: float = 0.0,
        weighted: bool = False,
        usable: np.ndarray | None = None,
    ) -> None:
        self.table, self.num_pdfs = table, num_pdfs
        self.usable = np.ones(num_pdfs, bool) if usable is None else usable
        self.min_confidence, self.weighted = min_confidence, weighted
        self.criterion: Criterion = WeightedCrossEntropy() if weighted else CrossEntropy()
        self.description = "CE"

    def meet(self, features: FeatureSource) -> None:
        if not features.same_rate:
            features.fit({utt: self.table.num_frames(utt) for utt in self.table.lines})

    def get(self, utt: str) -> Labelled | None:
        if utt not in self.table.lines:
            return None
        entry = self.table[utt]
        if (np.diff(entry.offsets) != 1).any():
            raise HdnnError(f"{self.table.path}: utterance {utt} has not one pdf a frame; are these soft labels?")
        if len(entry) and entry.pdfs.max() >= self.num_pdfs:
            raise HdnnError(
                f"{self.table.path}: utterance {utt} has pdf {entry.pdfs.max()}, the network has {self.num_pdfs}; "
                "decode with a network of the same tree"
            )
        labels = entry.pdfs.astype(np.int64)
        kept = (entry.weights >= self.min_confidence) & self.usable[labels]
        if not self.weighted:
            return Labelled((labels,), kept.astype(np.float32))
        weights = np.where(kept, entry.weights, 0).astype(np.float32)
        return Labelled((labels, weights), weights)


class Supervised:
    """Alignments of the true transcripts: the upper bound, or adaptation with enrolment data.

    Args:
        usable: as for HardLabels.
    """

    def __init__(self, ali_dir: str, num_pdfs: int, usable: np.ndarray | None = None) -> None:
        self.usable = np.ones(num_pdfs, bool) if usable is None else usable
        transitions = TransitionModel.read(Path(ali_dir) / "final.mdl")
        if transitions.num_pdfs != num_pdfs:
            raise HdnnError(
                f"{ali_dir}/final.mdl has {transitions.num_pdfs} pdfs, the network {num_pdfs}; "
                "align with a network of the same tree"
            )
        self.alignments: Mapping[str, np.ndarray] = read_pdf_alignments(ali_dir, transitions)
        self.criterion: Criterion = CrossEntropy()
        self.description = "CE, supervised"

    def meet(self, features: FeatureSource) -> None:
        features.fit({utt: len(labels) for utt, labels in self.alignments.items()})

    def get(self, utt: str) -> Labelled | None:
        labels = self.alignments.get(utt)
        return None if labels is None else Labelled((labels.astype(np.int64),), self.usable[labels].astype(np.float32))


class SoftTargets:
    """A teacher's posteriors, stored or computed once for every utterance."""

    def __init__(self, source: SoftSource) -> None:
        self.source = source
        self.criterion: Criterion = KnowledgeDistillation(lambda values: values[0], 0.0, source.temperature)
        self.description = "KD" if source.temperature == 1.0 else f"KD T={source.temperature:g}"

    def meet(self, features: FeatureSource) -> None:
        features.fit(self.source.num_frames)
        self.source.fit(features.num_frames())

    def get(self, utt: str) -> Labelled | None:
        if utt not in self.source.num_frames:
            return None
        soft = self.source.utterance(utt)
        # The criterion's hard labels: no frame has one.
        return Labelled((np.full(len(soft), -1, np.int64), soft), np.ones(len(soft), np.float32))
