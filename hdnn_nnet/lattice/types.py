"""Kaldi's two lattice types as numpy arrays.

A weight is a pair of costs (negative logs): graph (language model, pronunciation, transitions) and acoustic, the latter
not scaled. `Lattice` is the state-level transducer with at most one transition-id an arc; `CompactLattice` is the
word-level acceptor whose weights also carry the string of transition-ids.
Files are read and written by `lattice.io` (one lattice) and `lattice.table` (archives and script files).
"""

from dataclasses import dataclass
from typing import final

import numpy as np

from hdnn_nnet.errors import HdnnError
from hdnn_nnet.kaldi.automaton import Automaton, group_by_state
from hdnn_nnet.ragged import cumulative, ranges

LATTICE_ARC = np.dtype(
    [("ilabel", "<i4"), ("olabel", "<i4"), ("graph", "<f4"), ("acoustic", "<f4"), ("nextstate", "<i4")]
)
COMPACT_ARC = np.dtype([("label", "<i4"), ("graph", "<f4"), ("acoustic", "<f4"), ("nextstate", "<i4")])


class _Weighted(Automaton):
    final: np.ndarray

    def is_final(self) -> np.ndarray:
        """(states,) bool."""
        return np.isfinite(self.final).all(1)


@final
@dataclass
class Lattice(_Weighted):
    """State-level lattice.

    Attributes:
        start: start state, -1 when empty.
        offsets: (states + 1,) int64; the arcs of state s are `arcs[offsets[s]:offsets[s + 1]]`.
        arcs: (arcs,) LATTICE_ARC; ilabel is a transition-id, olabel a word, 0 is epsilon.
        final: (states, 2) float32, graph and acoustic cost; infinity when the state is not final.
    """

    start: int
    offsets: np.ndarray
    arcs: np.ndarray
    final: np.ndarray

    @property
    def words(self) -> np.ndarray:
        """(arcs,) int32: the word of every arc, 0 for none."""
        return self.arcs["olabel"]


@final
@dataclass
class CompactLattice(_Weighted):
    """Word-level lattice.

    Attributes:
        start, offsets, final: as in `Lattice`.
        arcs: (arcs,) COMPACT_ARC; label is a word, 0 is epsilon.
        string_offsets, strings: transition-ids of arc a are `strings[string_offsets[a]:string_offsets[a + 1]]`.
        final_string_offsets, final_strings: the same of the final weights, by state.
    """

    start: int
    offsets: np.ndarray
    arcs: np.ndarray
    final: np.ndarray
    string_offsets: np.ndarray
    strings: np.ndarray
    final_string_offsets: np.ndarray
    final_strings: np.ndarray

    @property
    def words(self) -> np.ndarray:
        """(arcs,) int32: the word of every arc, 0 for none."""
        return self.arcs["label"]

    def string(self, arc: int) -> np.ndarray:
        """Transition-ids of one arc."""
        return self.strings[self.string_offsets[arc] : self.string_offsets[arc + 1]]

    def final_string(self, state: int) -> np.ndarray:
        """Transition-ids of one state's final weight."""
        return self.final_strings[self.final_string_offsets[state] : self.final_string_offsets[state + 1]]


AnyLattice = Lattice | CompactLattice


def topological_order(lattice: AnyLattice, where: str = "lattice") -> np.ndarray:
    """(states,) int64: longest distance in arcs from a state without predecessors; arcs lead to larger numbers.

    Raises:
        HdnnError: the lattice has a cycle.
    """
    targets = lattice.arcs["nextstate"].astype(np.int64)
    sources = lattice.sources()
    if (targets > sources).all():  # the usual case
        begins = lattice.offsets.tolist()
        next_states = targets.tolist()
        levels = [0] * lattice.num_states
        for state in range(lattice.num_states):
            below = levels[state] + 1
            for target in next_states[begins[state] : begins[state + 1]]:
                if levels[target] < below:
                    levels[target] = below
        return np.asarray(levels, np.int64)
    depth = np.zeros(lattice.num_states, np.int64)
    waiting = np.bincount(targets, minlength=lattice.num_states)
    degree = np.diff(lattice.offsets)
    frontier = np.flatnonzero(waiting == 0)
    level, done = 0, 0
    while len(frontier):
        depth[frontier] = level
        done += len(frontier)
        reached = targets[ranges(lattice.offsets[:-1][frontier], degree[frontier])]
        waiting -= np.bincount(reached, minlength=lattice.num_states)
        candidates = np.unique(reached)
        frontier = candidates[waiting[candidates] == 0]
        level += 1
    if done != lattice.num_states:
        raise HdnnError(f"{where}: the lattice has a cycle; regenerate it")
    return depth


def by_level(level: np.ndarray) -> list[np.ndarray]:
    """Arcs in groups of one level each, the lowest first; in a group they keep their order.

    Args:
        level: (arcs,) of the state that each one leaves, as `topological_order` gives it.
    """
    order = np.argsort(level, kind="stable")
    return np.split(order, np.flatnonzero(np.diff(level[order])) + 1)


def expand(compact: CompactLattice) -> Lattice:
    """The same lattice with one transition-id an arc (Kaldi's ConvertLattice).

    An arc's word and costs stay on the first arc of its chain; an arc without transition-ids gets ilabel 0.
    New states are numbered after the old ones.
    """
    lengths = np.diff(compact.string_offsets)
    final_lengths = np.where(compact.is_final(), np.diff(compact.final_string_offsets), 0)
    chains = np.concatenate([np.maximum(lengths, 1), final_lengths])
    sources = np.concatenate([compact.sources(), np.arange(compact.num_states)]).astype(np.int64)
    has_arc = chains > 0
    begin = cumulative(chains)[:-1]  # first arc of every chain
    # A chain of n arcs has n - 1 inner states; that of a final string also ends in a new state.
    ends_new = np.concatenate([np.zeros(compact.num_arcs, bool), final_lengths > 0])
    fresh = np.maximum(chains - 1, 0) + ends_new
    first_new = compact.num_states + cumulative(fresh)[:-1]
    total = int(chains.sum())
    position = np.arange(total) - np.repeat(begin, chains)
    chain = np.repeat(np.arange(len(chains)), chains)
    source = np.where(position == 0, sources[chain], first_new[chain] + position - 1)
    target = first_new[chain] + position
    last = position == chains[chain] - 1
    old_target = np.concatenate([compact.arcs["nextstate"], np.zeros(compact.num_states, np.int32)]).astype(np.int64)
    keep_old = last & ~ends_new[chain]
    target[keep_old] = old_target[chain[keep_old]]

    arcs = np.zeros(total, LATTICE_ARC)
    arcs["nextstate"] = target
    heads = begin[has_arc]
    weights = np.concatenate([np.stack([compact.arcs["graph"], compact.arcs["acoustic"]], 1), compact.final])
    labels = np.concatenate([compact.arcs["label"], np.zeros(compact.num_states, np.int32)])
    arcs["graph"][heads] = weights[has_arc, 0]
    arcs["acoustic"][heads] = weights[has_arc, 1]
    arcs["olabel"][heads] = labels[has_arc]
    spelled = np.concatenate([lengths > 0, final_lengths > 0])[chain]
    kept_finals = ranges(compact.final_string_offsets[:-1], final_lengths)
    arcs["ilabel"][spelled] = np.concatenate([compact.strings, compact.final_strings[kept_finals]])

    num_states = compact.num_states + int(fresh.sum())
    final = np.full((num_states, 2), np.inf, np.float32)
    stays = compact.is_final() & (final_lengths == 0)
    final[: compact.num_states][stays] = compact.final[stays]
    final[target[last & ends_new[chain]]] = 0.0
    order, offsets = group_by_state(source, num_states)
    return Lattice(compact.start, offsets, arcs[order], final)
