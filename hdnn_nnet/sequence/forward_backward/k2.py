"""Forward-backward over lattices by k2 (`Fsa.get_arc_post` in double precision and the log semiring).

k2 keeps arc scores in single precision. The posteriors do not change when every arc's score is taken relative to the best
path through it, and then the scores that matter are near 0 and lose next to nothing: hence two passes.

Gains come through k2's derivatives, in single precision: their error is up to 4e-6 of a frame's accuracy, measured on lattices of
many paths as on those with nearly one, where a gain itself may be smaller. The engine `torch` is exact there.
"""

from itertools import pairwise

import k2
import numpy as np
import torch
from torch import Tensor

from hdnn_nnet.sequence.batch import ArcBatch
from hdnn_nnet.sequence.forward_backward.result import Posteriors


def make_fsas(batch: ArcBatch, scores: Tensor) -> k2.Fsa:
    """One FSA an utterance, arcs in the order of the batch; their labels are their numbers.

    Args:
        scores: (arcs,) log scores.
    """
    local = batch.state_offsets[:-1][batch.arc_utterance.cpu().numpy()]
    shift = torch.from_numpy(local)
    table = torch.zeros((batch.num_arcs, 4), dtype=torch.int32)
    table[:, 0] = batch.source.cpu() - shift
    table[:, 1] = batch.target.cpu() - shift
    table[:, 2] = torch.arange(1, batch.num_arcs + 1)
    last = torch.from_numpy(batch.state_offsets[1:] - 1)[batch.arc_utterance.cpu()]
    table[batch.target.cpu() == last, 2] = -1  # k2 wants it on final arcs
    table[:, 3] = scores.detach().cpu().float().view(torch.int32)
    bounds = batch.arc_offsets.tolist()
    fsas = [k2.Fsa(table[begin:end].contiguous()) for begin, end in pairwise(bounds)]
    return k2.create_fsa_vec(fsas).to(batch.source.device)


def forward_backward(batch: ArcBatch, scores: Tensor, accuracy: Tensor | None = None) -> Posteriors:
    """An `engines.Engine`."""
    scores = scores.detach().double()
    if "k2" not in batch.engine_data:
        batch.engine_data["k2"] = make_fsas(batch, scores)
    fsas = batch.engine_data["k2"]
    with torch.no_grad():
        fsas.scores = scores.float()
        best = fsas.get_backward_scores(use_double_scores=True, log_semiring=False)
        relative = (scores + best[batch.target] - best[batch.source]).float()
        start = best[torch.from_numpy(batch.state_offsets[:-1]).to(best.device)]
    relative.requires_grad_(accuracy is not None)
    with torch.enable_grad():
        fsas.scores = relative
        occupancy = fsas.get_arc_post(use_double_scores=True, log_semiring=True).exp()
        expected = gain = None
        if accuracy is not None:
            expected = batch.utterance_sum(occupancy.detach() * accuracy)
            # All paths are equally long: an accuracy of 0 on average changes no derivative, and saves digits in k2.
            length = (batch.state_time[batch.target] - batch.state_time[batch.source]).double()
            frames = torch.from_numpy(np.diff(batch.frame_offsets)).to(length.device)
            centred = accuracy - length * (expected / frames)[batch.arc_utterance]
            (gain,) = torch.autograd.grad((occupancy * centred).sum(), relative)
            gain = gain.double()
    with torch.no_grad():
        log_total = fsas.get_tot_scores(use_double_scores=True, log_semiring=True).detach() + start
    return Posteriors(log_total, occupancy.detach(), expected, gain)
