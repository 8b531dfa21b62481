"""The distillation criterion (Lu, Guo, Renals 2017, section 3): soft labels of a teacher, with or without hard labels."""

from typing import Any, NamedTuple

import torch
from torch import Tensor

from hdnn_nnet.nn.losses import times_outer


class SoftLabels(NamedTuple):
    """Sparse soft labels of N frames: entry i gives `weights[i]` to pdf `pdfs[i]` in frame `rows[i]`.

    rows, pdfs: (entries,) int64; weights: (entries,) float, positive, summing to 1 in each frame; best: (N,) int64, the
    pdf of most weight.
    """

    rows: Tensor
    pdfs: Tensor
    weights: Tensor
    best: Tensor


class Distillation(torch.autograd.Function):
    """`apply(logits, soft, labels, hard_weight, temperature, factor)` gives (loss, correct), two sums over N frames.

    loss = factor * sum_j yt_j (log yt_j - log y_j(T)) + hard_weight * (-log y_label(1)), where y(T) = softmax(logits / T).
    Subtracting the teacher's entropy does not change the gradient and leaves a value that goes to 0 as the student becomes the
    teacher; Kaldi's nnet1 subtracts it as well.

    - logits: (N, S) float.
    - soft: yt, the teacher's posteriors at temperature T: SoftLabels, or a dense (N, S) tensor.
    - labels: (N,) int64 pdf-ids, negative where a frame has none (it then has no hard term); None: no frame has.
    - hard_weight: the paper's q. factor: 1, or T^2 as some do to keep the gradient's size.

    `correct` counts the frames whose best pdf is the label, or the teacher's best where there is no label; it has no gradient.
    """

    @staticmethod
    def forward(
        ctx: Any,
        logits: Tensor,
        soft: SoftLabels | Tensor,
        labels: Tensor | None,
        hard_weight: float,
        temperature: float,
        factor: float,
    ) -> tuple[Tensor, Tensor]:
        highest, best = logits.max(1, keepdim=True)
        shifted = logits - highest
        tempered = shifted / temperature if temperature != 1.0 else shifted
        gradient = tempered.exp()
        total = gradient.sum(1, keepdim=True)
        hard = None  # (N, 1) weight of the hard term
        if labels is not None and hard_weight:
            hard = (labels >= 0).to(logits.dtype)[:, None] * hard_weight
        # The student's posteriors with the weight of all terms at this temperature; each frame's soft labels sum to 1.
        weight = factor / temperature
        gradient *= (weight if hard is None or temperature != 1.0 else weight + hard) / total
        if isinstance(soft, SoftLabels):
            flat = soft.rows * logits.shape[1] + soft.pdfs
            chosen = tempered.reshape(-1).index_select(0, flat).sub_(soft.weights.log())
            agreement = chosen.mul_(soft.weights).sum(dtype=torch.float64)
            gradient.view(-1).index_add_(0, flat, soft.weights, alpha=-weight)
            wanted = soft.best
        else:
            agreement = torch.xlogy(soft, soft).neg_().addcmul_(soft, tempered).sum(dtype=torch.float64)
            gradient.add_(soft, alpha=-weight)
            wanted = soft.argmax(1)
        loss = factor * (total.log().sum(dtype=torch.float64) - agreement)
        if labels is not None:
            wanted = torch.where(labels >= 0, labels, wanted)
        if labels is not None and hard is not None:
            if temperature != 1.0:
                posteriors = shifted.exp()
                total = posteriors.sum(1, keepdim=True)
                gradient.addcmul_(posteriors, hard / total)
            at = labels.clamp_min(0)[:, None]
            gradient.scatter_add_(1, at, -hard)
            loss = loss + (hard * (total.log() - shifted.gather(1, at))).sum(dtype=torch.float64)
        ctx.save_for_backward(gradient)
        correct = (best[:, 0] == wanted).sum()
        ctx.mark_non_differentiable(correct)
        return loss.to(logits.dtype), correct

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        (gradient,) = ctx.saved_tensors
        return times_outer(gradient, gradients[0]), None, None, None, None, None
