"""Kaldi lattices as tensors of a k2 FsaVec, and back; neither k2 nor torch is needed for it.

`arcs` is what `k2.Fsa.as_dict()` gives (int32: number of FSAs, 0, offsets of states, offsets of arcs, then source, target, label
and the score's bits of every arc). The others are attributes with one entry an arc:

- `lm_scores`, `am_scores` (float32): minus the graph and acoustic costs; the score of an arc is their scaled sum.
- state-level lattices: labels are transition-ids, `aux_labels` (int32) words.
- compact lattices: labels are words; `transition_ids.values` and `transition_ids.row_splits` (int32) are a ragged attribute.

Final weights are arcs with label -1 into one last state, and the start is state 0, as k2 demands; where it is another one, it
changes its number with state 0. Everything else comes back bit by bit, the order of states and arcs too: `k2.top_sort` comes
first where an algorithm of k2 wants it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from hdnn_nnet.errors import HdnnError
from hdnn_nnet.lattice.ops import connect, reorder
from hdnn_nnet.lattice.types import COMPACT_ARC, LATTICE_ARC, AnyLattice, CompactLattice, Lattice, topological_order
from hdnn_nnet.ragged import cumulative, ranges

VALUES, ROW_SPLITS = "transition_ids.values", "transition_ids.row_splits"
_LARGEST = 2**31 - 1

Tensors = dict[str, np.ndarray]


@dataclass
class _Fsa:
    """One FSA, final arcs included; columns of (arcs,).

    Attributes:
        word: of a state-level lattice, else None.
        length, strings: transition-ids of a compact lattice's arcs, one after the other; None for a state-level one.
    """

    num_states: int
    source: np.ndarray
    target: np.ndarray
    label: np.ndarray
    graph: np.ndarray
    acoustic: np.ndarray
    word: np.ndarray | None = None
    length: np.ndarray | None = None
    strings: np.ndarray | None = None


def to_tensors(lattices: Sequence[AnyLattice], lm_scale: float = 1.0, acoustic_scale: float = 1.0) -> Tensors:
    """Tensors of lattices of one type; scores are -(lm_scale * graph + acoustic_scale * acoustic).

    Raises:
        HdnnError: no lattice, lattices of both types, or more arcs than k2 can number.
    """
    if len({type(lattice) for lattice in lattices}) != 1:
        raise HdnnError("one or more lattices of one type, compact or state-level, are expected; see hdnn lattice copy")
    fsas = [_to_fsa(_start_first(lattice)) for lattice in lattices]

    def joined(name: str) -> np.ndarray:
        return np.concatenate([getattr(fsa, name) for fsa in fsas])

    graph, acoustic = joined("graph"), joined("acoustic")
    scores = -(lm_scale * graph.astype(np.float64) + acoustic_scale * acoustic.astype(np.float64)).astype(np.float32)
    rows = np.stack([joined("source"), joined("target"), joined("label"), scores.view(np.int32)], 1)
    states = cumulative(np.array([fsa.num_states for fsa in fsas]))
    arcs = cumulative(np.array([len(fsa.label) for fsa in fsas]))
    tensors = {"arcs": np.concatenate([[len(fsas), 0], states, arcs, rows.reshape(-1)])}
    if fsas[0].word is None:
        tensors |= {ROW_SPLITS: cumulative(joined("length")), VALUES: joined("strings")}
    else:
        tensors["aux_labels"] = joined("word")
    if max(map(len, tensors.values())) > _LARGEST:
        raise HdnnError("more arcs than one k2 FsaVec can number; convert the lattices in smaller parts")
    tensors = {name: values.astype(np.int32) for name, values in tensors.items()}
    return tensors | {"lm_scores": -graph, "am_scores": -acoustic}


def _start_first(lattice: AnyLattice) -> AnyLattice:
    if lattice.start == 0:
        return lattice
    if lattice.start < 0:
        return connect(lattice)  # nothing is left
    order = np.arange(lattice.num_states)
    order[[0, lattice.start]] = lattice.start, 0
    return reorder(lattice, order)


def _to_fsa(lattice: AnyLattice) -> _Fsa:
    ending = np.flatnonzero(lattice.is_final())
    source = np.append(lattice.sources(), ending)
    order = np.argsort(source, kind="stable")  # a final arc comes after the others of its state

    def column(values: np.ndarray, final: np.ndarray | int) -> np.ndarray:
        return np.append(values, np.broadcast_to(np.asarray(final, values.dtype), len(ending)))[order]

    fsa = _Fsa(
        num_states=lattice.num_states + (lattice.num_states > 0),
        source=source[order],
        target=column(lattice.arcs["nextstate"], lattice.num_states),
        label=column(lattice.arcs["ilabel"] if isinstance(lattice, Lattice) else lattice.words, -1),
        graph=column(lattice.arcs["graph"], lattice.final[ending, 0]),
        acoustic=column(lattice.arcs["acoustic"], lattice.final[ending, 1]),
    )
    if isinstance(lattice, Lattice):
        fsa.word = column(lattice.words, -1)
    else:
        fsa.length = column(np.diff(lattice.string_offsets), np.diff(lattice.final_string_offsets)[ending])
        begin = column(lattice.string_offsets[:-1], len(lattice.strings) + lattice.final_string_offsets[ending])
        fsa.strings = np.append(lattice.strings, lattice.final_strings)[ranges(begin, fsa.length)]
    return fsa


def from_tensors(tensors: Mapping[str, np.ndarray], where: str) -> list[AnyLattice]:
    """Lattices of the FSAs. The attributes tell the type; without any, labels are words, as in a compact lattice.

    Graph and acoustic costs come from `lm_scores` and `am_scores` where both are there; otherwise the graph cost is minus the
    score. Other attributes are not looked at.

    Raises:
        HdnnError: tensors that do not fit together, or an FSA that is no lattice.
    """
    states, arcs, rows = _layout(tensors, where)
    costs = [-rows[:, 3].copy().view(np.float32), np.zeros(len(rows), np.float32)]
    if "lm_scores" in tensors and "am_scores" in tensors:
        costs = [-_attribute(tensors, name, len(rows), where) for name in ("lm_scores", "am_scores")]
    words = splits = None
    if ROW_SPLITS in tensors:
        splits = _attribute(tensors, ROW_SPLITS, len(rows) + 1, where).astype(np.int64)
        strings = _attribute(tensors, VALUES, int(splits[-1]), where)
    elif "aux_labels" in tensors:
        words = _attribute(tensors, "aux_labels", len(rows), where)
    else:
        splits, strings = np.zeros(len(rows) + 1, np.int64), np.zeros(0, np.int32)
    lattices = []
    for number in range(len(arcs) - 1):
        own = slice(arcs[number], arcs[number + 1])
        source, target, label, _ = rows[own].T
        fsa = _Fsa(int(states[number + 1] - states[number]), source, target, label, costs[0][own], costs[1][own])
        if splits is None:
            fsa.word = words[own] if words is not None else None
        else:
            fsa.length = np.diff(splits[own.start : own.stop + 1])
            fsa.strings = strings[splits[own.start] : splits[own.stop]]
        lattices.append(_from_fsa(fsa, f"{where}, FSA {number}"))
    return lattices


def _layout(tensors: Mapping[str, np.ndarray], where: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Offsets of states and arcs of every FSA, and (arcs, 4) int32 rows."""
    flat = np.asarray(tensors.get("arcs", np.zeros(0, np.int32)))
    if flat.ndim == 2 and flat.shape[1] == 4 and len(flat):  # a single FSA
        return np.array([0, 1 + flat[:, :2].max()]), np.array([0, len(flat)]), flat
    count = int(flat[0]) if flat.ndim == 1 and len(flat) > 1 else -1
    states, arcs = flat[2 : 3 + count], flat[3 + count : 4 + 2 * count]
    if count < 0 or len(arcs) != count + 1 or len(flat) != 4 + 2 * count + 4 * arcs[-1]:
        raise HdnnError(f"{where}: tensor arcs is not that of a k2 FSA; save k2.Fsa.as_dict() again")
    return states, arcs, flat[4 + 2 * count :].reshape(-1, 4)


def _attribute(tensors: Mapping[str, np.ndarray], name: str, length: int, where: str) -> np.ndarray:
    values = np.asarray(tensors.get(name, np.zeros(0)))
    if values.shape != (length,):
        raise HdnnError(f"{where}: tensor {name} has shape {values.shape}, expected ({length},); save the FSAs again")
    return values.astype(np.float32 if name.endswith("scores") else np.int32)


def _from_fsa(fsa: _Fsa, where: str) -> AnyLattice:
    ending, states = fsa.label == -1, max(fsa.num_states - 1, 0)
    at, inner = fsa.source[ending], ~ending
    problem = ""
    if (np.diff(fsa.source) < 0).any() or (fsa.target[ending] != states).any() or (fsa.target[inner] >= states).any():
        problem = "arcs are not as k2 wants them (sorted by source, label -1 into the last state alone)"
    elif len(np.unique(at)) != len(at):
        problem = "a state has several final arcs, a lattice's state one final weight; merge them"
    elif fsa.word is not None and (fsa.word[ending] > 0).any():
        problem = "a final arc has a word; a lattice has no place for it"
    elif not (np.isfinite(fsa.graph).all() and np.isfinite(fsa.acoustic).all()):
        problem = "a score is not finite; connect and prune the FSA first"
    if problem:
        raise HdnnError(f"{where}: {problem}")
    final = np.full((states, 2), np.inf, np.float32)
    final[at] = np.stack([fsa.graph[ending], fsa.acoustic[ending]], 1)
    arcs = np.zeros(int(inner.sum()), COMPACT_ARC if fsa.word is None else LATTICE_ARC)
    arcs["graph"], arcs["acoustic"], arcs["nextstate"] = fsa.graph[inner], fsa.acoustic[inner], fsa.target[inner]
    offsets, start = cumulative(np.bincount(fsa.source[inner], minlength=states)), 0 if states else -1
    lattice: AnyLattice
    if fsa.word is not None:
        arcs["ilabel"], arcs["olabel"] = fsa.label[inner], fsa.word[inner]
        lattice = Lattice(start, offsets, arcs, final)
    else:
        assert fsa.length is not None
        assert fsa.strings is not None
        arcs["label"] = fsa.label[inner]
        begin, final_length = np.cumsum(fsa.length) - fsa.length, np.zeros(states, np.int64)
        final_length[at] = fsa.length[ending]
        lattice = CompactLattice(
            start, offsets, arcs, final,
            cumulative(fsa.length[inner]), fsa.strings[ranges(begin[inner], fsa.length[inner])],
            cumulative(final_length), fsa.strings[ranges(begin[ending], fsa.length[ending])],
        )  # fmt: skip
    topological_order(lattice, where)
    return lattice
