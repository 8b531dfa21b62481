"""Arc lists to k2 FSAs and FSAs back to lattices."""

from itertools import pairwise

import k2
import numpy as np
import torch
from torch import Tensor

from hdnn_nnet.errors import HdnnError
from hdnn_nnet.lattice.types import LATTICE_ARC, Lattice
from hdnn_nnet.ragged import cumulative
from hdnn_nnet.sequence.batch import ArcBatch
from hdnn_nnet.sequence.forward_backward.k2 import make_fsas


def to_k2(batch: ArcBatch, scores: Tensor) -> k2.Fsa:
    """One FSA an utterance, arcs in the order of the batch.

    Labels are pdf + 1 (0 for an epsilon arc, -1 for final arcs, as k2 demands); the attribute `transition_id` holds the
    transition-ids, 0 for none. k2 keeps scores in single precision.

    Args:
        scores: (arcs,) log scores, from `objectives.arc_scores`.

    Raises:
        HdnnError: an arc covers several frames; make the arcs with `merge=False`, from a state-level lattice.
    """
    if int(torch.bincount(batch.arc, minlength=1).max()) > 1:
        raise HdnnError(
            f"{batch.names[0]}: an arc covers several frames; expand the lattice and do not merge its chains"
        )
    ids = torch.zeros(batch.num_arcs, dtype=torch.int32)
    labels = torch.zeros(batch.num_arcs, dtype=torch.int32)
    ids[batch.arc.cpu()] = batch.transition_id.cpu().int()
    labels[batch.arc.cpu()] = batch.pdf.cpu().int() + 1
    fsas = make_fsas(batch, scores, labels)
    fsas.transition_id = ids.to(fsas.device)
    return fsas


def from_k2(fsas: k2.Fsa) -> list[Lattice]:
    """Lattices of a vector of acyclic FSAs; graph costs are minus their scores, acoustic costs 0.

    Attributes read: `transition_id` (transition-id of every arc, 0 for none) and, where there is one, `word`.

    Raises:
        HdnnError: no `transition_id`, a final arc that consumes a frame, or a state with several final arcs.
    """
    if not hasattr(fsas, "transition_id"):
        raise HdnnError("the FSA has no attribute transition_id")
    states = fsas.arcs.row_splits(1).cpu().numpy().astype(np.int64)
    offsets = fsas.arcs.row_splits(2).cpu().numpy().astype(np.int64)
    table = fsas.arcs.values().cpu().numpy()
    ids = fsas.transition_id.cpu().numpy()
    words = fsas.word.cpu().numpy() if hasattr(fsas, "word") else np.zeros_like(ids)
    cost = -fsas.scores.detach().cpu().numpy()
    lattices = []
    for first, last in pairwise(states):
        rows = slice(offsets[first], offsets[last])
        ending = table[rows, 2] == -1
        if (ids[rows][ending] != 0).any():
            raise HdnnError("a final arc of the FSA consumes a frame; this form has no place for it")
        if len(np.unique(table[rows, 0][ending])) != ending.sum():
            raise HdnnError("a state of the FSA has several final arcs; this form has place for one final weight")
        final = np.full((last - first, 2), np.inf, np.float32)
        final[table[rows, 0][ending]] = np.stack([cost[rows][ending], np.zeros(int(ending.sum()))], 1)
        inner = ~ending
        arcs = np.zeros(int(inner.sum()), LATTICE_ARC)
        arcs["ilabel"], arcs["olabel"] = ids[rows][inner], words[rows][inner]
        arcs["graph"], arcs["nextstate"] = cost[rows][inner], table[rows, 1][inner]
        counts = np.bincount(table[rows, 0][inner], minlength=last - first)
        lattices.append(Lattice(0 if last > first else -1, cumulative(counts), arcs, final))
    return lattices
