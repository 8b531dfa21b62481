"""Random lattices that are consistent in time, and their paths one by one."""

from typing import NamedTuple

import numpy as np
from hypothesis import strategies as st

from hdnn_nnet.lattice.types import COMPACT_ARC, CompactLattice, Lattice
from hdnn_nnet.ragged import cumulative
from tests.support.hmm import one_state_model

PHONES, PDFS = 5, 3


#: five phones that share three pdfs, so that the same pdf is not the same phone
MODEL = one_state_model(PHONES, lambda phone: phone % PDFS)


class Path(NamedTuple):
    """A complete path; `frame_words` is the word of the arc that every frame lies in."""

    words: tuple[int, ...]
    ids: tuple[int, ...]
    graph: float
    acoustic: float
    frame_words: tuple[int, ...] = ()


def _ragged(rows: list[list[int]]) -> tuple[np.ndarray, np.ndarray]:
    return cumulative(np.array([len(r) for r in rows], np.int64)), np.array([i for r in rows for i in r], np.int32)


@st.composite
def timed_lattices(draw: st.DrawFn) -> CompactLattice:
    """Acyclic compact lattices with epsilon arcs, several final states, and states that lead nowhere.

    All paths to a state have the same length. State 0 is the start; numbers need not be topologically sorted.
    """
    frames, count = draw(st.integers(1, 4)), draw(st.integers(2, 6))
    times = [0, *sorted(draw(st.lists(st.integers(0, frames), min_size=count - 1, max_size=count - 1)))]
    # Costs are quarters, which float32 holds exactly.
    cost = st.integers(-8, 8).map(lambda value: value / 4)
    one_id = st.integers(1, MODEL.num_transition_ids)

    def string(length: int) -> list[int]:
        return draw(st.lists(one_id, min_size=length, max_size=length))

    arcs: list[tuple[int, tuple, list[int]]] = []
    for source in range(count - 1):
        for _ in range(draw(st.integers(1, 3))):
            target = draw(st.integers(source + 1, count - 1))
            label = draw(st.integers(0, 3))
            arcs.append((source, (label, draw(cost), draw(cost), target), string(times[target] - times[source])))
    final = np.full((count, 2), np.inf, np.float32)
    endings: list[list[int]] = [[] for _ in range(count)]
    # The last state is reached by state count - 2 at least, but that one may itself be unreachable.
    for state in draw(st.sets(st.integers(0, count - 1))) | {count - 1}:
        final[state] = draw(cost), draw(cost)
        endings[state] = string(frames - times[state])
    if draw(st.booleans()):
        final[0] = draw(cost), draw(cost)
        endings[0] = string(frames)
    names = [0, *draw(st.permutations(range(1, count)))]
    arcs = sorted(((names[s], (w, g, a, names[t]), ids) for s, (w, g, a, t), ids in arcs), key=lambda item: item[0])
    order = np.argsort(names)
    string_offsets, strings = _ragged([ids for _, _, ids in arcs])
    final_offsets, final_strings = _ragged([endings[i] for i in order])
    return CompactLattice(
        start=0,
        offsets=cumulative(np.bincount([s for s, _, _ in arcs], minlength=count)),
        arcs=np.array([row for _, row, _ in arcs], COMPACT_ARC),
        final=final[order],
        string_offsets=string_offsets,
        strings=strings,
        final_string_offsets=final_offsets,
        final_strings=final_strings,
    )


@st.composite
def untimed_lattices(draw: st.DrawFn) -> CompactLattice:
    """Acyclic compact lattices in topological order, whose paths may differ in length."""
    states = draw(st.integers(1, 6))
    cost = st.integers(-8, 8).map(lambda value: value / 4)
    ids = st.lists(st.integers(1, 9), max_size=3)
    arcs, strings, counts = [], [], [0] * states
    for source in range(states - 1):
        for _ in range(draw(st.integers(0, 3))):
            target = draw(st.integers(source + 1, states - 1))
            arcs.append((draw(st.integers(0, 4)), draw(cost), draw(cost), target))
            strings.append(draw(ids))
            counts[source] += 1
    final = np.full((states, 2), np.inf, np.float32)
    final_strings: list[list[int]] = [[] for _ in range(states)]
    for state in draw(st.sets(st.integers(0, states - 1), min_size=1)):
        final[state] = draw(cost), draw(cost)
        final_strings[state] = draw(ids)
    return CompactLattice(
        0,
        cumulative(np.array(counts)),
        np.array(arcs, COMPACT_ARC),
        final,
        cumulative(np.array([len(s) for s in strings], np.int64)),
        np.array([i for s in strings for i in s], np.int32),
        cumulative(np.array([len(s) for s in final_strings], np.int64)),
        np.array([i for s in final_strings for i in s], np.int32),
    )


def arc_by_arc(lattice: Lattice) -> CompactLattice:
    """A state-level lattice in compact form, with the same states and arcs."""
    ids = lattice.arcs["ilabel"]
    names = ["olabel", "graph", "acoustic", "nextstate"]
    arcs = np.array([tuple(row) for row in lattice.arcs[names].tolist()], COMPACT_ARC)
    none = np.zeros(lattice.num_states + 1, np.int64)
    return CompactLattice(
        lattice.start, lattice.offsets, arcs, lattice.final, cumulative(ids != 0), ids[ids != 0], none, none[:0]
    )


def all_paths(lattice: CompactLattice) -> list[Path]:
    """Every complete path."""
    found: list[Path] = []
    is_final = lattice.is_final()

    def walk(state: int, words: tuple, ids: tuple, graph: float, acoustic: float, heard: tuple) -> None:
        if is_final[state]:
            end = tuple(lattice.final_string(state).tolist())
            g, a = lattice.final[state].tolist()
            found.append(Path(words, ids + end, graph + g, acoustic + a, heard + (0,) * len(end)))
        for arc in range(lattice.offsets[state], lattice.offsets[state + 1]):
            label, g, a, target = lattice.arcs[arc].tolist()
            string = tuple(lattice.string(arc).tolist())
            spelled = words + ((label,) if label else ())
            walk(target, spelled, ids + string, graph + g, acoustic + a, heard + (label,) * len(string))

    walk(lattice.start, (), (), 0.0, 0.0, ())
    return found
