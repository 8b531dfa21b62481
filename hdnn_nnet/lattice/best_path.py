"""Best paths through a lattice, for many scales and word insertion penalties at once."""

from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from hdnn_nnet.errors import EmptyLatticeError
from hdnn_nnet.lattice.ops import to_compact
from hdnn_nnet.lattice.types import AnyLattice, CompactLattice, Lattice, topological_order
from hdnn_nnet.ragged import cumulative, ranges


@dataclass
class BestPath:
    """One path.

    Attributes:
        arcs: its arcs, in order.
        words: its words, epsilons left out.
        graph, acoustic: sums of the lattice's costs along it, final weight included; not scaled, no penalty.
        final_state: where it ends.
    """

    arcs: np.ndarray
    words: np.ndarray
    graph: float
    acoustic: float
    final_state: int


def best_paths(
    lattice: AnyLattice, acoustic_scales: np.ndarray, penalties: np.ndarray, where: str = "lattice"
) -> list[BestPath]:
    """Cheapest paths, where a path costs graph + acoustic_scale * acoustic + penalty * (number of words).

    With `acoustic_scale = 1 / LMWT` these are the paths of Kaldi's
    `lattice-scale --inv-acoustic-scale=LMWT | lattice-add-penalty --word-ins-penalty=P | lattice-best-path`.

    Args:
        acoustic_scales, penalties: (combinations,) each.

    Raises:
        HdnnError: empty lattice, no path to a final state, or a cycle.
    """
    scales = np.asarray(acoustic_scales, np.float64)
    extra = np.asarray(penalties, np.float64)
    arcs, final = lattice.arcs, lattice.final.astype(np.float64)
    is_final = lattice.is_final()
    if lattice.start < 0 or not is_final.any():
        raise EmptyLatticeError(f"{where}: the lattice is empty; decode this utterance again")
    target = arcs["nextstate"].astype(np.int64)
    source = lattice.sources().astype(np.int64)
    words = lattice.words
    # (arcs, combinations)
    cost = arcs["graph"].astype(np.float64)[:, None] + arcs["acoustic"].astype(np.float64)[:, None] * scales
    cost += (words != 0)[:, None] * extra
    total = np.full((lattice.num_states, len(scales)), np.inf)
    total[lattice.start] = 0.0
    back = np.full(total.shape, -1, np.int64)
    # Arcs by the depth of their target: all predecessors of a level are complete when it comes.
    depth = topological_order(lattice, where)
    order = np.lexsort((target, depth[target]))
    level_begin = np.searchsorted(depth[target][order], np.arange(int(depth.max()) + 2))
    for begin, end in pairwise(level_begin.tolist()):
        if begin == end:
            continue
        into = order[begin:end]
        path = total[source[into]] + cost[into]
        states, first = np.unique(target[into], return_index=True)
        best = np.minimum.reduceat(path, first, axis=0)
        rows = np.repeat(np.arange(len(states)), np.diff(np.append(first, len(into))))
        # The first of equal arcs is taken.
        place = np.where(path == best[rows], np.arange(len(into))[:, None], len(into))
        chosen = np.minimum.reduceat(place, first, axis=0)
        better = best < total[states]
        total[states] = np.where(better, best, total[states])
        back[states] = np.where(better, into[np.minimum(chosen, len(into) - 1)], back[states])
    ending = np.flatnonzero(is_final)
    ends = total[ending] + final[ending, :1] + final[ending, 1:] * scales
    best_end = ending[ends.argmin(0)]
    if not np.isfinite(ends.min(0)).all():
        raise EmptyLatticeError(f"{where}: no path of the lattice reaches a final state; decode this utterance again")
    return [_walk(lattice, back[:, c], int(best_end[c]), source) for c in range(len(scales))]


def _walk(lattice: AnyLattice, back: np.ndarray, end: int, source: np.ndarray) -> BestPath:
    arcs: list[int] = []
    state = end
    while state != lattice.start:
        arcs.append(int(back[state]))
        state = int(source[arcs[-1]])
    path = np.array(arcs[::-1], np.int64)
    words = lattice.words[path]
    graph = float(lattice.arcs["graph"][path].astype(np.float64).sum() + lattice.final[end, 0])
    acoustic = float(lattice.arcs["acoustic"][path].astype(np.float64).sum() + lattice.final[end, 1])
    return BestPath(path, words[words != 0], graph, acoustic, end)


def path_alignment(lattice: AnyLattice, path: BestPath) -> np.ndarray:
    """(frames,) int32 transition-ids along a path."""
    if isinstance(lattice, CompactLattice):
        pieces = [lattice.string(arc) for arc in path.arcs.tolist()] + [lattice.final_string(path.final_state)]
        return np.concatenate(pieces).astype(np.int32)
    ids = lattice.arcs["ilabel"][path.arcs]
    return ids[ids != 0].astype(np.int32)


def path_lattice(lattice: AnyLattice, path: BestPath) -> CompactLattice:
    """The path alone, as a linear lattice with the costs and transition-ids of its arcs."""
    count = len(path.arcs)
    arcs = lattice.arcs[path.arcs].copy()
    arcs["nextstate"] = np.arange(1, count + 1)
    offsets = np.append(np.arange(count + 1), count)
    final = np.full((count + 1, 2), np.inf, np.float32)
    final[-1] = lattice.final[path.final_state]
    if isinstance(lattice, Lattice):
        return to_compact(Lattice(0, offsets, arcs, final))
    lengths = np.diff(lattice.string_offsets)[path.arcs]
    strings = lattice.strings[ranges(lattice.string_offsets[:-1][path.arcs], lengths)]
    ending = lattice.final_string(path.final_state)
    final_offsets = np.zeros(count + 2, np.int64)
    final_offsets[-1] = len(ending)
    return CompactLattice(0, offsets, arcs, final, cumulative(lengths), strings, final_offsets, ending)
