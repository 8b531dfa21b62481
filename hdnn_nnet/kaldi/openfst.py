"""The binary layout of OpenFst files: their header, and the states of FSTs of type `vector`."""

import struct
from dataclasses import dataclass

import numpy as np

from hdnn_nnet.errors import HdnnError
from hdnn_nnet.kaldi.automaton import Automaton
from hdnn_nnet.kaldi.byte_stream import Truncated
from hdnn_nnet.ragged import cumulative

_MAGIC = 2125659606
_HAS_ISYMBOLS, _HAS_OSYMBOLS = 1, 2
_VECTOR_PROPERTIES = 0x3  # expanded and mutable; OpenFst works out the rest


@dataclass
class FstHeader:
    """OpenFst's header: what kind of FST, and what follows from `position` on."""

    fst_type: str
    arc_type: str
    version: int
    flags: int
    start: int
    num_states: int
    num_arcs: int
    position: int


def read_header(data: bytes, position: int, where: str) -> FstHeader:
    """Parse the header that starts at `data[position]`.

    Raises:
        HdnnError: no OpenFst magic number there, symbol tables inside, or a truncated header.
    """
    try:
        (magic,) = struct.unpack_from("<i", data, position)
        if magic != _MAGIC:
            raise HdnnError(
                f"{where}: no OpenFst file (magic number {magic:#x}); give an FST that was written in binary"
            )
        position += 4
        names = []
        for _ in range(2):
            (length,) = struct.unpack_from("<i", data, position)
            name = data[position + 4 : position + 4 + max(length, 0)].decode("ascii", "replace")
            if not 0 < length < 256 or len(name) != length or not name.isprintable():
                raise HdnnError(f"{where}: damaged FST header; regenerate the file")
            names.append(name)
            position += 4 + length
        version, flags, _properties, start, num_states, num_arcs = struct.unpack_from("<iiQqqq", data, position)
    except struct.error as error:
        raise HdnnError(f"{where}: the FST header is truncated; regenerate the file") from error
    if flags & (_HAS_ISYMBOLS | _HAS_OSYMBOLS):
        raise HdnnError(
            f"{where}: symbol tables inside the FST are not supported; remove them with "
            "fstsymbols --clear_isymbols --clear_osymbols"
        )
    return FstHeader(names[0], names[1], version, flags, start, num_states, num_arcs, position + 40)


def parse_states(
    data: bytes, position: int, num_states: int, weight_words: int, arc_words: int, where: str
) -> tuple[np.ndarray, np.ndarray, np.ndarray, int]:
    """The states of a vector FST: each is its final weight, its number of arcs, its arcs.

    Args:
        position: where the first one begins in `data`.
        weight_words, arc_words: 32-bit words of a weight and of an arc.

    Returns:
        (states + 1,) offsets of their arcs, (states, weight_words) and (arcs, arc_words) int32, and the position after them.

    Raises:
        Truncated: the data end before they do.
        HdnnError: an impossible number of arcs.
    """
    count = (len(data) - position) // 4
    begins, counts, at = [], [], 0
    # Indexing a memoryview yields Python integers several times faster than indexing an array.
    with memoryview(data)[position : position + 4 * count].cast("i") as view:
        try:
            for _ in range(num_states):
                low, high = view[at + weight_words], view[at + weight_words + 1]
                if high != 0 or low < 0:
                    raise HdnnError(f"{where}: damaged, a state has an impossible number of arcs; regenerate it")
                begins.append(at)
                counts.append(low)
                at += weight_words + 2 + arc_words * low
        except IndexError as error:
            raise Truncated from error
    if at > count:
        raise Truncated
    values = np.frombuffer(data, "<i4", count, position)
    begin, offsets = np.asarray(begins, np.int64), cumulative(np.asarray(counts, np.int64))
    weights = values[begin[:, None] + np.arange(weight_words)]
    arcs = values[_arc_places(begin, offsets, weight_words, arc_words)[:, None] + np.arange(arc_words)]
    return offsets, weights, arcs, position + 4 * at


def states_bytes(offsets: np.ndarray, weights: np.ndarray, arcs: np.ndarray, weight_words: int) -> bytes:
    """The states of a vector FST as `parse_states` reads them.

    Args:
        weights, arcs: by state, and (arcs,), both contiguous and of 32-bit words in any type.
    """
    states, arc_words = len(offsets) - 1, arcs.itemsize // 4
    begin = (weight_words + 2) * np.arange(states) + arc_words * offsets[:-1]
    body = np.zeros((weight_words + 2) * states + arc_words * len(arcs), "<i4")
    body[begin[:, None] + np.arange(weight_words)] = weights.view("<i4").reshape(-1, weight_words)
    body[begin + weight_words] = np.diff(offsets)
    places = _arc_places(begin, offsets, weight_words, arc_words)
    body[places[:, None] + np.arange(arc_words)] = arcs.view("<i4").reshape(-1, arc_words)
    return body.tobytes()


def _arc_places(begin: np.ndarray, offsets: np.ndarray, weight_words: int, arc_words: int) -> np.ndarray:
    """(arcs,) first word of every arc, where states begin at words `begin`."""
    first = begin + weight_words + 2 - arc_words * offsets[:-1]
    return np.repeat(first, np.diff(offsets)) + arc_words * np.arange(offsets[-1])


def vector_header(arc_type: str, fst: Automaton, start: int) -> bytes:
    """The header of a vector FST."""
    header = struct.pack(f"<ii6si{len(arc_type)}s", _MAGIC, 6, b"vector", len(arc_type), arc_type.encode())
    return header + struct.pack("<iiQqqq", 2, 0, _VECTOR_PROPERTIES, start, fst.num_states, fst.num_arcs)
