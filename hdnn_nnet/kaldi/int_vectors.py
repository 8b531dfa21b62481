"""Vectors of 32-bit integers (alignments, words): one entry of a table, and writing tables of them."""

import re
import struct
from collections.abc import Sequence

import numpy as np

from hdnn_nnet.kaldi.basic_io import INT32_ITEM
from hdnn_nnet.kaldi.byte_stream import ByteStream
from hdnn_nnet.kaldi.marks import INTEGERS, TEXT, kind_of, wrong_kind
from hdnn_nnet.kaldi.script_table import ScriptTable
from hdnn_nnet.kaldi.table_writer import TableWriter

_SIZE = struct.Struct("<i")
_HEADER = 7
_ITEM = INT32_ITEM.itemsize
_INT32 = np.iinfo(np.int32)
_INTEGERS = re.compile(rb"[\d\s+-]*", re.ASCII)


def read_int_vector(stream: ByteStream) -> np.ndarray:
    """Take the next vector of integers, binary or text; int32, shape (n,).

    Value by value, as kaldiio does it, it would take minutes for 80 hours of alignments.

    Raises:
        HdnnError: another kind of entry, or a damaged one.
    """
    kind = kind_of(stream)
    if kind == TEXT:
        return _read_text(stream)
    if kind != INTEGERS:
        raise wrong_kind(stream, kind, "a vector of integers")
    # The mark and a size byte come before the count.
    count = _SIZE.unpack_from(stream.buffer, stream.at + 3)[0] if stream.need(_HEADER) else -1
    if count < 0 or not stream.need(_HEADER + _ITEM * count):
        raise stream.fail("truncated or damaged vector of integers; regenerate it")
    items = np.frombuffer(stream.buffer, INT32_ITEM, count, stream.at + _HEADER)
    stream.at += _HEADER + _ITEM * count
    if np.count_nonzero(items["size"] == 4) != count:
        raise stream.fail("not a vector of 32-bit integers; regenerate it")
    return items["value"].astype(np.int32)


def _read_text(stream: ByteStream) -> np.ndarray:
    end = stream.find(b"\n")
    if end < 0:
        raise stream.fail("truncated vector of integers, its line does not end; regenerate it")
    try:
        data = bytes(stream.read(end + 1))
        if not _INTEGERS.fullmatch(data):  # int() takes `1_000` too
            raise ValueError("something else between them")
        values = np.array([int(word) for word in data.split()], np.int64)
    except (ValueError, OverflowError) as error:
        raise stream.fail(f"not a vector of integers ({error}); regenerate it") from error
    if len(values) and not _INT32.min <= values.min() <= values.max() <= _INT32.max:
        raise stream.fail("not a vector of 32-bit integers; regenerate it")
    return values.astype(np.int32)


class IntVectorTable(ScriptTable[np.ndarray]):
    """The integer vectors of a script file by key, each restricted to the range of its line."""

    def __getitem__(self, key: str) -> np.ndarray:
        """The vector; int32, shape (n,)."""
        stream, part = self.open(key)
        vector = read_int_vector(stream)
        return vector if part is None else vector[self.slices(stream, part, len(vector), 1)[0]]


def int_vector_bytes(values: Sequence[int] | np.ndarray) -> bytes:
    """A vector in Kaldi's binary form, with the `\\0B` mark."""
    items = np.full(len(values), 4, INT32_ITEM)
    items["value"] = values
    return b"\0B" + struct.pack("<bi", 4, len(values)) + items.tobytes()


class IntVectorWriter(TableWriter):
    """A table of integer vectors to any wspecifier, as Kaldi's Int32VectorWriter; `ark,t:` writes the text form."""

    def write_vector(self, key: str, values: Sequence[int] | np.ndarray) -> None:
        """Write one vector of int32."""
        if self.text:
            self.write(key, ("".join(f"{v} " for v in values) + "\n").encode())
        else:
            self.write(key, int_vector_bytes(values))
