"""sMBR, MPFE and (boosted) MMI as Kaldi's nnet-train-mpe-sequential and nnet-train-mmi-sequential compute them.

With s[t, j] = acoustic_scale * loglike[t, j], the gradient G is the derivative of the objective by s, as in Kaldi: it does
NOT contain the acoustic scale, so that a learning rate means the same here and there. Row sums of G are 0, so the gradient
by the log-likelihoods, by log-posteriors and by logits is the same.
"""

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor

from hdnn_nnet.errors import HdnnError
from hdnn_nnet.sequence.batch import ArcBatch
from hdnn_nnet.sequence.forward_backward.engines import get_engine
from hdnn_nnet.sequence.options import SequenceOptions

# Below it Kaldi takes the reference for missing in the lattice.
_NO_OCCUPANCY = 1e-20


@dataclass
class SequenceResult:
    """Values of a batch.

    Attributes:
        objective: (utterances,) float64. sMBR and MPFE: expected number of right frames. MMI: scaled log-likelihood of the
            reference minus `log_total`; the reference's graph score, a constant, is left out as in Kaldi.
        frames: (utterances,) int64.
        log_total: (utterances,) float64 log of the summed scores of all paths.
        gradient: (frames, pdfs), the type of the log-likelihoods: G.
        dropped: (utterances,) int64 frames without gradient (MMI), else 0.
        reference_posterior: (utterances,) float64 occupancies of the reference's pdfs, summed over frames (MMI), else 0.
    """

    objective: Tensor
    frames: Tensor
    log_total: Tensor
    gradient: Tensor
    dropped: Tensor
    reference_posterior: Tensor


def arc_scores(
    batch: ArcBatch,
    loglikes: Tensor | None,
    acoustic_scale: float = 1.0,
    lm_scale: float = 1.0,
    old_acoustic_scale: float = 1.0,
) -> Tensor:
    """(arcs,) float64 log scores: acoustic_scale * (log-likelihoods - old_acoustic_scale * acoustic) - lm_scale * graph.

    `acoustic` and `graph` are the lattice's costs.

    Args:
        loglikes: (frames, pdfs); without them the lattice's own acoustic costs are all there is.

    Raises:
        HdnnError: log-likelihoods of another shape, or not finite where the lattices use them.
    """
    scores = -lm_scale * batch.graph - acoustic_scale * old_acoustic_scale * batch.acoustic
    if loglikes is None:
        return scores
    if loglikes.shape != (batch.num_frames, batch.num_pdfs):
        raise HdnnError(
            f"{', '.join(batch.names)}: the log-likelihoods have {loglikes.shape[0]} frames of {loglikes.shape[1]} pdfs, "
            f"the lattices {batch.num_frames} of {batch.num_pdfs}; take lattices of the same data and the same tree"
        )
    used = loglikes.detach()[batch.cell_row, batch.cell_pdf].double()
    if not torch.isfinite(used).all():
        row = int(batch.cell_row[~torch.isfinite(used)][0])
        utterance = int(batch.frame_utterance[row])
        frame = row - int(batch.frame_offsets[utterance])
        raise HdnnError(
            f"{batch.names[utterance]}: a log-likelihood of frame {frame} is not finite; the network diverged"
        )
    return scores + acoustic_scale * batch.entry_sum(used[batch.cell])


@lru_cache(maxsize=8)
def _on_device(numbers: tuple[int, ...], dtype: torch.dtype, device: torch.device) -> Tensor:
    return torch.tensor(numbers, dtype=dtype, device=device)


def _is_silence(phones: Tensor, silence: tuple[int, ...]) -> Tensor:
    return torch.isin(phones, _on_device(silence, phones.dtype, phones.device))


def frame_accuracy(batch: ArcBatch, options: SequenceOptions) -> Tensor:
    """(entries,) bool: the frame of the arc counts as right (Kaldi's LatticeForwardBackwardMpeVariants)."""
    silent = _is_silence(batch.phone, options.silence_phones)
    if options.criterion == "mpfe":
        same = batch.phone == batch.reference_phone[batch.row]
    else:
        same = batch.pdf == batch.reference_pdf[batch.row]
    if not options.one_silence_class:
        return same & ~silent
    return same | (silent & _is_silence(batch.reference_phone, options.silence_phones)[batch.row])


def frame_error(batch: ArcBatch, options: SequenceOptions) -> Tensor:
    """(entries,) float64 phone error of boosted MMI (Kaldi's LatticeBoost)."""
    wrong = (batch.phone != batch.reference_phone[batch.row]).double()
    return torch.where(_is_silence(batch.phone, options.silence_phones), wrong * options.max_silence_error, wrong)


@torch.no_grad()
def evaluate(loglikes: Tensor, batch: ArcBatch, options: SequenceOptions) -> SequenceResult:
    """Objective and gradient G of a batch.

    Args:
        loglikes: (frames, pdfs) log-posterior or logit, minus log-prior; not scaled. All utterances, in the batch's order.

    Raises:
        HdnnError: shapes that disagree, a value that is not finite, a batch without alignments, or a missing engine.
    """
    if len(batch.reference_pdf) != batch.num_frames:
        raise HdnnError(f"{batch.names[0]}: the batch was made without alignments")
    engine = get_engine(options.engine)
    scores = arc_scores(batch, loglikes, options.acoustic_scale, options.lm_scale, options.old_acoustic_scale)
    frames = torch.from_numpy(batch.frame_offsets[1:] - batch.frame_offsets[:-1])
    gradient = torch.zeros_like(loglikes)
    nothing = torch.zeros(batch.num_utterances, dtype=torch.float64, device=loglikes.device)
    if options.criterion != "mmi":
        found = engine(batch, scores, batch.entry_sum(frame_accuracy(batch, options)))
        assert found.expected is not None
        assert found.gain is not None
        gradient[batch.cell_row, batch.cell_pdf] = batch.cell_sum(found.gain).to(gradient.dtype)
        return SequenceResult(found.expected, frames, found.log_total, gradient, nothing.long(), nothing)

    if options.boost:
        scores = scores + options.lm_scale * options.boost * batch.entry_sum(frame_error(batch, options))
    found = engine(batch, scores, None)
    rows = torch.arange(batch.num_frames, device=loglikes.device)
    reference = options.acoustic_scale * loglikes[rows, batch.reference_pdf].double()
    gradient[batch.cell_row, batch.cell_pdf] = -batch.cell_sum(found.occupancy).to(gradient.dtype)
    posterior = -gradient[rows, batch.reference_pdf].double()
    gradient[rows, batch.reference_pdf] += 1.0
    missing = posterior < _NO_OCCUPANCY
    if options.drop_frames:
        gradient[missing] = 0.0

    def by_utterance(values: Tensor) -> Tensor:
        return nothing.index_add(0, batch.frame_utterance, values.double())

    return SequenceResult(
        objective=by_utterance(reference) - found.log_total,
        frames=frames,
        log_total=found.log_total,
        gradient=gradient,
        dropped=by_utterance(missing).long() if options.drop_frames else nothing.long(),
        reference_posterior=by_utterance(posterior),
    )


class _SequenceLoss(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, loglikes: Tensor, result: SequenceResult) -> Tensor:
        ctx.save_for_backward(result.gradient)
        return -result.objective.sum()

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        (gradient,) = ctx.saved_tensors
        return gradient * -gradients[0].to(gradient.dtype), None


def sequence_loss(loglikes: Tensor, batch: ArcBatch, options: SequenceOptions) -> tuple[Tensor, SequenceResult]:
    """Minus the objective, summed over utterances (float64 scalar), and the values behind it.

    `loss.backward()` puts -G at `loglikes` and so Kaldi's error signal at the logits. That is 1 / acoustic_scale times the
    true derivative of the loss: see the module's text.
    """
    result = evaluate(loglikes, batch, options)
    loss: Tensor = _SequenceLoss.apply(loglikes, result)
    return loss, result
