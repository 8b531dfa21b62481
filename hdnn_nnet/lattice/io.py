"""One lattice to and from Kaldi's binary form (OpenFst vector FSTs `lattice4`, `compactlattice44`) and text form."""

from collections.abc import Iterable

import numpy as np

from hdnn_nnet.errors import HdnnError
from hdnn_nnet.kaldi.byte_stream import Truncated
from hdnn_nnet.kaldi.openfst import FstHeader, parse_states, read_header, states_bytes, vector_header
from hdnn_nnet.lattice.types import COMPACT_ARC, LATTICE_ARC, AnyLattice, CompactLattice, Lattice
from hdnn_nnet.ragged import cumulative, ranges
from hdnn_nnet.text import to_float, to_int, words

LATTICE_TYPE, COMPACT_TYPE = "lattice4", "compactlattice44"
HEADER_ROOM = 256  # no header of ours is longer
_MOST_GAPS = 1 << 20  # numbers that no state of a lattice in text form has


def parse_binary(data: bytes, position: int, where: str) -> tuple[AnyLattice, int]:
    """Parse the binary lattice at `data[position]`; return it and the position after it.

    Raises:
        Truncated: the data end too early.
        HdnnError: not a lattice, or damaged.
    """
    header = read_header(data, position, where)
    if header.fst_type != "vector" or header.arc_type not in (LATTICE_TYPE, COMPACT_TYPE):
        raise HdnnError(f"{where}: an FST of type {header.fst_type} with {header.arc_type} arcs is no Kaldi lattice")
    if header.num_states < 0:
        raise HdnnError(f"{where}: damaged lattice (number of states {header.num_states}); regenerate it")
    if header.arc_type == LATTICE_TYPE:
        offsets, final, arcs, end = parse_states(data, header.position, header.num_states, 2, 5, where)
        lattice: AnyLattice = Lattice(header.start, offsets, arcs.view(LATTICE_ARC).reshape(-1), final.view("<f4"))
    else:
        lattice, end = _parse_compact(data, header, where)
    _check(lattice, where)
    return lattice, end


def _parse_compact(data: bytes, header: FstHeader, where: str) -> tuple[CompactLattice, int]:
    # A state: final weight (2 floats, string), number of arcs (int64), arcs: 2 labels, weight, target.
    # Strings make the sizes differ, so arcs are walked through one by one and gathered in bulk afterwards.
    words = (len(data) - header.position) // 4
    position = 0
    state_at, arc_at, counts, lengths, final_lengths = [], [], [], [], []
    # Indexing a memoryview yields Python integers several times faster than indexing an array.
    with memoryview(data)[header.position : header.position + 4 * words].cast("i") as view:
        try:
            for _ in range(header.num_states):
                size = view[position + 2]
                state_at.append(position)
                final_lengths.append(size)
                position += 3 + size
                narcs, high = view[position], view[position + 1]
                if size < 0 or narcs < 0 or high != 0:
                    raise HdnnError(
                        f"{where}: damaged lattice (impossible number of arcs or length of a string); regenerate it"
                    )
                counts.append(narcs)
                position += 2
                for _ in range(narcs):
                    size = view[position + 4]
                    if size < 0:
                        raise HdnnError(f"{where}: damaged lattice (string of negative length); regenerate it")
                    arc_at.append(position)
                    lengths.append(size)
                    position += 6 + size
        except IndexError as error:
            raise Truncated from error
    if position > words:
        raise Truncated
    values = np.frombuffer(data, "<i4", words, header.position)
    state, arc = np.asarray(state_at, np.int64), np.asarray(arc_at, np.int64)
    length, final_length = np.asarray(lengths, np.int64), np.asarray(final_lengths, np.int64)
    final = values[state[:, None] + np.arange(2)].view("<f4").reshape(-1, 2)
    if not np.array_equal(values[arc], values[arc + 1]):
        raise HdnnError(f"{where}: the compact lattice is no acceptor; regenerate it")
    fields = np.stack([values[arc], values[arc + 2], values[arc + 3], values[arc + 5 + length]], 1)
    lattice = CompactLattice(
        start=header.start,
        offsets=cumulative(np.asarray(counts, np.int64)),
        arcs=np.ascontiguousarray(fields).view(COMPACT_ARC).reshape(-1),
        final=final,
        string_offsets=cumulative(length),
        strings=values[ranges(arc + 5, length)],
        final_string_offsets=cumulative(final_length),
        final_strings=values[ranges(state + 3, final_length)],
    )
    return lattice, header.position + 4 * position


def _check(lattice: AnyLattice, where: str) -> None:
    targets = lattice.arcs["nextstate"]
    lost = len(targets) > 0 and (targets.min() < 0 or targets.max() >= lattice.num_states)
    if lost or not -1 <= lattice.start < lattice.num_states:
        raise HdnnError(f"{where}: an arc of the lattice leads to a state that is not there; regenerate it")
    finite = np.isfinite(lattice.arcs["graph"]).all() and np.isfinite(lattice.arcs["acoustic"]).all()
    if not finite or np.isnan(lattice.final).any():
        raise HdnnError(f"{where}: a cost in the lattice is not finite; regenerate it")


def to_binary(lattice: AnyLattice) -> bytes:
    """Kaldi's binary form, header included, without key."""
    if isinstance(lattice, CompactLattice):
        return vector_header(COMPACT_TYPE, lattice, lattice.start) + _compact_body(lattice).tobytes()
    final, arcs = np.ascontiguousarray(lattice.final, "<f4"), np.ascontiguousarray(lattice.arcs, LATTICE_ARC)
    return vector_header(LATTICE_TYPE, lattice, lattice.start) + states_bytes(lattice.offsets, final, arcs, 2)


def _compact_body(lattice: CompactLattice) -> np.ndarray:
    counts, offsets = np.diff(lattice.offsets), lattice.offsets
    length, final_length = np.diff(lattice.string_offsets), np.diff(lattice.final_string_offsets)
    arc_words = cumulative(length + 6)
    state_words = 5 + final_length
    state = cumulative(state_words)[:-1] + arc_words[offsets[:-1]]
    arc = arc_words[:-1] + np.repeat(cumulative(state_words)[1:], counts)
    body = np.zeros(int(state_words.sum() + arc_words[-1]), "<i4")
    body[state[:, None] + np.arange(2)] = np.ascontiguousarray(lattice.final, "<f4").view("<i4").reshape(-1, 2)
    body[state + 2] = final_length
    body[ranges(state + 3, final_length)] = lattice.final_strings
    body[state + 3 + final_length] = counts
    fields = np.ascontiguousarray(lattice.arcs, COMPACT_ARC).view("<i4").reshape(-1, 4)
    for place, column in ((0, 0), (1, 0), (2, 1), (3, 2)):
        body[arc + place] = fields[:, column]
    body[arc + 4] = length
    body[ranges(arc + 5, length)] = lattice.strings
    body[arc + 5 + length] = fields[:, 3]
    return body


def parse_text(lines: Iterable[str], where: str) -> AnyLattice:
    """Parse the lines of one lattice in text form.

    A weight is `graph,acoustic` or, in a compact lattice, `graph,acoustic,id_id_id`; a weight left out means no cost.

    Raises:
        HdnnError: a line that is none of the known forms, or inconsistent content.
    """
    arcs: list[tuple[int, int, int, int, str]] = []
    finals: list[tuple[int, str]] = []
    start, transducer = -1, False
    for line in lines:
        fields = words(line)
        try:
            if start < 0:
                start = to_int(fields[0], 0)
            if len(fields) <= 2:
                weight = fields[1] if len(fields) == 2 else ""
                finals.append((to_int(fields[0], 0), weight))
                transducer |= weight.count(",") == 1
                continue
            # `from to ilabel olabel [weight]` or `from to label [weight]`; only weights have commas.
            weight = fields.pop() if "," in fields[-1] else ""
            transducer |= len(fields) == 4 or weight.count(",") == 1
            source, target, ilabel, olabel = (to_int(field, 0) for field in (*fields, fields[-1])[:4])
            arcs.append((source, target, ilabel, olabel, weight))
        except (ValueError, IndexError) as error:
            raise HdnnError(f"{where}: cannot read the lattice line {line.strip()!r}; regenerate it") from error
    try:
        return _assemble(start, arcs, finals, not transducer, where)
    except (ValueError, IndexError, OverflowError, MemoryError) as error:
        raise HdnnError(f"{where}: a weight or state of the lattice cannot be read ({error}); regenerate it") from error


def _weight(text: str, compact: bool) -> tuple[float, float, list[int]]:
    if not text:
        return 0.0, 0.0, []
    parts = text.split(",")
    if len(parts) != (3 if compact else 2):
        raise ValueError(f"weight {text!r}")
    string = [to_int(word) for word in parts[2].split("_") if word] if compact else []
    return to_float(parts[0], finite=False), to_float(parts[1], finite=False), string


def _assemble(start, arcs, finals, compact, where) -> AnyLattice:
    num_states = 1 + max([start, *(max(a[0], a[1]) for a in arcs), *(f[0] for f in finals)])
    if num_states > _MOST_GAPS + 2 * (len(arcs) + len(finals)):
        raise ValueError(f"a state {num_states - 1} with {len(arcs)} arcs")
    arcs = [arc for _, arc in sorted(enumerate(arcs), key=lambda item: (item[1][0], item[0]))]
    offsets = (
        cumulative(np.bincount([a[0] for a in arcs], minlength=num_states))
        if arcs
        else np.zeros(num_states + 1, np.int64)
    )
    weights = [_weight(a[4], compact) for a in arcs]
    final = np.full((num_states, 2), np.inf, np.float32)
    final_strings: list[list[int]] = [[] for _ in range(num_states)]
    for state, text in finals:
        graph, acoustic, final_strings[state] = _weight(text, compact)
        final[state] = graph, acoustic
    lattice: AnyLattice
    if compact:
        rows = [(a[2], w[0], w[1], a[1]) for a, w in zip(arcs, weights, strict=True)]
        strings, string_offsets = _ragged([w[2] for w in weights])
        flat, flat_offsets = _ragged(final_strings)
        lattice = CompactLattice(
            start, offsets, np.array(rows, COMPACT_ARC), final, string_offsets, strings, flat_offsets, flat
        )
    else:
        table = [(a[2], a[3], w[0], w[1], a[1]) for a, w in zip(arcs, weights, strict=True)]
        lattice = Lattice(start, offsets, np.array(table, LATTICE_ARC), final)
    _check(lattice, where)
    return lattice


def _ragged(rows: list[list[int]]) -> tuple[np.ndarray, np.ndarray]:
    offsets = cumulative(np.array([len(row) for row in rows], np.int64))
    return np.array([value for row in rows for value in row], np.int32), offsets


def to_text(lattice: AnyLattice) -> str:
    """Kaldi's text form, the closing empty line included, without key; 6 significant digits as Kaldi writes."""
    others = [s for s in range(lattice.num_states) if s != lattice.start]
    compact = lattice if isinstance(lattice, CompactLattice) else None
    rows, final = lattice.arcs.tolist(), lattice.final.tolist()
    is_final, offsets = lattice.is_final().tolist(), lattice.offsets.tolist()
    lines: list[str] = []
    for state in [lattice.start, *others] if lattice.start >= 0 else others:
        for arc in range(offsets[state], offsets[state + 1]):
            *labels, graph, acoustic, target = rows[arc]
            head = "\t".join(map(str, (state, target, *labels)))
            lines.append(_line(head, graph, acoustic, compact.string(arc) if compact else None))
        if is_final[state]:
            ending = compact.final_string(state) if compact else None
            lines.append(_line(str(state), final[state][0], final[state][1], ending))
    return "".join(line + "\n" for line in lines) + "\n"


def _line(head: str, graph: float, acoustic: float, string: np.ndarray | None) -> str:
    if graph == 0 and acoustic == 0 and (string is None or len(string) == 0):
        return head  # Kaldi leaves the weight One out
    weight = f"{graph:.6g},{acoustic:.6g}"
    if string is not None:
        weight += "," + "_".join(map(str, string.tolist()))
    return f"{head}\t{weight}"
