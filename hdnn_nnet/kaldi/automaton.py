"""Arcs grouped by the state that they leave: what transducers, decoding graphs and lattices have in common."""

import numpy as np

from hdnn_nnet.ragged import cumulative, ranges


class Automaton:
    """States 0 to N - 1 and their arcs, which sub-classes keep in arrays sorted by source.

    Attributes:
        offsets: (states + 1,) int64; the arcs of state s are those in `offsets[s]:offsets[s + 1]`.
    """

    offsets: np.ndarray

    @property
    def num_states(self) -> int:
        return len(self.offsets) - 1

    @property
    def num_arcs(self) -> int:
        return int(self.offsets[-1])

    def sources(self) -> np.ndarray:
        """(arcs,) int32: the state that every arc leaves."""
        return np.repeat(np.arange(self.num_states, dtype=np.int32), np.diff(self.offsets))


def group_by_state(states: np.ndarray, num_states: int) -> tuple[np.ndarray, np.ndarray]:
    """How to sort arcs by one of their ends.

    Args:
        states: (arcs,) that end.

    Returns:
        (arcs,) their order, in which arcs of one state stay as they are, and (states + 1,) offsets of the groups.
    """
    return np.argsort(states, kind="stable"), cumulative(np.bincount(states, minlength=num_states))


def reachable(offsets: np.ndarray, targets: np.ndarray, seeds: np.ndarray) -> np.ndarray:
    """(states,) bool: which states arcs lead to from `seeds`, these included.

    Args:
        offsets: (states + 1,) groups of arcs by the state that they leave.
        targets: (arcs,) the states that they lead to.
    """
    degree = np.diff(offsets)
    seen = np.zeros(len(degree), bool)
    frontier = np.unique(seeds)
    seen[frontier] = True
    while len(frontier):
        reached = np.unique(targets[ranges(offsets[frontier], degree[frontier])])
        frontier = reached[~seen[reached]]
        seen[frontier] = True
    return seen
