"""Frame-level criteria."""

from typing import Any

import torch
from torch import Tensor


def times_outer(gradient: Tensor, outer: Tensor) -> Tensor:
    """A loss's gradient by its logits times that of what the loss went into, a scalar that is 1 more often than not.

    On the CPU a look at the scalar saves a pass over the logits. A GPU multiplies sooner than it answers: to look is to wait
    until all that was started is done.
    """
    if gradient.device.type == "cpu" and outer == 1:
        return gradient
    return gradient * outer


class SoftmaxCrossEntropy(torch.autograd.Function):
    """`apply(logits, targets)` gives (sum over frames of -log softmax(logits)[target], frames where the target is the maximum).

    logits: (N, S) float; targets: (N,) int64. The second result carries no gradient. The gradient, posteriors minus one-hot
    targets, is made in the forward pass from the exponentials that the loss needs anyway: one pass over the logits for the
    maximum (which also gives the accuracy), one exponential, no copy.
    """

    @staticmethod
    def forward(ctx: Any, logits: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        highest, best = logits.max(1, keepdim=True)
        targets = targets[:, None]
        chosen = logits.gather(1, targets)
        gradient = (logits - highest).exp_()
        total = gradient.sum(1, keepdim=True)
        gradient /= total
        gradient.scatter_add_(1, targets, gradient.new_full(targets.shape, -1.0))
        ctx.save_for_backward(gradient)
        correct = (best == targets).sum()
        ctx.mark_non_differentiable(correct)
        return (total.log() + highest - chosen).sum(), correct

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        (gradient,) = ctx.saved_tensors
        return times_outer(gradient, gradients[0]), None
