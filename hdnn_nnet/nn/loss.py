"""Frame-level criteria."""

from typing import Any

import torch
from torch import Tensor


class SoftmaxCrossEntropy(torch.autograd.Function):
    """Sum over frames of -log softmax(logits)[target]; `apply(logits, targets)`.

    logits: (N, S) float; targets: (N,) int64. The posteriors are kept instead of the log-posteriors, so that the backward
    pass needs no exponential: the gradient is posteriors minus one-hot targets.
    """

    @staticmethod
    def forward(ctx: Any, logits: Tensor, targets: Tensor) -> Tensor:
        highest = logits.max(1, keepdim=True).values
        posteriors = (logits - highest).exp_()
        total = posteriors.sum(1, keepdim=True)
        chosen = logits.gather(1, targets[:, None])
        posteriors /= total
        ctx.save_for_backward(posteriors, targets)
        return (total.log() + highest - chosen).sum()

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        posteriors, targets = ctx.saved_tensors
        d_logits = posteriors.scatter_add(1, targets[:, None], posteriors.new_full((targets.shape[0], 1), -1.0))
        scale = gradients[0]
        return (d_logits if scale == 1 else d_logits * scale), None
