"""OpenFst files with arcs of type `standard` as numpy arrays: `vector` and `const` are read, `vector` is written."""

import os
import struct
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from hdnn_nnet.atomic import atomic_path
from hdnn_nnet.errors import HdnnError

MAGIC = 2125659606
ARC = np.dtype([("ilabel", "<i4"), ("olabel", "<i4"), ("weight", "<f4"), ("nextstate", "<i4")])
_CONST_STATE = np.dtype(
    [("final", "<f4"), ("pos", "<u4"), ("narcs", "<u4"), ("niepsilons", "<u4"), ("noepsilons", "<u4")]
)
_HAS_ISYMBOLS, _HAS_OSYMBOLS, _IS_ALIGNED = 1, 2, 4
_VECTOR_PROPERTIES = 0x3  # expanded and mutable; nothing else is claimed
_ALIGNMENT = 16


@dataclass
class Fst:
    """A transducer over the tropical semiring; costs are negative logs.

    Attributes:
        start: start state, -1 when the FST is empty.
        final: (states,) float32 final costs, infinity for states that are not final.
        offsets: (states + 1,) int64; the arcs of state s are `arcs[offsets[s]:offsets[s + 1]]`.
        arcs: (arcs,) structured array with `ilabel`, `olabel`, `weight`, `nextstate`; label 0 is epsilon.
    """

    start: int
    final: np.ndarray
    offsets: np.ndarray
    arcs: np.ndarray

    @property
    def num_states(self) -> int:
        return len(self.final)

    @property
    def num_arcs(self) -> int:
        return len(self.arcs)

    def sources(self) -> np.ndarray:
        """(arcs,) int32: the state every arc leaves."""
        return np.repeat(np.arange(self.num_states, dtype=np.int32), np.diff(self.offsets))


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
        if magic != MAGIC:
            raise HdnnError(
                f"{where}: no OpenFst file (magic number {magic:#x}); give an FST that was written in binary"
            )
        position += 4
        names = []
        for _ in range(2):
            (length,) = struct.unpack_from("<i", data, position)
            if not 0 < length < 256 or position + 4 + length > len(data):
                raise HdnnError(f"{where}: damaged FST header; make the file again")
            names.append(data[position + 4 : position + 4 + length].decode("ascii", "replace"))
            position += 4 + length
        version, flags, _properties, start, num_states, num_arcs = struct.unpack_from("<iiQqqq", data, position)
    except struct.error as error:
        raise HdnnError(f"{where}: the FST header is truncated; make the file again") from error
    if flags & (_HAS_ISYMBOLS | _HAS_OSYMBOLS):
        raise HdnnError(
            f"{where}: symbol tables inside the FST are not supported; remove them with "
            "fstsymbols --clear_isymbols --clear_osymbols"
        )
    return FstHeader(names[0], names[1], version, flags, start, num_states, num_arcs, position + 40)


def read_fst(path: str | os.PathLike[str]) -> Fst:
    """Read an OpenFst file of type `vector` or `const` with standard (tropical, float) arcs, such as HCLG.fst.

    Raises:
        HdnnError: missing, truncated or damaged file, or another FST type.
    """
    try:
        data = Path(path).read_bytes()
    except OSError as error:
        raise HdnnError(f"cannot read the FST {path}: {error.strerror}") from error
    header = read_header(data, 0, str(path))
    if header.arc_type != "standard":
        raise HdnnError(
            f"{path}: arcs of type {header.arc_type}, expected standard; convert it with fstmap or remake it"
        )
    if header.fst_type == "const":
        fst = _read_const(data, header, path)
    elif header.fst_type == "vector":
        fst = _read_vector(data, header, path)
    else:
        raise HdnnError(f"{path}: FST of type {header.fst_type}; fstconvert --fst_type=const makes it readable")
    _check(fst, path)
    return fst


def _check(fst: Fst, path: str | os.PathLike[str]) -> None:
    targets = fst.arcs["nextstate"]
    bad_target = len(targets) > 0 and (targets.min() < 0 or targets.max() >= fst.num_states)
    if bad_target or not -1 <= fst.start < fst.num_states:
        raise HdnnError(f"{path}: an arc or the start leads to a state that is not there; make the file again")
    if not np.isfinite(fst.arcs["weight"]).all() or np.isnan(fst.final).any():
        raise HdnnError(f"{path}: an arc's weight is not finite; make the file again")


def _take(data: bytes, dtype: np.dtype, count: int, position: int, path: str | os.PathLike[str]) -> np.ndarray:
    if count < 0 or position + count * dtype.itemsize > len(data):
        raise HdnnError(f"{path}: the FST is truncated; make the file again")
    return np.frombuffer(data, dtype, count, position)


def _read_const(data: bytes, header: FstHeader, path: str | os.PathLike[str]) -> Fst:
    # Version 1 files are aligned even where the flag is not set.
    aligned = header.version == 1 or bool(header.flags & _IS_ALIGNED)
    position = _align(header.position) if aligned else header.position
    states = _take(data, _CONST_STATE, header.num_states, position, path)
    position += states.nbytes
    arcs = _take(data, ARC, header.num_arcs, _align(position) if aligned else position, path)
    offsets = np.zeros(header.num_states + 1, np.int64)
    np.cumsum(states["narcs"], out=offsets[1:])
    if offsets[-1] != header.num_arcs or not np.array_equal(offsets[:-1], states["pos"]):
        raise HdnnError(f"{path}: the states' arc counts do not add up; make the file again")
    return Fst(header.start, states["final"].copy(), offsets, arcs)


def _align(position: int) -> int:
    return -(-position // _ALIGNMENT) * _ALIGNMENT


def _read_vector(data: bytes, header: FstHeader, path: str | os.PathLike[str]) -> Fst:
    # A state is its final cost, its number of arcs, its arcs; so only the states are walked through one by one.
    position, starts, counts = header.position, [], []
    unpack = struct.Struct("<q").unpack_from
    try:
        for _ in range(header.num_states):
            (narcs,) = unpack(data, position + 4)
            if narcs < 0:
                raise HdnnError(f"{path}: damaged FST (negative number of arcs); make the file again")
            starts.append(position)
            counts.append(narcs)
            position += 12 + 16 * narcs
    except struct.error as error:
        raise HdnnError(f"{path}: the FST is truncated; make the file again") from error
    if position > len(data):
        raise HdnnError(f"{path}: the FST is truncated; make the file again")
    words = np.frombuffer(data, np.uint8)
    first = np.asarray(starts, np.int64)
    offsets = np.zeros(len(first) + 1, np.int64)
    np.cumsum(counts, out=offsets[1:])
    final = words[first[:, None] + np.arange(4)].view("<f4").reshape(-1) if len(first) else np.zeros(0, np.float32)
    # Arc k of the file stands 12 bytes later for every state header up to its own.
    arc_bytes = np.repeat(first + 12 - 16 * offsets[:-1], counts) + 16 * np.arange(offsets[-1])
    arcs = words[arc_bytes[:, None] + np.arange(16)].reshape(-1).view(ARC) if len(arc_bytes) else np.zeros(0, ARC)
    return Fst(header.start, final.astype(np.float32), offsets, arcs)


def write_fst(path: str | os.PathLike[str], fst: Fst) -> None:
    """Write `fst` as a `vector` FST, atomically."""
    parts = [
        struct.pack("<i", MAGIC),
        struct.pack("<i6si8s", 6, b"vector", 8, b"standard")
        + struct.pack("<iiQqqq", 2, 0, _VECTOR_PROPERTIES, fst.start, fst.num_states, fst.num_arcs),
    ]
    arcs = np.ascontiguousarray(fst.arcs, ARC).tobytes()
    offsets = fst.offsets.tolist()
    for state, final in enumerate(fst.final.tolist()):
        begin, end = offsets[state], offsets[state + 1]
        parts.append(struct.pack("<fq", final, end - begin) + arcs[16 * begin : 16 * end])
    with atomic_path(path) as temporary:
        temporary.write_bytes(b"".join(parts))
