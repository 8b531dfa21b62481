"""Criteria of the training loop, and the targets that they take."""

from collections.abc import Callable, Sequence
from typing import Any, Protocol

import numpy as np
from torch import Tensor
from torch.nn import functional

from hdnn_nnet.nn.distillation import Distillation, SoftLabels
from hdnn_nnet.nn.losses import SoftmaxCrossEntropy
from hdnn_nnet.train.data import LabelledData
from hdnn_nnet.train.frames import TargetsOf


class Criterion(Protocol):
    """A loss that is a sum over frames."""

    def __call__(self, logits: Tensor, targets: Sequence[Any]) -> tuple[Tensor, Tensor]:
        """Two scalars: the differentiable sum over the N frames of a minibatch, and how many frames are classified right."""


def pdf_targets(data: LabelledData) -> TargetsOf:
    """Targets of CrossEntropy."""
    return lambda utt: (data.labels[utt].astype(np.int64),)


class CrossEntropy:
    """Cross-entropy with one pdf-id per frame (targets: one int64 tensor (N,))."""

    def __call__(self, logits: Tensor, targets: Sequence[Any]) -> tuple[Tensor, Tensor]:
        return SoftmaxCrossEntropy.apply(logits, targets[0])


class WeightedCrossEntropy:
    """Cross-entropy with a weight for every frame (targets: int64 (N,), float (N,)).

    The loss is the weighted sum; frames classified right count their weight as well.
    """

    def __call__(self, logits: Tensor, targets: Sequence[Any]) -> tuple[Tensor, Tensor]:
        labels, weights = targets
        losses = functional.cross_entropy(logits, labels, reduction="none")
        # A product, not a choice of rows: a GPU would have to tell how many there are.
        return losses @ weights, (weights * (logits.argmax(1) == labels)).sum()


class KnowledgeDistillation:
    """Divergence from a teacher, plus hard_weight times cross-entropy; see hdnn_nnet.nn.distillation.

    Targets: pdf-ids (N,) int64, negative where a frame has none, then what `soft` turns into soft labels.
    """

    def __init__(
        self,
        soft: Callable[[Sequence[Any]], SoftLabels | Tensor],
        hard_weight: float = 0.0,
        temperature: float = 1.0,
        factor: float = 1.0,
    ) -> None:
        self.soft, self.hard_weight, self.temperature, self.factor = soft, hard_weight, temperature, factor

    def __call__(self, logits: Tensor, targets: Sequence[Any]) -> tuple[Tensor, Tensor]:
        labels, *values = targets
        return Distillation.apply(logits, self.soft(values), labels, self.hard_weight, self.temperature, self.factor)
