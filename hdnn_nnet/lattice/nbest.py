"""The n best word sequences of a lattice."""

import heapq

import numpy as np

from hdnn_nnet.errors import HdnnError
from hdnn_nnet.lattice.best_path import BestPath
from hdnn_nnet.lattice.ops import cheapest, path_costs
from hdnn_nnet.lattice.types import AnyLattice

_MOST_ENTRIES = 10_000_000  # of the heap, over all time: about 3 GB


def n_best(
    lattice: AnyLattice, n: int, acoustic_scale: float = 1.0, lm_scale: float = 1.0, where: str = "lattice"
) -> list[BestPath]:
    """The cheapest path, by scaled costs, of each of the n cheapest word sequences, best first; fewer if there are fewer.

    As Kaldi's lattice-to-nbest, but sequences differ also where the lattice is not determinised. A* search with the exact cost
    to the end: prefixes of paths come out by the cost of their best completion, and of those that end in one state with the same
    words only the first goes on. Work grows with n times the length of a path.

    Raises:
        HdnnError: no path reaches a final state, a cycle, or a search that takes too much memory.
    """
    cost, ending = path_costs(lattice, lm_scale, acoustic_scale)
    _, to_end = cheapest(lattice, cost, ending, where)
    if lattice.start < 0 or not np.isfinite(to_end[lattice.start]):
        raise HdnnError(f"{where}: no path of the lattice reaches a final state; decode this utterance again")
    targets, offsets, words = lattice.arcs["nextstate"].tolist(), lattice.offsets.tolist(), lattice.words.tolist()
    costs, rest, last = cost.tolist(), to_end.tolist(), ending.tolist()
    # Word sequences by number: 0 is the empty one, spelled[s, w] is s followed by w.
    spelled: dict[tuple[int, int], int] = {}
    # An entry: cost of the best completion, tie break, cost so far, state (-1: ended), word sequence, its trace
    # (arc, trace before).
    heap: list[tuple] = [(rest[lattice.start], 0, 0.0, lattice.start, 0, None)]
    pushed = 1
    seen: set[tuple[int, int]] = set()
    found: list[BestPath] = []
    while heap and len(found) < n:
        _, _, spent, state, sequence, trace = heapq.heappop(heap)
        if (state, sequence) in seen:
            continue
        seen.add((state, sequence))
        if state < 0:
            found.append(_path(lattice, trace))
            continue
        if last[state] < np.inf:
            heapq.heappush(heap, (spent + last[state], pushed, spent, -1, sequence, (state, trace)))
            pushed += 1
        for arc in range(offsets[state], offsets[state + 1]):
            ahead, target, word = spent + costs[arc], targets[arc], words[arc]
            if rest[target] < np.inf:
                longer = spelled.setdefault((sequence, word), len(spelled) + 1) if word else sequence
                heapq.heappush(heap, (ahead + rest[target], pushed, ahead, target, longer, (arc, trace)))
                pushed += 1
        if pushed > _MOST_ENTRIES:
            raise HdnnError(f"{where}: the lattice is too large for {n} paths; prune it first (hdnn lattice prune)")
    return found


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
