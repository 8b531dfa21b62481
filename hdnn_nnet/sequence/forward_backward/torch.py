"""Forward-backward over lattices in plain tensors, float64.

States advance by their level, the longest distance from the start in arcs. All arcs into one level, of all
utterances, are one step: their predecessors are complete.
"""

import warnings
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from hdnn_nnet.device.transfer import upload_all
from hdnn_nnet.sequence.batch import ArcBatch
from hdnn_nnet.sequence.forward_backward.result import Posteriors

# torch 1.13 calls it that; its maximum is all that is used here.
warnings.filterwarnings("ignore", message=r"scatter_reduce\(\) is in beta", category=UserWarning)


@dataclass
class _Sweep:
    """Tables of one direction. States are ranked by level, so that those of a level follow each other.

    Attributes:
        rank: (states,) place of every state.
        arc: (arcs,) arcs by the rank of the state that they enter.
        source: (arcs,) rank of the state that they leave.
        local: (arcs,) rank of the state that they enter, counted from the first of its level.
        arc_begin, state_begin: bounds of the levels.
    """

    rank: Tensor
    arc: Tensor
    source: Tensor
    local: Tensor
    arc_begin: list[int]
    state_begin: list[int]

    @classmethod
    def make(cls, source: Tensor, target: Tensor, level: Tensor) -> "_Sweep":
        order = torch.argsort(level, stable=True)
        rank = torch.empty_like(order)
        rank[order] = torch.arange(len(order), device=order.device)
        entered = rank[target]
        arc = torch.argsort(entered, stable=True)
        bounds = torch.arange(int(level.max()) + 2, device=level.device)
        state_begin = torch.searchsorted(level[order], bounds)
        arc_level = level[target][arc]
        return cls(
            rank=rank,
            arc=arc,
            source=rank[source][arc],
            local=entered[arc] - state_begin[arc_level],
            arc_begin=torch.searchsorted(arc_level, bounds).tolist(),
            state_begin=state_begin.tolist(),
        )

    def to(self, device: torch.device) -> "_Sweep":
        names = ("rank", "arc", "source", "local")
        there = upload_all([getattr(self, name) for name in names], device)
        moved: dict[str, Any] = dict(zip(names, there, strict=True))
        return replace(self, **moved)

    def run(self, scores: Tensor, accuracy: Tensor | None) -> tuple[Tensor, Tensor | None]:
        """(states,) log-sum of the scores of all partial paths to a state, and the mean of their accuracies.

        Every state of the first level is a start.
        """
        scores = scores[self.arc]
        total = torch.zeros(len(self.rank), dtype=scores.dtype, device=scores.device)
        mean = torch.zeros_like(total) if accuracy is not None else None
        gains = accuracy[self.arc] if accuracy is not None else None
        for level in range(1, len(self.arc_begin) - 1):
            begin, end = self.arc_begin[level], self.arc_begin[level + 1]
            first, last = self.state_begin[level], self.state_begin[level + 1]
            source, local = self.source[begin:end], self.local[begin:end]
            path = total[source] + scores[begin:end]
            if end - begin == last - first:  # one arc into every state
                total[first:last] = path
                if mean is not None and gains is not None:
                    mean[first:last] = mean[source] + gains[begin:end]
                continue
            highest = path.new_full((last - first,), -torch.inf).scatter_reduce_(0, local, path, "amax")
            weight = (path - highest[local]).exp_()
            norm = torch.zeros_like(highest).index_add_(0, local, weight)
            total[first:last] = highest + norm.log()
            if mean is not None and gains is not None:
                weighted = (mean[source] + gains[begin:end]) * weight
                mean[first:last] = torch.zeros_like(highest).index_add_(0, local, weighted) / norm
        return total[self.rank], mean[self.rank] if mean is not None else None


def _sweeps(batch: ArcBatch) -> tuple[_Sweep, _Sweep, Tensor]:
    """Forward, backward, and the (utterances,) last states."""
    if "torch" not in batch.engine_data:
        host: ArcBatch = batch.engine_data.get("host", batch)  # how many levels there are is asked there
        device, there = batch.state_level.device, host.state_level.device
        last = torch.from_numpy(host.state_offsets[1:] - 1).to(there)
        from_end = host.state_level[last][host.state_utterance] - host.state_level
        sweeps = (
            _Sweep.make(host.source, host.target, host.state_level),
            _Sweep.make(host.target, host.source, from_end),
        )
        if there != device:
            forward, backward = (sweep.to(device) for sweep in sweeps)
            batch.engine_data["torch"] = (forward, backward, *upload_all([last], device))
        else:
            batch.engine_data["torch"] = (*sweeps, last)
    return batch.engine_data["torch"]


@torch.no_grad()
def forward_backward(batch: ArcBatch, scores: Tensor, accuracy: Tensor | None = None) -> Posteriors:
    """An `engines.Engine`; needs no other package and runs on any device."""
    forward, backward, last = _sweeps(batch)
    scores = scores.double()
    alpha, alpha_mean = forward.run(scores, accuracy)
    beta, beta_mean = backward.run(scores, accuracy)
    log_total = alpha[last]
    occupancy = (alpha[batch.source] + scores + beta[batch.target] - log_total[batch.arc_utterance]).exp_()
    if accuracy is None or alpha_mean is None or beta_mean is None:
        return Posteriors(log_total, occupancy)
    expected = alpha_mean[last]
    through = alpha_mean[batch.source] + accuracy + beta_mean[batch.target]
    return Posteriors(log_total, occupancy, expected, occupancy * (through - expected[batch.arc_utterance]))
