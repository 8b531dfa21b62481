"""Tables of lattices: archives (binary or text, `.gz`, pipes), script files with offsets, single files without key."""

import gzip
import os
import re
import struct
import subprocess
import sys
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import numpy as np

from hdnn_nnet.errors import HdnnError
from hdnn_nnet.kaldi.basic_io import INT32_ITEM, without_gunzip
from hdnn_nnet.kaldi.table_writer import TableWriter, split_specifier
from hdnn_nnet.kaldi.tables import read_scp
from hdnn_nnet.lattice.io import HEADER_ROOM, TruncatedError, parse_binary, parse_text, to_binary, to_text
from hdnn_nnet.lattice.types import AnyLattice

_MAGIC = b"\xd6\xfd\xb2\x7e"
_CHUNK = 1 << 20
_OFFSET = re.compile(r"^(.*):(\d+)$")


class _Window:
    """A stream seen through a buffer that grows on demand, so that archives need not fit into memory."""

    def __init__(self, stream: IO[bytes]) -> None:
        self.stream = stream
        self.data = b""
        self.ended = False

    def grow(self) -> bool:
        """Read on; False at the end of the stream."""
        piece = b"" if self.ended else self.stream.read(max(_CHUNK, len(self.data)))
        self.ended = not piece
        self.data += piece
        return bool(piece)

    def drop(self, count: int) -> None:
        self.data = self.data[count:]

    def find(self, wanted: bytes, begin: int = 0) -> int:
        """Position of `wanted`, -1 when the stream ends without it."""
        while True:
            position = self.data.find(wanted, begin)
            if position >= 0 or not self.grow():
                return position


@contextmanager
def open_input(rxfilename: str) -> Iterator[IO[bytes]]:
    """Open a Kaldi extended file name for reading: path (`.gz` is unpacked), `path:offset`, `-`, `command |`.

    Raises:
        HdnnError: missing or damaged file, or a command that fails.
    """
    name = without_gunzip(rxfilename)
    try:
        if name == "-":
            yield sys.stdin.buffer
        elif name.endswith("|"):
            with subprocess.Popen(["bash", "-o", "pipefail", "-c", name[:-1]], stdout=subprocess.PIPE) as process:
                assert process.stdout is not None
                yield process.stdout
                process.stdout.read()  # an early close would make the command fail with a broken pipe
            if process.returncode != 0:
                raise HdnnError(f"{name}: the command failed with status {process.returncode}; run it by hand")
        else:
            match = None if Path(name).exists() else _OFFSET.match(name)
            path, offset = (match.group(1), int(match.group(2))) if match else (name, 0)
            with gzip.open(path) if path.endswith(".gz") else open(path, "rb") as stream:
                stream.seek(offset)
                yield stream  # type: ignore[misc]  # a gzip file serves as a stream of bytes
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise HdnnError(f"{name}: damaged or truncated gzip file ({error}); make it again") from error
    except OSError as error:
        raise HdnnError(f"cannot read {name}: {error.strerror or error}") from error


def _parse_value(window: _Window, where: str) -> AnyLattice:
    """Parse the lattice at the front of `window` and drop it from there."""
    while len(window.data) < HEADER_ROOM and window.grow():
        pass
    if window.data.startswith(_MAGIC):
        while True:
            try:
                lattice, position = parse_binary(window.data, 0, where)
                break
            except TruncatedError as error:
                if not window.grow():
                    raise HdnnError(f"{where}: the lattice is truncated; make it again") from error
        window.drop(position)
        return lattice
    if window.data[:1] not in b" \t\n0123456789":
        raise HdnnError(f"{where}: neither a binary nor a text lattice; make it again")
    # The rest of the key's line is empty in text form; an empty line ends the lattice.
    first = window.find(b"\n") if window.data[:1] in b" \t\n" else -1
    end = window.find(b"\n\n", first + 1)
    if end < 0:
        raise HdnnError(f"{where}: the lattice is truncated (no empty line behind it); make it again")
    try:
        text = window.data[first + 1 : end].decode("ascii")
    except UnicodeDecodeError as error:
        raise HdnnError(f"{where}: the lattice is not text; make it again") from error
    lattice = parse_text(text.splitlines(), where)
    window.drop(end + 2)
    return lattice


def _read_archive(rxfilename: str) -> Iterator[tuple[str, AnyLattice]]:
    with open_input(rxfilename) as stream:
        window = _Window(stream)
        last = "the start"
        while True:
            while len(window.data) < HEADER_ROOM and window.grow():
                pass
            if not window.data:
                return
            if window.data.startswith(_MAGIC):
                raise HdnnError(
                    f"{rxfilename}: a lattice without key after {last}; name single lattices in a script file"
                )
            match = re.compile(rb"([^\s\x00-\x1f]{1,4096})[ \t]").match(window.data)
            if not match:
                raise HdnnError(f"{rxfilename}: no key after {last}; the archive is damaged or no table: make it again")
            key = match.group(1).decode("utf-8", "replace")
            window.drop(match.end())
            # In text form the newline behind "key " belongs to the key's line.
            yield key, _parse_value(window, f"{rxfilename}, key {key}")
            last = f"key {key}"


def read_lattice(rxfilename: str | os.PathLike[str]) -> AnyLattice:
    """Read one lattice without key: a path (also `.gz`), `path:offset` or `command |`, binary or text.

    Raises:
        HdnnError: missing, damaged or truncated file.
    """
    name = str(rxfilename)
    with open_input(name) as stream:
        return _parse_value(_Window(stream), name)


def read_lattices(rspecifier: str | os.PathLike[str]) -> Iterator[tuple[str, AnyLattice]]:
    """Yield `(key, lattice)` from a Kaldi table; a plain path is an archive (`.gz` too) or, with `.scp`, a script file.

    Raises:
        HdnnError: missing, damaged or truncated table; the message names file and key.
    """
    options, name = split_specifier(str(rspecifier))
    if "scp" not in options:
        yield from _read_archive(name)
        return
    for key, value in read_scp(name).items():
        try:
            yield key, read_lattice(value)
        except HdnnError as error:
            raise HdnnError(f"{name}, key {key}: {error}") from error


class LatticeWriter(TableWriter):
    """A table of lattices; `ark,t:` writes the text form."""

    def write_lattice(self, key: str, lattice: AnyLattice) -> None:
        """Write one lattice of either type."""
        if self.text:
            # Kaldi reads a text lattice from the line behind its key.
            self.write(key, b"\n" + to_text(lattice).encode())
        else:
            self.write(key, to_binary(lattice))


class IntVectorWriter(TableWriter):
    """A table of integer vectors (words, alignments), as Kaldi's Int32VectorWriter."""

    def write_vector(self, key: str, values: Sequence[int] | np.ndarray) -> None:
        """Write one vector of int32."""
        if self.text:
            self.write(key, ("".join(f"{v} " for v in values) + "\n").encode())
        else:
            items = np.full(len(values), 4, INT32_ITEM)
            items["value"] = values
            self.write(key, b"\0B" + struct.pack("<bi", 4, len(values)) + items.tobytes())
