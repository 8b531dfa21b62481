"""Criteria of the training loop."""

from torch import Tensor

from hdnn_nnet.nn.loss import SoftmaxCrossEntropy


class CrossEntropy:
    """Cross-entropy with one pdf-id per frame (targets: one int64 tensor (N,))."""

    def __call__(self, logits: Tensor, targets: tuple[Tensor, ...]) -> tuple[Tensor, Tensor]:
        return SoftmaxCrossEntropy.apply(logits, targets[0])
