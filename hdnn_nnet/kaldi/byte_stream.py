"""Entries of a table as a stream of bytes: a look ahead, and reading that gives all that was asked for or fails."""

import gzip
import io
import os
import re
from collections.abc import Callable
from typing import Protocol, TypeVar

import numpy as np

from hdnn_nnet.errors import HdnnError
from hdnn_nnet.kaldi.rxfile import READ_ERRORS, read_error

_AHEAD = 1 << 14  # bytes that are read at a time
_AHEAD_GZIP = 1 << 17  # Python unpacks in small steps, each of which costs
_GROWTH = 64  # times that, at least, where a value turns out to be longer
_SMALL = 1 << 12  # reads up to this size go through the look ahead
_MOST = 1 << 26  # a damaged header may ask for terabytes: no more than this is set aside before it is there
_LONGEST_KEY = 4096
_KEY = re.compile(rb"\s*([^\s\x00-\x1f]{1,%d})(?:[ \t]|(?=\r?\n))" % _LONGEST_KEY)

T = TypeVar("T")


class Readable(Protocol):
    """What is needed of a file: those of `open_input` and io.BytesIO have it."""

    def read1(self, count: int, /) -> bytes: ...

    def readinto(self, buffer: memoryview, /) -> int | None: ...


class Truncated(Exception):  # a signal between a parser and `ByteStream.parse`, never an error that is shown
    """The value goes on after the end of the bytes at hand."""


class ByteStream:
    """Bytes that are looked at before they are taken.

    Args:
        stream: where they come from.
        where: what to call it in messages.
        key: of the entry that is being read, for messages.
        ahead: bytes that are read at a time where less would do.

    Attributes:
        buffer, at: what is there already, and how much of it is taken.
    """

    __slots__ = ("ahead", "at", "buffer", "key", "stream", "where")

    def __init__(self, stream: Readable, where: str, key: str = "", ahead: int = _AHEAD) -> None:
        self.stream, self.where, self.key, self.ahead = stream, where, key, ahead
        self.buffer, self.at = b"", 0

    @classmethod
    def of(cls, data: bytes, where: str, key: str = "") -> "ByteStream":
        """A stream of bytes in memory."""
        return cls(io.BytesIO(data), where, key)

    @property
    def name(self) -> str:
        """What to call the current entry in messages."""
        return f"{self.where}, key {self.key}" if self.key else self.where

    def fail(self, problem: str) -> HdnnError:
        """The error to raise for a problem of the current entry."""
        return HdnnError(f"{self.name}: {problem}")

    def need(self, count: int) -> bool:
        """Make sure that `count` bytes are in `buffer` from `at` on; False where the stream ends before."""
        missing = count - (len(self.buffer) - self.at)
        if missing <= 0:
            return True
        pieces = [self.buffer[self.at :]] if self.at < len(self.buffer) else []
        while missing > 0 and (piece := self._some(max(missing, self.ahead))):
            pieces.append(piece)
            missing -= len(piece)
        self.buffer, self.at = pieces[0] if len(pieces) == 1 else b"".join(pieces), 0
        return missing <= 0

    def _some(self, count: int) -> bytes:
        """At most `count` bytes that come next; none at the end."""
        try:
            return self.stream.read1(min(count, _MOST))
        except READ_ERRORS as error:
            raise read_error(self.name, error) from error

    def look(self, count: int) -> bytes:
        """The next `count` bytes, fewer at the end; they stay."""
        self.need(count)
        return self.buffer[self.at : self.at + count]

    def read(self, count: int) -> bytes | memoryview:
        """The next `count` bytes.

        Raises:
            HdnnError: the stream ends before.
        """
        if count <= _SMALL:
            piece = self.buffer[self.at : self.at + count]
            if len(piece) == count:
                self.at += count
                return piece
            if count < 0:
                raise self.fail(f"damaged archive ({count} bytes announced); regenerate it")
            if self.need(count):
                return self.read(count)
        if count > _MOST:
            parts = [self.read(min(_MOST, count - begin)) for begin in range(0, count, _MOST)]
            return b"".join(parts)
        return self._read_large(count)

    def _read_large(self, count: int) -> bytes | memoryview:
        whole = np.empty(count, np.uint8).data
        filled = min(len(self.buffer) - self.at, count)
        whole[:filled] = self.buffer[self.at : self.at + filled]
        self.at += filled
        while filled < count:
            try:
                taken = self.stream.readinto(whole[filled:])
            except READ_ERRORS as error:
                raise read_error(self.name, error) from error
            if not taken:
                raise self._truncated(count - filled)
            filled += taken
        return whole

    def _truncated(self, missing: int) -> HdnnError:
        return self.fail(f"truncated archive, {missing} bytes are missing; regenerate it")

    def grow(self) -> bool:
        """Read on until there is twice as much; False at the end of the stream."""
        have = len(self.buffer) - self.at
        self.need(max(2 * have, _GROWTH * self.ahead))
        return len(self.buffer) - self.at > have

    def find(self, wanted: bytes, begin: int = 0) -> int:
        """Bytes before `wanted`, looked for from `begin` on; -1 where the stream ends without it."""
        while True:
            position = self.buffer.find(wanted, self.at + begin)
            if position >= 0:
                return position - self.at
            begin = max(begin, len(self.buffer) - self.at - len(wanted) + 1)
            if not self.grow():
                return -1

    def parse(self, parser: Callable[[bytes, int], tuple[T, int]]) -> T:
        """Take a value whose length shows only while it is parsed.

        Args:
            parser: gives the value that begins at a position of some bytes, and where it ends, or raises Truncated.
        """
        while True:
            try:
                value, self.at = parser(self.buffer, self.at)
            except Truncated as error:
                if not self.grow():
                    raise self.fail("the entry is truncated; regenerate it") from error
            else:
                return value

    def next_key(self) -> bool:
        """Go on to the next entry of an archive; False at its end.

        Raises:
            HdnnError: something that is no key, or a key without a value.
        """
        while not (match := _KEY.match(self.buffer, self.at)):
            have = len(self.buffer) - self.at
            if have <= 2 * _LONGEST_KEY and self.need(have + 1):
                continue
            if have <= 2 * _LONGEST_KEY and not self.buffer[self.at :].strip():
                return False
            last = f"key {self.key}" if self.key else "the start"
            self.key = ""
            raise self.fail(f"an entry without key after {last}; the archive is damaged or no table: regenerate it")
        self.key = match.group(1).decode("utf-8", "replace")
        self.at = match.end()
        return True


class FileStream(ByteStream):
    """A stream of a file from an offset on.

    It is read by pread, which leaves no position behind: threads and forked processes can share the file.
    """

    __slots__ = ("handle", "offset")

    def __init__(self, handle: int, offset: int, where: str, key: str, ahead: int) -> None:
        self.handle, self.offset = handle, offset
        self.where, self.key, self.ahead = where, key, ahead
        self.buffer, self.at = b"", 0

    def _some(self, count: int) -> bytes:
        try:
            piece = os.pread(self.handle, min(count, _MOST), self.offset)
        except OSError as error:
            raise read_error(self.name, error) from error
        self.offset += len(piece)
        return piece

    def _read_large(self, count: int) -> bytes | memoryview:
        # Once more from where the look ahead began is faster than putting two pieces together.
        self.offset -= len(self.buffer) - self.at
        self.buffer, self.at = b"", 0
        whole = self._some(count)
        while len(whole) < count:  # file systems on a network may give less than there is
            piece = self._some(count - len(whole))
            if not piece:
                raise self._truncated(count - len(whole))
            whole += piece
        return whole


def open_stream(source: io.BufferedIOBase, where: str) -> ByteStream:
    """The fastest stream of a file of `open_input`, from where it is; the file itself may stay there."""
    if isinstance(source, gzip.GzipFile):
        return ByteStream(source, where, ahead=_AHEAD_GZIP)
    if isinstance(source, io.BufferedReader) and source.seekable():
        return FileStream(source.fileno(), source.tell(), where, "", _AHEAD)
    return ByteStream(source, where)
