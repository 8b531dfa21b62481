"""Script files: where each entry of a table is, and random access to it."""

import logging
import os
import sys
from abc import ABC, abstractmethod
from collections import OrderedDict
from pathlib import Path
from typing import Generic, TypeVar

from hdnn_nnet.errors import HdnnError
from hdnn_nnet.kaldi.byte_stream import ByteStream, FileStream
from hdnn_nnet.kaldi.matrix_range import MatrixRange, split_range
from hdnn_nnet.kaldi.rxfile import read_bytes, split_offset, without_gunzip
from hdnn_nnet.kaldi.text_file import read_lines
from hdnn_nnet.text import first_word

log = logging.getLogger(__name__)

T = TypeVar("T")

_MAX_OPEN_FILES = 200
_AHEAD = 1 << 10  # a header, and all of a small entry


def read_scp(path: str | os.PathLike[str]) -> dict[str, str]:
    """Script file or any Kaldi map file: first word to the rest of the line, in file order.

    Args:
        path: also `-` or `command |`.

    Raises:
        HdnnError: a file that cannot be read, an empty line, or a key that occurs twice.
    """
    table: dict[str, str] = {}
    for number, line in enumerate(read_lines(path), 1):
        key, rest = first_word(line)
        if not key:
            raise HdnnError(f"{path}, line {number}: empty line; remove it")
        if key in table:
            raise HdnnError(f"{path}, line {number}: key {key} occurs twice; run fix_data_dir.sh")
        table[key] = rest
    return table


class ArchiveFiles:
    """Open archive files, read at offsets by pread.

    Threads and forked data loaders can share them (see FileStream). Pickling (for spawned workers) leaves the descriptors
    out. The least recently used file is closed when there are too many.

    Args:
        root: where to look for relative paths that do not exist from the current directory.
    """

    def __init__(self, root: str | os.PathLike[str] | None = None) -> None:
        self.root = Path(root) if root is not None else None
        self._handles: OrderedDict[str, int] = OrderedDict()

    def __getstate__(self) -> dict:
        return {"root": self.root, "_handles": OrderedDict()}

    def __del__(self) -> None:
        for handle in self._handles.values():
            os.close(handle)

    def find(self, name: str) -> Path:
        """Where a file is: from the current directory, else from `root`."""
        candidates = [Path(name)] + ([self.root / name] if self.root is not None else [])
        path = next((p for p in candidates if p.exists()), None)
        if path is None:
            places = " nor ".join(str(p) for p in candidates)
            raise HdnnError(f"{places} does not exist; scp paths are relative to the directory where they were made")
        return path

    def handle(self, name: str) -> int:
        """The descriptor of an open file."""
        handle = self._handles.get(name)
        if handle is None:
            handle = self._handles[name] = os.open(self.find(name), os.O_RDONLY)
            if len(self._handles) > _MAX_OPEN_FILES:
                os.close(self._handles.popitem(last=False)[1])
        else:
            self._handles.move_to_end(name)
        return handle


class ScriptTable(ABC, Generic[T]):
    """Random access to the entries of a script file: `table[key]`.

    Args:
        path: the script file, also `-` or `command |`.
        root: where to look for relative paths that do not exist from the current directory.

    Attributes:
        lines: key -> rest of its line, in file order.
    """

    def __init__(self, path: str | os.PathLike[str], root: str | os.PathLike[str] | None = None) -> None:
        self.path = Path(path)
        self.lines = read_scp(path)
        self.files = ArchiveFiles(root)
        self._places: dict[str, tuple[str, int, MatrixRange | None]] = {}
        self._clipped: set[str] = set()

    @abstractmethod
    def __getitem__(self, key: str) -> T:
        """The value of an entry."""

    def open(self, key: str, ahead: int = _AHEAD) -> tuple[ByteStream, MatrixRange | None]:
        """A stream that begins with the value of `key`, and the range to take of it.

        Args:
            ahead: bytes that are read at once.

        Raises:
            HdnnError: no such key, or a file that cannot be opened.
        """
        try:
            place = self._places.get(key)
            if place is None:
                place = self._places[key] = self._place(key)
            path, offset, part = place
            if path.endswith("|"):
                return ByteStream.of(read_bytes(path), path, key), part
            if path.endswith(".gz"):
                return ByteStream.of(read_bytes(f"{self.files.find(path)}:{offset}"), path, key), part
            return FileStream(self.files.handle(path), offset, path, key, ahead), part
        except KeyError as error:
            raise HdnnError(f"{self.path}: key {key} is missing") from error
        except (OSError, HdnnError) as error:
            raise HdnnError(f"{self.path}, key {key}: {error}") from error

    def _place(self, key: str) -> tuple[str, int, MatrixRange | None]:
        """File (or command), offset and range of a line."""
        name, part = split_range(self.lines[key].strip())
        path, offset = split_offset(without_gunzip(name) if name.endswith("|") else name)
        if not path or os.path.isdir(path):
            raise HdnnError(f"{path}: Is a directory" if path else "no name of a file")
        return sys.intern(path), offset, part

    def slices(self, stream: ByteStream, part: MatrixRange, rows: int, columns: int) -> tuple[slice, slice]:
        """What to take of a value of `rows` and `columns`; a range that ends too late by little is noted once a key."""
        try:
            slices = part.slices(rows, columns)
        except HdnnError as error:
            raise stream.fail(str(error)) from error
        if part.clips(rows) and stream.key not in self._clipped:
            self._clipped.add(stream.key)
            log.warning("%s, key %s: the range %s ends after the last of %d rows", self.path, stream.key, part, rows)
        return slices
