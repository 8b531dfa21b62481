"""Operations on whole lattices: parts of one, order of states, scaling, pruning, and the compact form."""

from dataclasses import replace
from typing import TypeVar

import numpy as np

from hdnn_nnet.errors import EmptyLatticeError, HdnnError
from hdnn_nnet.kaldi.automaton import group_by_state, reachable
from hdnn_nnet.lattice.types import COMPACT_ARC, AnyLattice, CompactLattice, Lattice, by_level, topological_order
from hdnn_nnet.ragged import cumulative, ranges

L = TypeVar("L", Lattice, CompactLattice, AnyLattice)


def connect(lattice: L) -> L:
    """Without the states and arcs that lie on no path from the start to a final state; order is kept."""
    source, target = lattice.sources().astype(np.int64), lattice.arcs["nextstate"].astype(np.int64)
    useful = reachable(lattice.offsets, target, np.array([lattice.start] if lattice.start >= 0 else [], np.int64))
    into, offsets_into = group_by_state(target, lattice.num_states)
    useful &= reachable(offsets_into, source[into], np.flatnonzero(lattice.is_final()))
    number = np.cumsum(useful) - 1
    keep = useful[source] & useful[target]
    arcs = lattice.arcs[keep].copy()
    arcs["nextstate"] = number[target[keep]]
    start = int(number[lattice.start]) if lattice.start >= 0 and useful[lattice.start] else -1
    offsets = cumulative(np.bincount(number[source[keep]], minlength=int(useful.sum())))
    if isinstance(lattice, Lattice):
        return Lattice(start, offsets, arcs, lattice.final[useful])
    string_offsets, strings = _pick(lattice.string_offsets, lattice.strings, keep)
    final_offsets, final_strings = _pick(lattice.final_string_offsets, lattice.final_strings, useful)
    return CompactLattice(
        start, offsets, arcs, lattice.final[useful], string_offsets, strings, final_offsets, final_strings
    )


def reorder(lattice: L, order: np.ndarray) -> L:
    """The lattice with state `order[i]` as state i; the arcs of a state keep their order."""
    number = np.argsort(order)
    counts = np.diff(lattice.offsets)[order]
    chosen = ranges(lattice.offsets[:-1][order], counts)
    arcs = lattice.arcs[chosen].copy()
    arcs["nextstate"] = number[arcs["nextstate"]]
    start = int(number[lattice.start]) if lattice.start >= 0 else -1
    offsets, final = cumulative(counts), lattice.final[order]
    if isinstance(lattice, Lattice):
        return Lattice(start, offsets, arcs, final)
    string_offsets, strings = _pick(lattice.string_offsets, lattice.strings, chosen)
    final_offsets, final_strings = _pick(lattice.final_string_offsets, lattice.final_strings, order)
    return CompactLattice(start, offsets, arcs, final, string_offsets, strings, final_offsets, final_strings)


def _pick(offsets: np.ndarray, strings: np.ndarray, keep: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    lengths = np.diff(offsets)[keep]
    return cumulative(lengths), strings[ranges(offsets[:-1][keep], lengths)]


def to_compact(lattice: Lattice) -> CompactLattice:
    """The same lattice in compact form, not determinised (Kaldi's ConvertLattice).

    Arcs that follow each other without a branch between them become one; the word of such a chain is on its first arc, so a
    further word begins a new chain.
    """
    source, target = lattice.sources().astype(np.int64), lattice.arcs["nextstate"].astype(np.int64)
    arcs_in = np.bincount(target, minlength=lattice.num_states)
    passing = np.zeros(lattice.num_states, bool)
    first_out = np.minimum(lattice.offsets[:-1], max(lattice.num_arcs - 1, 0))
    if lattice.num_arcs:
        passing = (arcs_in == 1) & (np.diff(lattice.offsets) == 1) & ~lattice.is_final()
        passing &= lattice.words[first_out] == 0
        passing[lattice.start] = False
    following = np.where(passing[target], first_out[target], -1)
    heads = np.flatnonzero(~passing[source])
    # All chains are followed at once. None is endless: a cycle of passing states has no way in.
    last = heads.copy()
    row, current = np.arange(len(heads)), heads
    rows, steps = [row], [heads]
    while len(row):
        after = following[current]
        row, current = row[after >= 0], after[after >= 0]
        last[row] = current
        rows.append(row)
        steps.append(current)
    owner, arc = np.concatenate(rows), np.concatenate(steps)
    order = np.argsort(owner, kind="stable")
    owner, arc = owner[order], arc[order]
    ids = lattice.arcs["ilabel"][arc]
    number = np.cumsum(~passing) - 1
    arcs = np.zeros(len(heads), COMPACT_ARC)
    arcs["label"] = lattice.words[heads]
    arcs["nextstate"] = number[target[last]]
    for name in ("graph", "acoustic"):
        arcs[name] = np.bincount(owner, lattice.arcs[name][arc].astype(np.float64), len(heads))
    kept = int((~passing).sum())
    return CompactLattice(
        start=int(number[lattice.start]) if lattice.start >= 0 else -1,
        offsets=cumulative(np.bincount(number[source[heads]], minlength=kept)),
        arcs=arcs,
        final=lattice.final[~passing],
        string_offsets=cumulative(np.bincount(owner[ids != 0], minlength=len(heads))),
        strings=ids[ids != 0].astype(np.int32),
        final_string_offsets=np.zeros(kept + 1, np.int64),
        final_strings=np.zeros(0, np.int32),
    )


def scale(lattice: L, lm_scale: float = 1.0, acoustic_scale: float = 1.0) -> L:
    """Costs multiplied by the scales, as Kaldi's lattice-scale does."""
    arcs, final = lattice.arcs.copy(), lattice.final.copy()
    ending = lattice.is_final()
    for name, column, factor in (("graph", 0, lm_scale), ("acoustic", 1, acoustic_scale)):
        arcs[name] = factor * arcs[name].astype(np.float64)
        final[ending, column] = factor * final[ending, column].astype(np.float64)
    return replace(lattice, arcs=arcs, final=final)


def path_costs(lattice: AnyLattice, lm_scale: float, acoustic_scale: float) -> tuple[np.ndarray, np.ndarray]:
    """Scaled costs: (arcs,) of the arcs and (states,) of the final weights, infinity where not final; float64."""
    arcs, final = lattice.arcs, lattice.final.astype(np.float64)
    cost = lm_scale * arcs["graph"].astype(np.float64) + acoustic_scale * arcs["acoustic"].astype(np.float64)
    ending = np.full(lattice.num_states, np.inf)
    on = lattice.is_final()
    ending[on] = lm_scale * final[on, 0] + acoustic_scale * final[on, 1]
    return cost, ending


def cheapest(
    lattice: AnyLattice, cost: np.ndarray, ending: np.ndarray, where: str = "lattice"
) -> tuple[np.ndarray, np.ndarray]:
    """Cost of the cheapest path from the start to every state, and from every state to the end; (states,) float64 each.

    Args:
        cost, ending: as `path_costs` gives them.

    Raises:
        HdnnError: the lattice has a cycle.
    """
    source, target = lattice.sources().astype(np.int64), lattice.arcs["nextstate"].astype(np.int64)
    forward, backward = np.full(lattice.num_states, np.inf), ending.copy()
    if lattice.start < 0:
        return forward, backward
    forward[lattice.start] = 0.0
    pieces = by_level(topological_order(lattice, where)[source])
    for arcs in pieces:
        np.minimum.at(forward, target[arcs], forward[source[arcs]] + cost[arcs])
    for arcs in pieces[::-1]:
        np.minimum.at(backward, source[arcs], cost[arcs] + backward[target[arcs]])
    return forward, backward


def prune(lattice: L, beam: float, acoustic_scale: float = 1.0, lm_scale: float = 1.0, where: str = "lattice") -> L:
    """Without the arcs and final weights on no path within `beam` of the best one (Kaldi's lattice-prune).

    Args:
        beam: difference of scaled costs.

    Raises:
        HdnnError: the beam is not positive, or the lattice is empty or has a cycle.
    """
    if not beam > 0:
        raise HdnnError(f"a pruning beam of {beam}: it must be positive")
    cost, ending = path_costs(lattice, lm_scale, acoustic_scale)
    forward, backward = cheapest(lattice, cost, ending, where)
    if lattice.start < 0 or not np.isfinite(backward[lattice.start]):
        raise EmptyLatticeError(f"{where}: no path of the lattice reaches a final state; decode this utterance again")
    limit = backward[lattice.start] + beam
    source, target = lattice.sources().astype(np.int64), lattice.arcs["nextstate"].astype(np.int64)
    keep = forward[source] + cost + backward[target] <= limit
    final = lattice.final.copy()
    final[~(forward + ending <= limit)] = np.inf
    offsets = cumulative(np.bincount(source[keep], minlength=lattice.num_states))
    if isinstance(lattice, Lattice):
        return connect(Lattice(lattice.start, offsets, lattice.arcs[keep], final))
    string_offsets, strings = _pick(lattice.string_offsets, lattice.strings, keep)
    return connect(replace(
        lattice, offsets=offsets, arcs=lattice.arcs[keep], final=final, string_offsets=string_offsets, strings=strings
    ))  # fmt: skip
