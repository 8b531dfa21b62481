"""Kaldi's basic types on disk: tokens, integers, floats and vectors, in the binary and in the text form.

The layouts are those of Kaldi's base/io-funcs and matrix/kaldi-vector. Objects (models, trees, topologies) are small
beside the features, so a file is read whole and parsed from memory.
"""

import functools
import os
import re
import struct
from collections.abc import Sequence

import numpy as np

from hdnn_nnet.atomic import atomic_path
from hdnn_nnet.errors import HdnnError
from hdnn_nnet.kaldi.rxfile import read_bytes
from hdnn_nnet.text import to_float, to_int

INT32_ITEM = np.dtype([("size", "i1"), ("value", "<i4")])  # Kaldi puts each integer's size in front of it

_INT32 = np.iinfo(np.int32)
_INTEGER = re.compile(rb"[+-]?\d{1,11}")
_WORD = re.compile(rb"\s*(\S+)")
_TOKEN = re.compile(rb"(\S+)\s")
_BRACKETED = re.compile(rb"\s*\[([^\]]*)\]")


def format_float(value: float) -> str:
    """A number as Kaldi writes it in text files (7 significant digits)."""
    return f"{value:.7g}"


def parse_rows(text: bytes) -> np.ndarray:
    """The rows between `[` and `]` of a matrix in text form; float32, shape (rows, columns).

    Raises:
        ValueError: rows of different lengths, or something that is no number.
    """
    rows = [line.split() for line in text.split(b"\n") if line.strip()]
    return np.array(rows, dtype=np.float32).reshape(len(rows), -1 if rows else 0)


class KaldiReader:
    """Reads Kaldi's basic types one after the other from memory.

    Args:
        data: the file's bytes; a leading `\\0B` selects the binary form.
        where: what to call the file in error messages.
        binary: overrules the detection, for data that carry no mark of their own.
    """

    def __init__(self, data: bytes, where: str, binary: bool | None = None) -> None:
        self.data = data
        self.where = where
        self.position = 0
        if binary is None:
            binary = data[:2] == b"\0B"
            self.position = 2 if binary else 0
        self.binary = binary

    @classmethod
    def open(cls, path: str | os.PathLike[str]) -> "KaldiReader":
        """Read the file (or `.gz`, or `command |`) at `path` whole."""
        return cls(read_bytes(path), str(path))

    def fail(self, problem: str) -> HdnnError:
        """The error to raise for `problem` at the current position."""
        return HdnnError(
            f"{self.where}: {problem} at byte {self.position}; the file is truncated or of another kind: regenerate it"
        )

    def take(self, count: int) -> bytes:
        """The next `count` bytes."""
        if count < 0 or self.position + count > len(self.data):
            raise self.fail(f"{count} bytes expected, {len(self.data) - self.position} left")
        piece = self.data[self.position : self.position + count]
        self.position += count
        return piece

    def _word(self) -> bytes:
        match = _WORD.match(self.data, self.position)
        if not match:
            raise self.fail("a value expected")
        self.position = match.end()
        return match.group(1)

    def token(self) -> str:
        """The next token, such as `<TransitionModel>`; consumes the one space after it."""
        if not self.binary:
            space = re.compile(rb"\s*").match(self.data, self.position)
            self.position = space.end() if space else self.position
        match = _TOKEN.match(self.data, self.position)
        if not match:
            raise self.fail("a token expected")
        self.position = match.end()
        return match.group(1).decode("ascii", "replace")

    def peek_token(self) -> str:
        """The next token without consuming it."""
        before = self.position
        token = self.token()
        self.position = before
        return token

    def expect(self, *tokens: str) -> str:
        """Read a token that must be one of `tokens`; return it."""
        before = self.position
        token = self.token()
        if token not in tokens:
            self.position = before
            raise self.fail(f"token {' or '.join(tokens)} expected, found {token[:40]!r}")
        return token

    def int32(self) -> int:
        """A signed 32-bit integer."""
        if not self.binary:
            word = self._word()
            try:
                return to_int(word.decode("ascii"))
            except ValueError as error:
                raise self.fail(f"an integer expected, found {word[:40]!r}") from error
        if self.take(1) != b"\4":
            self.position -= 1
            raise self.fail("a 32-bit integer expected")
        return struct.unpack("<i", self.take(4))[0]

    def uint32(self) -> int:
        """An unsigned 32-bit integer."""
        if not self.binary:
            word = self._word()
            try:
                return to_int(word.decode("ascii"), 0, (1 << 32) - 1)
            except ValueError as error:
                raise self.fail(f"an unsigned 32-bit integer expected, found {word[:40]!r}") from error
        if self.take(1) != b"\xfc":
            self.position -= 1
            raise self.fail("an unsigned 32-bit integer expected")
        return struct.unpack("<I", self.take(4))[0]

    def float(self) -> float:
        """A number of single or double precision."""
        if not self.binary:
            word = self._word()
            try:
                return to_float(word.decode("ascii"), finite=False)
            except ValueError as error:
                raise self.fail(f"a number expected, found {word[:40]!r}") from error
        size = self.take(1)
        if size not in (b"\4", b"\10"):
            self.position -= 1
            raise self.fail("a number expected")
        return struct.unpack("<f" if size == b"\4" else "<d", self.take(size[0]))[0]

    def flag(self) -> bool:
        """`T` or `F`."""
        word = self.take(1) if self.binary else self._word()
        if word not in (b"T", b"F"):
            self.position -= len(word)
            raise self.fail("T or F expected")
        return word == b"T"

    def int32_items(self, count: int) -> np.ndarray:
        """`count` successive integers, each with its own size byte; shape (count,), int32."""
        if not self.binary:
            return np.array([self.int32() for _ in range(count)], dtype=np.int32)
        items = np.frombuffer(self.take(5 * max(count, 0)), dtype=INT32_ITEM)
        if (items["size"] != 4).any():
            raise self.fail("32-bit integers expected before this point")
        return items["value"].astype(np.int32)

    def _bracketed(self, dtype: str) -> np.ndarray:
        match = _BRACKETED.match(self.data, self.position)
        if not match:
            raise self.fail("[ ... ] expected")
        self.position = match.end()
        convert = to_int if dtype.startswith("i") else functools.partial(to_float, finite=False)
        try:
            return np.array([convert(word.decode("ascii")) for word in match.group(1).split()], dtype=dtype)
        except ValueError as error:
            raise self.fail("something that is no number inside [ ... ]") from error

    def int32_vector(self) -> np.ndarray:
        """A vector of integers (Kaldi's WriteIntegerVector); shape (n,), int32."""
        if not self.binary:
            return self._bracketed("i4")
        if self.take(1) != b"\4":
            self.position -= 1
            raise self.fail("a vector of 32-bit integers expected")
        count = struct.unpack("<i", self.take(4))[0]
        return np.frombuffer(self.take(4 * count), dtype="<i4").astype(np.int32)

    def vector(self) -> np.ndarray:
        """A vector of floats (`FV`, `DV` or `[ ... ]`); shape (n,), float32 or float64 as stored."""
        if not self.binary:
            return self._bracketed("f8").astype(np.float32)
        kind = self.expect("FV", "DV")
        dtype = np.dtype("<f4" if kind == "FV" else "<f8")
        return np.frombuffer(self.take(dtype.itemsize * self.int32()), dtype=dtype).astype(dtype.newbyteorder("="))

    def matrix(self) -> np.ndarray:
        """A matrix of floats (`FM`, `DM` or rows in `[ ... ]`); shape (rows, columns)."""
        if not self.binary:
            match = _BRACKETED.match(self.data, self.position)
            if not match:
                raise self.fail("[ ... ] expected")
            self.position = match.end()
            try:
                return parse_rows(match.group(1))
            except ValueError as error:
                raise self.fail("a matrix with rows of different lengths, or something that is no number") from error
        kind = self.expect("FM", "DM")
        dtype = np.dtype("<f4" if kind == "FM" else "<f8")
        rows, columns = self.int32(), self.int32()
        values = np.frombuffer(self.take(dtype.itemsize * rows * columns), dtype=dtype)
        return values.astype(dtype.newbyteorder("=")).reshape(rows, columns)


class KaldiWriter:
    """Collects Kaldi's basic types in memory, in the binary or the text form; `save` writes them atomically."""

    def __init__(self, binary: bool) -> None:
        self.binary = binary
        self.parts: list[bytes] = []

    def text(self, text: str) -> None:
        """Layout (line ends, spaces) that exists in the text form only."""
        if not self.binary:
            self.parts.append(text.encode())

    def token(self, token: str) -> None:
        self.parts.append(token.encode() + b" ")

    def int32(self, value: int) -> None:
        self.parts.append(struct.pack("<bi", 4, value) if self.binary else b"%d " % value)

    def uint32(self, value: int) -> None:
        self.parts.append(struct.pack("<bI", -4, value) if self.binary else b"%d " % value)

    def double(self, value: float) -> None:
        self.parts.append(struct.pack("<bd", 8, value) if self.binary else format_float(value).encode() + b" ")

    def float(self, value: float) -> None:
        self.parts.append(struct.pack("<bf", 4, value) if self.binary else format_float(value).encode() + b" ")

    def flag(self, value: bool) -> None:
        self.parts.append((b"T" if value else b"F") + (b"" if self.binary else b" "))

    def int32_vector(self, values: Sequence[int] | np.ndarray) -> None:
        if self.binary:
            self.parts.append(struct.pack("<bi", 4, len(values)) + np.asarray(values, dtype="<i4").tobytes())
        else:
            self.parts.append(b"[ " + b"".join(b"%d " % v for v in values) + b"]\n")

    def vector(self, values: np.ndarray) -> None:
        """A single-precision vector."""
        if self.binary:
            self.parts.append(b"FV " + struct.pack("<bi", 4, len(values)) + np.asarray(values, dtype="<f4").tobytes())
        else:
            self.parts.append(f" [ {''.join(format_float(v) + ' ' for v in values)}]\n".encode())

    def matrix(self, values: np.ndarray, double: bool = False) -> None:
        """A matrix of single or double precision, shape (rows, columns)."""
        if self.binary:
            rows, columns = values.shape
            self.parts.append((b"DM " if double else b"FM ") + struct.pack("<bibi", 4, rows, 4, columns))
            self.parts.append(np.ascontiguousarray(values, dtype="<f8" if double else "<f4").tobytes())
        else:
            lines = ("\n  " + "".join(format_float(v) + " " for v in row) for row in values)
            self.parts.append(f" [{''.join(lines)}]\n".encode())

    def getvalue(self) -> bytes:
        """Everything written, with the `\\0B` mark if binary."""
        return (b"\0B" if self.binary else b"") + b"".join(self.parts)

    def save(self, path: str | os.PathLike[str]) -> None:
        with atomic_path(path) as temporary:
            temporary.write_bytes(self.getvalue())
