"""OpenFst files with arcs of type `standard` as numpy arrays: `vector` and `const` are read, `vector` is written."""

import os
from dataclasses import dataclass

import numpy as np

from hdnn_nnet.atomic import atomic_path
from hdnn_nnet.errors import HdnnError
from hdnn_nnet.kaldi.automaton import Automaton
from hdnn_nnet.kaldi.byte_stream import Truncated
from hdnn_nnet.kaldi.openfst import FstHeader, parse_states, read_header, states_bytes, vector_header
from hdnn_nnet.kaldi.rxfile import read_bytes
from hdnn_nnet.ragged import cumulative

ARC = np.dtype([("ilabel", "<i4"), ("olabel", "<i4"), ("weight", "<f4"), ("nextstate", "<i4")])
_CONST_STATE = np.dtype(
    [("final", "<f4"), ("pos", "<u4"), ("narcs", "<u4"), ("niepsilons", "<u4"), ("noepsilons", "<u4")]
)
_IS_ALIGNED = 4
_ALIGNMENT = 16


@dataclass
class Fst(Automaton):
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


def read_fst(path: str | os.PathLike[str]) -> Fst:
    """Read an OpenFst file of type `vector` or `const` with standard (tropical, float) arcs, such as HCLG.fst.

    Raises:
        HdnnError: missing, truncated or damaged file, or another FST type.
    """
    data = read_bytes(path)
    header = read_header(data, 0, str(path))
    if header.arc_type != "standard":
        raise HdnnError(
            f"{path}: arcs of type {header.arc_type}, expected standard; convert it with fstmap or remake it"
        )
    if header.fst_type == "const":
        fst = _read_const(data, header, path)
    elif header.fst_type == "vector":
        try:
            offsets, final, arcs, _ = parse_states(data, header.position, header.num_states, 1, 4, str(path))
        except Truncated as error:
            raise HdnnError(f"{path}: the FST is truncated; regenerate the file") from error
        fst = Fst(header.start, final.view("<f4").reshape(-1), offsets, arcs.view(ARC).reshape(-1))
    else:
        raise HdnnError(f"{path}: FST of type {header.fst_type}; fstconvert --fst_type=const makes it readable")
    _check(fst, path)
    return fst


def _check(fst: Fst, path: str | os.PathLike[str]) -> None:
    targets = fst.arcs["nextstate"]
    bad_target = len(targets) > 0 and (targets.min() < 0 or targets.max() >= fst.num_states)
    if bad_target or not -1 <= fst.start < fst.num_states:
        raise HdnnError(f"{path}: an arc or the start leads to a state that is not there; regenerate the file")
    if not np.isfinite(fst.arcs["weight"]).all() or np.isnan(fst.final).any():
        raise HdnnError(f"{path}: an arc's weight is not finite; regenerate the file")


def _take(data: bytes, dtype: np.dtype, count: int, position: int, path: str | os.PathLike[str]) -> np.ndarray:
    if count < 0 or position + count * dtype.itemsize > len(data):
        raise HdnnError(f"{path}: the FST is truncated; regenerate the file")
    return np.frombuffer(data, dtype, count, position)


def _read_const(data: bytes, header: FstHeader, path: str | os.PathLike[str]) -> Fst:
    # Version 1 files are aligned even where the flag is not set.
    aligned = header.version == 1 or bool(header.flags & _IS_ALIGNED)
    position = _align(header.position) if aligned else header.position
    states = _take(data, _CONST_STATE, header.num_states, position, path)
    position += states.nbytes
    arcs = _take(data, ARC, header.num_arcs, _align(position) if aligned else position, path)
    offsets = cumulative(states["narcs"])
    if offsets[-1] != header.num_arcs or not np.array_equal(offsets[:-1], states["pos"]):
        raise HdnnError(f"{path}: the states' arc counts do not add up; regenerate the file")
    return Fst(header.start, states["final"].copy(), offsets, arcs)


def _align(position: int) -> int:
    return -(-position // _ALIGNMENT) * _ALIGNMENT


def write_fst(path: str | os.PathLike[str], fst: Fst) -> None:
    """Write `fst` as a `vector` FST, atomically."""
    final, arcs = np.ascontiguousarray(fst.final, "<f4"), np.ascontiguousarray(fst.arcs, ARC)
    with atomic_path(path) as temporary:
        temporary.write_bytes(vector_header("standard", fst, fst.start) + states_bytes(fst.offsets, final, arcs, 1))
