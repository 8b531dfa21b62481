"""Entries of a table as a stream of bytes: a look ahead, and reading that gives all that was asked for or fails."""

import io
import os
import re
from collections.abc import Callable
from typing import Protocol, TypeVar

import numpy as np

from hdnn_nnet.errors import HdnnError
from hdnn_nnet.kaldi.rxfile import READ_ERRORS, read_error

AHEAD = 1 << 14  # bytes that are read at a time
_GROWTH = 64  # times that, at least, where a value turns out to be longer
_SMALL = 1 << 12  # reads up to this size go through the look ahead
_MOST = 1 << 26  # a damaged header may ask for terabytes: no more than this is set aside before it is there
_LONGEST_KEY = 4096
_KEY = re.compile(rb"\s*([^\s\x00-\x1f]{1,%d})(?:[ \t]|(?=\r?\n))" % _LONGEST_KEY)

T = TypeVar("T")


class Readable(Protocol):
    """What is needed of a file: those of `open_input`, io.BytesIO and `FileAt` have it."""

    def read1(self, count: int, /) -> bytes: ...

    def readinto(self, buffer: memoryview, /) -> int | None: ...


class FileAt:
    """A file from an offset on, read by pread, which leaves no position behind."""

    __slots__ = ("handle", "offset")

    def __init__(self, handle: int, offset: int) -> None:
        self.handle, self.offset = handle, offset

    def read1(self, count: int) -> bytes:
        piece = os.pread(self.handle, count, self.offset)
        self.offset += len(piece)
        return piece

    def readinto(self, buffer: memoryview) -> int:
        count = os.preadv(self.handle, [buffer], self.offset)
        self.offset += count
        return count


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

    def __init__(self, stream: Readable, where: str, key: str = "", ahead: int = AHEAD) -> None:
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
        begin, end = self.at, self.at + count
        if begin <= end <= len(self.buffer):
            self.at = end
            return self.buffer[begin:end]
        if count < 0:
            raise self.fail(f"damaged archive ({count} bytes announced); regenerate it")
        if count <= _SMALL and self.need(count):
            return self.read(count)
        if count > _MOST:
            parts = [self.read(min(_MOST, count - begin)) for begin in range(0, count, _MOST)]
            return b"".join(parts)
        return self._read_large(count)

    def _read_large(self, count: int) -> memoryview:
        whole = np.empty(count, np.uint8).data
        filled = len(self.buffer) - self.at
        whole[:filled] = self.buffer[self.at :]
        self.buffer, self.at = b"", 0
        while filled < count:
            try:
                taken = self.stream.readinto(whole[filled:])
            except READ_ERRORS as error:
                raise read_error(self.name, error) from error
            if not taken:
                raise self.fail(f"truncated archive, {count - filled} bytes are missing; regenerate it")
            filled += taken
        return whole

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
