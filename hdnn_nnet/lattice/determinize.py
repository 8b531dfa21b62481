"""Determinisation of compact lattices: one path for every word sequence, the best (Povey et al., "Generating exact
lattices in the WFST framework", 2012).

A state of the result is a set of old states, each with what it is behind the best of them: costs and transition-ids
that are still to be written. For acyclic lattices without epsilon words only, which is what `word_lattices` makes.
"""

import heapq
from dataclasses import dataclass, field

import numpy as np

from hdnn_nnet.errors import HdnnError
from hdnn_nnet.lattice.ops import connect
from hdnn_nnet.lattice.types import COMPACT_ARC, CompactLattice, topological_order
from hdnn_nnet.ragged import cumulative

# An element of a set: old state, graph cost and acoustic cost behind the best, transition-ids still to be written.
_Element = tuple[int, float, float, tuple[int, ...]]
_DECIMALS = 4  # sets that differ by less in a cost are one


@dataclass
class _Output:
    """Arcs by state as (label, graph, acoustic, string, target); final weights as (graph, acoustic, string)."""

    arcs: list[list[tuple[int, float, float, tuple[int, ...], int]]] = field(default_factory=list)
    finals: list[tuple[float, float, tuple[int, ...]] | None] = field(default_factory=list)


def backward_costs(lattice: CompactLattice, acoustic_scale: float) -> np.ndarray:
    """(states,) float64 cheapest cost graph + acoustic_scale * acoustic from each state to the end."""
    weights = np.array([1.0, acoustic_scale])
    costs = lattice.final.astype(np.float64) @ weights
    arc_cost = lattice.arcs["graph"] + acoustic_scale * lattice.arcs["acoustic"].astype(np.float64)
    target = lattice.arcs["nextstate"]
    for state in np.argsort(-topological_order(lattice), kind="stable").tolist():
        begin, end = lattice.offsets[state], lattice.offsets[state + 1]
        if begin < end:
            costs[state] = min(costs[state], float((arc_cost[begin:end] + costs[target[begin:end]]).min()))
    return costs


class _Subsets:
    """The sets of states that became states of the result, and those whose arcs are still to be made.

    Attributes:
        sets: by number.
        ahead: cost of the best path to each.
        queue: (depth, number) of those to do.
    """

    def __init__(self, depth: list[int]) -> None:
        self.depth = depth
        self.output = _Output()
        self.numbers: dict[tuple, int] = {}
        self.sets: list[list[_Element]] = []
        self.ahead: list[float] = []
        self.queue: list[tuple[int, int]] = []

    def number(self, elements: list[_Element], cost: float) -> int:
        """Number of the state for a set that is reached at `cost`."""
        key = tuple((s, round(g, _DECIMALS), round(a, _DECIMALS), string) for s, g, a, string in elements)
        number = self.numbers.setdefault(key, len(self.sets))
        if number == len(self.sets):
            self.sets.append(elements)
            self.ahead.append(cost)
            self.output.arcs.append([])
            self.output.finals.append(None)
            # Sets in the order of their shallowest member: paths to a set are complete when its turn comes.
            heapq.heappush(self.queue, (min(self.depth[s] for s, *_ in elements), number))
        self.ahead[number] = min(self.ahead[number], cost)
        return number


def determinize(lattice: CompactLattice, acoustic_scale: float, beam: float, max_growth: float = 5.0) -> CompactLattice:
    """Equivalent lattice without two arcs of the same word at a state, pruned to `beam`.

    Args:
        lattice: acyclic, no epsilon words, at least one path.
        acoustic_scale: paths are compared by graph + acoustic_scale * acoustic.
        beam: word sequences whose best path is worse than the best of all by more are dropped.
        max_growth: give up, and return `lattice`, when the result gets this many times as large.

    Raises:
        HdnnError: epsilon words, no path, or a cycle.
    """
    if (lattice.arcs["label"] == 0).any():
        raise HdnnError("a lattice with epsilon words cannot be determinised here")
    depth = topological_order(lattice).tolist()
    behind = backward_costs(lattice, acoustic_scale).tolist()
    if lattice.start < 0 or not np.isfinite(behind[lattice.start]):
        raise HdnnError("an empty lattice cannot be determinised")
    rows, offsets = lattice.arcs.tolist(), lattice.offsets.tolist()
    strings = [tuple(lattice.string(arc).tolist()) for arc in range(lattice.num_arcs)]
    limit = behind[lattice.start] + beam
    budget = int(max_growth * lattice.num_arcs) + 1000

    found = _Subsets(depth)
    found.number([(lattice.start, 0.0, 0.0, ())], 0.0)
    made = 0
    while found.queue:
        _, number = heapq.heappop(found.queue)
        reached: dict[int, dict[int, tuple[float, float, float, tuple[int, ...]]]] = {}
        ending: tuple[float, float, float, tuple[int, ...]] | None = None
        for state, graph, acoustic, string in found.sets[number]:
            g, a = lattice.final[state].tolist()
            if np.isfinite(g):
                end = (
                    graph + g + acoustic_scale * (acoustic + a),
                    graph + g,
                    acoustic + a,
                    string + tuple(lattice.final_string(state).tolist()),
                )
                ending = end if ending is None or end < ending else ending
            for arc in range(offsets[state], offsets[state + 1]):
                label, g, a, target = rows[arc]
                g, a = graph + g, acoustic + a
                total = g + acoustic_scale * a
                if found.ahead[number] + total + behind[target] > limit:
                    continue
                best = reached.setdefault(label, {})
                if target not in best or total < best[target][0]:
                    best[target] = (total, g, a, string + strings[arc])
        if ending is not None and found.ahead[number] + ending[0] <= limit:
            found.output.finals[number] = ending[1:]
        for label, best in sorted(reached.items()):
            total, g, a, _ = min(best.values())
            prefix = _common_prefix([entry[3] for entry in best.values()])
            rest = [(s, e[1] - g, e[2] - a, e[3][len(prefix) :]) for s, e in sorted(best.items())]
            goal = found.number(rest, found.ahead[number] + total)
            found.output.arcs[number].append((label, g, a, prefix, goal))
            made += 1
        if made > budget:
            return lattice
    # Rounding at the edge of the beam can leave a state without a way to the end.
    return connect(_assemble(found.output))


def _common_prefix(strings: list[tuple[int, ...]]) -> tuple[int, ...]:
    first, last = min(strings), max(strings)
    length = next((i for i, (x, y) in enumerate(zip(first, last, strict=False)) if x != y), min(len(first), len(last)))
    return first[:length]


def _assemble(output: _Output) -> CompactLattice:
    """Number the states topologically."""
    order = _topological(output)
    position = {state: place for place, state in enumerate(order)}
    arcs = [arc for state in order for arc in output.arcs[state]]
    final = np.full((len(order), 2), np.inf, np.float32)
    final_strings: list[tuple[int, ...]] = []
    for place, state in enumerate(order):
        ending = output.finals[state]
        if ending is not None:
            final[place] = ending[:2]
        final_strings.append(ending[2] if ending is not None else ())
    return CompactLattice(
        start=0,
        offsets=cumulative(np.array([len(output.arcs[state]) for state in order], np.int64)),
        arcs=np.array([(label, g, a, position[target]) for label, g, a, _, target in arcs], COMPACT_ARC),
        final=final,
        string_offsets=cumulative(np.array([len(arc[3]) for arc in arcs], np.int64)),
        strings=np.array([i for arc in arcs for i in arc[3]], np.int32),
        final_string_offsets=cumulative(np.array([len(s) for s in final_strings], np.int64)),
        final_strings=np.array([i for s in final_strings for i in s], np.int32),
    )


def _topological(output: _Output) -> list[int]:
    waiting = [0] * len(output.arcs)
    for arcs in output.arcs:
        for arc in arcs:
            waiting[arc[4]] += 1
    ready, order = [0], []
    while ready:
        state = heapq.heappop(ready)
        order.append(state)
        for arc in output.arcs[state]:
            waiting[arc[4]] -= 1
            if waiting[arc[4]] == 0:
                heapq.heappush(ready, arc[4])
    return order
