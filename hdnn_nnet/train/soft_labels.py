"""Soft labels: a teacher's posteriors, cut to the pdfs that matter and brought to a temperature.

A posterior p at temperature T is p_j^(1/T) / sum_k p_k^(1/T): the softmax of logits divided by T, as logits and log-posteriors
differ by a constant. So posteriors stored at T = 1 serve for every T, as long as the pdfs kept hold enough of the mass *at T*.
The mass of the n most probable pdfs falls as T rises. `sparsify` therefore keeps the fewest that hold the wanted share m at the
highest temperature asked for, and the share is at least m at every lower one. What is kept is scaled to sum to 1; the result
differs from the whole distribution by 2 (1 - m') in L1 norm, where m' >= m is the mass kept at the temperature in use, and the
loss gradient, (student - teacher) / T, is off by as much at most.
"""

import numpy as np
import torch
from torch import Tensor

from hdnn_nnet.kaldi.posteriors import SparsePosteriors
from hdnn_nnet.ragged import cumulative

#: number of most probable pdfs that are tried before all of them are sorted
_FIRST_TRIES = (32, 256)


def sparsify(log_posteriors: Tensor, mass: float, temperature: float = 1.0) -> tuple[SparsePosteriors, Tensor]:
    """Keep the fewest most probable pdfs that hold `mass` at `temperature`.

    Args:
        log_posteriors: (T, S) log-posteriors at temperature 1 (a constant per frame does not matter).
        mass: share to keep, above 0; 1 keeps everything that is not exactly 0.

    Returns:
        The posteriors at temperature 1 of the kept pdfs, most probable first in each frame, not renormalised; and (T,) float64,
        the mass that they hold at `temperature`.
    """
    frames, num_pdfs = log_posteriors.shape
    log_posteriors = torch.log_softmax(log_posteriors.double(), 1).float()
    tempered = torch.softmax(log_posteriors / temperature, 1)
    counts = torch.zeros(frames, dtype=torch.int64)
    kept_mass = torch.zeros(frames, dtype=torch.float64)
    todo = torch.arange(frames)
    found: list[tuple[Tensor, Tensor]] = []  # frames, and their pdfs by falling probability
    for tried in (*(k for k in _FIRST_TRIES if k < num_pdfs and mass < 1), num_pdfs):
        if tried < num_pdfs:
            values, order = tempered[todo].topk(tried, 1)
        else:
            values, order = tempered[todo].sort(dim=1, descending=True, stable=True)
        held = values.double().cumsum(1)
        # A sum of floats may end a little under 1.
        needed = (values > 0).sum(1) if mass >= 1 else (held < mass).sum(1) + 1
        enough = (needed <= tried) | (tried == num_pdfs)
        needed = needed.clamp_(1, tried)
        chosen = todo[enough]
        counts[chosen] = needed[enough]
        kept_mass[chosen] = held.gather(1, needed[:, None] - 1)[enough, 0]
        found.append((chosen, order[enough]))
        todo = todo[~enough]
        if not len(todo):
            break
    offsets = cumulative(counts.numpy())
    starts = torch.from_numpy(offsets[:-1])
    pdfs = torch.empty(int(offsets[-1]), dtype=torch.int64)
    for chosen, order in found:
        rank = torch.arange(order.shape[1])
        inside = rank < counts[chosen][:, None]
        pdfs[(starts[chosen][:, None] + rank)[inside]] = order[inside]
    rows = torch.repeat_interleave(torch.arange(frames), counts)
    weights = log_posteriors[rows, pdfs].exp()
    return SparsePosteriors(offsets, pdfs.int().numpy(), weights.numpy()), kept_mass


def temper(posteriors: SparsePosteriors, temperature: float) -> SparsePosteriors:
    """Posteriors at temperature 1 to those at `temperature`, scaled to sum to 1 in each frame; zeros are dropped.

    Every frame must have a positive weight.
    """
    offsets, pdfs, weights = posteriors.offsets, posteriors.pdfs, posteriors.weights
    kept = weights > 0
    if not kept.all():
        offsets = np.append(0, np.cumsum(kept))[offsets]
        pdfs, weights = pdfs[kept], weights[kept]
    if temperature != 1.0:
        # In logarithms: the power of a tiny posterior is still a number.
        weights = np.exp(np.log(weights) / np.float32(temperature))
    sums = np.add.reduceat(weights, offsets[:-1])
    return SparsePosteriors(offsets, pdfs, weights / np.repeat(sums, np.diff(offsets)))


def ensemble(log_posteriors: list[Tensor]) -> Tensor:
    """(T, S) log-posteriors of several teachers to those of their average (arithmetic, at temperature 1)."""
    if len(log_posteriors) == 1:
        return log_posteriors[0]
    return torch.logsumexp(torch.stack(log_posteriors), 0) - float(np.log(len(log_posteriors)))
