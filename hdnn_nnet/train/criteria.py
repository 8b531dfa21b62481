"""Criteria of the training loop."""

import torch
from torch import Tensor

from hdnn_nnet.nn.loss import SoftmaxCrossEntropy


class CrossEntropy:
    """Cross-entropy with one pdf-id per frame (targets: one int64 tensor (N,))."""

    def loss(self, logits: Tensor, targets: tuple[Tensor, ...]) -> Tensor:
        return SoftmaxCrossEntropy.apply(logits, targets[0])

    def correct(self, logits: Tensor, targets: tuple[Tensor, ...]) -> Tensor:
        return (logits.argmax(1) == targets[0]).sum(dtype=torch.float64)
