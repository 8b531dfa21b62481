"""Growing a decision tree: the leaf and the question of the highest gain come first (Kaldi's SplitDecisionTree)."""

import heapq
import math
from dataclasses import dataclass

import numpy as np

from hdnn_nnet.gmm.objective import log_likelihood
from hdnn_nnet.gmm.two_means import refine
from hdnn_nnet.kaldi.event_maps import look_up, replace_leaves
from hdnn_nnet.kaldi.questions import Questions
from hdnn_nnet.kaldi.tree import ConstantMap, EventMap, SplitMap
from hdnn_nnet.kaldi.tree_stats import TreeStats


class _Asker:
    """Finds the best question about a part of the statistics."""

    def __init__(self, stats: TreeStats, questions: Questions) -> None:
        self.stats = stats
        self.questions = questions
        self._inside = {}
        for key, own in questions.items():
            # One row a question, one column a value.
            values = max(int(stats.values(key).max(initial=0)), max((max(s, default=0) for s in own.sets), default=0))
            table = np.zeros((len(own.sets), values + 1))
            for row, yes_set in enumerate(own.sets):
                table[row, list(yes_set)] = 1.0
            self._inside[key] = table

    def best(self, rows: np.ndarray) -> tuple[float, int, tuple[int, ...]]:
        """The highest gain of log-likelihood, the key and the values with the answer yes; a gain of 0 if none gains."""
        best: tuple[float, int, tuple[int, ...]] = (0.0, 0, ())
        if len(rows) > 1:
            for key in sorted(self.questions):
                gain, yes_set = self._best_of_key(rows, key)
                if gain > best[0]:
                    best = gain, key, yes_set
        return best

    def _best_of_key(self, rows: np.ndarray, key: int) -> tuple[float, tuple[int, ...]]:
        values = self.stats.values(key)[rows]
        if (values < 0).any():  # an event without this key
            return 0.0, ()
        order = np.argsort(values, kind="stable")
        present, starts = np.unique(values[order], return_index=True)
        points = np.add.reduceat(self.stats.moments[rows[order]], starts)
        own, floor = self.questions[key], self.stats.var_floor
        gain, choice = np.float32(0), -1
        if own.sets and len(present) > 1:
            gains = self._gains(self._inside[key][:, present], points)
            choice = int(np.argmax(gains))
            gain = gains[choice]
        if not gain > 0:
            gain, choice = np.float32(0), -1
        yes_set = own.sets[choice] if choice >= 0 else ()
        if own.refine_iters > 0:
            # Values that do not occur are points, too: they stay where they are.
            sides = np.isin(np.arange(present[-1] + 1), yes_set).astype(np.int64)
            dense = np.zeros((len(sides), points.shape[1]))
            dense[present] = points
            gain += refine(dense, sides, floor, own.refine_iters)
            yes_set = tuple(np.flatnonzero(sides).tolist())
        return float(gain), yes_set

    def _gains(self, inside: np.ndarray, points: np.ndarray) -> np.ndarray:
        """Gains of all questions; float32, shape (questions,)."""
        floor = self.stats.var_floor
        total = points.sum(axis=0)
        yes = inside @ points
        no = total - yes
        gains = log_likelihood(no, floor) + log_likelihood(yes, floor) - log_likelihood(total, floor)
        return np.where((yes[:, 0] > 0) & (no[:, 0] > 0), gains, np.float32(0))


class _Node:
    """A leaf that may be split, or a question with two such nodes."""

    def __init__(self, leaf: int, rows: np.ndarray, asker: _Asker) -> None:
        self.leaf = leaf
        self.rows = rows
        self.asker = asker
        self.gain, self.key, self.yes_set = asker.best(rows)
        self.branches: tuple[_Node, _Node] | None = None  # yes, no

    def split(self, new_leaf: int) -> None:
        """Split the leaf below that gains most; its branch `no` becomes `new_leaf`."""
        if self.branches is None:
            inside = np.isin(self.asker.stats.values(self.key)[self.rows], self.yes_set)
            yes, no = self.rows[inside], self.rows[~inside]
            self.branches = _Node(self.leaf, yes, self.asker), _Node(new_leaf, no, self.asker)
        else:
            yes_node, no_node = self.branches
            (yes_node if yes_node.gain >= no_node.gain else no_node).split(new_leaf)
        self.gain = max(branch.gain for branch in self.branches)

    def event_map(self) -> EventMap:
        if self.branches is None:
            return ConstantMap(self.leaf)
        yes, no = self.branches
        return SplitMap(self.key, self.yes_set, yes.event_map(), no.event_map())


@dataclass(frozen=True)
class Growth:
    """A tree that has grown.

    Attributes:
        leaves: their number.
        gain: of log-likelihood over all splits.
        smallest: gain of the split that gained least; infinite if nothing was split.
    """

    to_pdf: EventMap
    leaves: int
    gain: float
    smallest: float


def grow_tree(
    stub: EventMap, leaves: int, stats: TreeStats, questions: Questions, max_leaves: int, threshold: float
) -> Growth:
    """Split leaves while a split gains more than `threshold`.

    Args:
        stub: the tree to begin with, with answers 0 to leaves - 1.
        stats: an answer of `stub` for every event.
        max_leaves: stop at this number; 0: no limit.
    """
    found = look_up(stub, stats.events)
    asker = _Asker(stats, questions)
    nodes = [_Node(leaf, np.flatnonzero(found == leaf), asker) for leaf in range(int(found.max(initial=-1)) + 1)]
    # Of equal gains the last root comes first, as in Kaldi's queue.
    queue = [(-node.gain, -number) for number, node in enumerate(nodes)]
    heapq.heapify(queue)
    gain, smallest = 0.0, math.inf
    while queue and -queue[0][0] > threshold and (max_leaves <= 0 or leaves < max_leaves):
        cost, number = heapq.heappop(queue)
        gain -= cost
        smallest = min(smallest, -cost)
        nodes[-number].split(leaves)
        leaves += 1
        heapq.heappush(queue, (-nodes[-number].gain, number))
    grown = {number: node.event_map() for number, node in enumerate(nodes)}
    return Growth(replace_leaves(stub, grown), leaves, gain, smallest)
