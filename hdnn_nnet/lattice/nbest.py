"""The n best paths of a lattice."""

import heapq
import itertools

import numpy as np

from hdnn_nnet.errors import HdnnError
from hdnn_nnet.lattice.best_path import BestPath
from hdnn_nnet.lattice.ops import cheapest, path_costs
from hdnn_nnet.lattice.types import AnyLattice

_MOST_STEPS = 10_000_000


def n_best(
    lattice: AnyLattice,
    n: int,
    acoustic_scale: float = 1.0,
    lm_scale: float = 1.0,
    distinct_words: bool = True,
    where: str = "lattice",
) -> list[BestPath]:
    """The n cheapest paths by scaled costs, best first; fewer if the lattice has fewer (Kaldi's lattice-to-nbest).

    A* search with the exact cost to the end: nothing but prefixes of results is visited, so work grows with n times
    the length of a path. With `distinct_words`, of the paths with the same words only the best is given; a lattice
    that is not determinised may then need many steps.

    Raises:
        HdnnError: no path reaches a final state, a cycle, or too many paths with the same words.
    """
    cost, ending = path_costs(lattice, lm_scale, acoustic_scale)
    _, to_end = cheapest(lattice, cost, ending, where)
    if lattice.start < 0 or not np.isfinite(to_end[lattice.start]):
        raise HdnnError(f"{where}: no path of the lattice reaches a final state; decode this utterance again")
    targets, offsets = lattice.arcs["nextstate"].tolist(), lattice.offsets.tolist()
    costs, rest, last = cost.tolist(), to_end.tolist(), ending.tolist()
    order = itertools.count()
    # An entry: cost of the best completion, tie break, cost so far, state (-1: ended), its trace (arc, trace before).
    heap: list[tuple] = [(rest[lattice.start], next(order), 0.0, lattice.start, None)]
    found: list[BestPath] = []
    seen: set[tuple[int, ...]] = set()
    for _ in range(_MOST_STEPS):
        if not heap or len(found) == n:
            return found
        _, _, spent, state, trace = heapq.heappop(heap)
        if state < 0:
            path = _path(lattice, trace)
            spelled = tuple(path.words.tolist())
            if not distinct_words or spelled not in seen:
                found.append(path)
            seen.add(spelled)
            continue
        if np.isfinite(last[state]):
            heapq.heappush(heap, (spent + last[state], next(order), spent, -1, (state, trace)))
        for arc in range(offsets[state], offsets[state + 1]):
            ahead = spent + costs[arc]
            if rest[targets[arc]] < np.inf:
                heapq.heappush(heap, (ahead + rest[targets[arc]], next(order), ahead, targets[arc], (arc, trace)))
    raise HdnnError(f"{where}: the lattice has too many paths with the same words; determinise it first")


def _path(lattice: AnyLattice, trace: tuple) -> BestPath:
    end, trace = trace
    arcs = []
    while trace is not None:
        arc, trace = trace
        arcs.append(arc)
    path = np.array(arcs[::-1], np.int64)
    words = lattice.words[path]
    graph, acoustic = (
        float(lattice.arcs[name][path].astype(np.float64).sum() + lattice.final[end, column])
        for column, name in enumerate(("graph", "acoustic"))
    )
    return BestPath(path, words[words != 0], graph, acoustic, end)
