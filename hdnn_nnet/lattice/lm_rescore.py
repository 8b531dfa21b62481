"""Lattices with the costs of another language model (Kaldi's lattice-lmrescore, twice: the old one out, the new one in)."""

from collections import deque

import numpy as np

from hdnn_nnet.errors import HdnnError
from hdnn_nnet.kaldi.automaton import group_by_state
from hdnn_nnet.lattice.grammar import Grammar
from hdnn_nnet.lattice.ops import connect, to_compact
from hdnn_nnet.lattice.types import AnyLattice, CompactLattice, Lattice
from hdnn_nnet.ragged import cumulative, ranges

_MOST_STATES = 20_000_000


def lm_rescore(
    lattice: AnyLattice, old: Grammar | None, new: Grammar | None, scale: float = 1.0, where: str = "lattice"
) -> CompactLattice:
    """The lattice with `scale` times (cost under `new` minus cost under `old`) added to its graph costs.

    States are split where the new history is longer than the old one. Paths with words that a model does not have go.

    Raises:
        HdnnError: no path is left (models of another vocabulary), or it grows out of memory.
    """
    compact = to_compact(lattice) if isinstance(lattice, Lattice) else lattice
    if compact.start < 0:
        raise HdnnError(f"{where}: the lattice is empty; decode this utterance again")
    arcs = compact.arcs
    labels, targets, offsets = arcs["label"].tolist(), arcs["nextstate"].tolist(), compact.offsets.tolist()
    start = (compact.start, 0, 0)
    numbers, states = {start: 0}, [start]
    waiting = deque([start])
    sources, taken, added, nexts = [], [], [], []
    while waiting:
        state, before, after = place = waiting.popleft()
        for arc in range(offsets[state], offsets[state + 1]):
            out = old.step(before, labels[arc]) if old else (0.0, 0)
            into = new.step(after, labels[arc]) if new else (0.0, 0)
            if out is None or into is None:
                continue
            ahead = (targets[arc], out[1], into[1])
            if ahead not in numbers:
                numbers[ahead] = len(states)
                states.append(ahead)
                waiting.append(ahead)
                if len(states) > _MOST_STATES:
                    raise HdnnError(f"{where}: the lattice grows too large; prune it first (hdnn lattice prune)")
            sources.append(numbers[place])
            taken.append(arc)
            added.append(scale * (into[0] - out[0]))
            nexts.append(numbers[ahead])
    origin = np.array([state for state, _, _ in states], np.int64)
    ends = [
        scale * ((new.final(after) if new else 0.0) - (old.final(before) if old else 0.0))
        if np.isfinite(compact.final[state, 0]) and (old is None or np.isfinite(old.final(before)))
        else np.inf
        for state, before, after in states
    ]
    final = compact.final[origin].copy()
    final[:, 0] += np.array(ends, np.float32)
    final[~np.isfinite(final).all(1)] = np.inf
    result = connect(_assembled(compact, origin, np.array(sources, np.int64), taken, added, nexts, final))
    if result.start < 0:
        raise HdnnError(f"{where}: no path is left; do the language models have the lattice's words (one words.txt)?")
    return result


def _assembled(
    compact: CompactLattice,
    origin: np.ndarray,
    sources: np.ndarray,
    taken: list[int],
    added: list[float],
    nexts: list[int],
    final: np.ndarray,
) -> CompactLattice:
    """A lattice of copies: state s is the old `origin[s]`, arc a the old `taken[a]` with another cost and other ends."""
    order, offsets = group_by_state(sources, len(origin))
    chosen = np.array(taken, np.int64)[order]
    arcs = compact.arcs[chosen].copy()
    arcs["graph"] += np.array(added, np.float32)[order]
    arcs["nextstate"] = np.array(nexts, np.int64)[order]
    lengths, final_lengths = np.diff(compact.string_offsets)[chosen], np.diff(compact.final_string_offsets)[origin]
    return CompactLattice(
        0,
        offsets,
        arcs,
        final,
        cumulative(lengths),
        compact.strings[ranges(compact.string_offsets[:-1][chosen], lengths)],
        cumulative(final_lengths),
        compact.final_strings[ranges(compact.final_string_offsets[:-1][origin], final_lengths)],
    )
