"""Writing Kaldi tables to any wspecifier, with the status of pipes checked and files whole or absent."""

import io
import subprocess
import sys
from contextlib import AbstractContextManager, suppress
from types import TracebackType
from typing import IO, Self

from hdnn_nnet.atomic import atomic_path
from hdnn_nnet.errors import HdnnError
from hdnn_nnet.kaldi.rxfile import Specifier, parse_specifier


class _WholeWrites(io.BytesIO):
    """A raw stream whose `write` writes all it is given.

    With PYTHONUNBUFFERED set (as in many containers) stdout is raw: where a job is suspended and goes on, a write to a pipe
    ends early, and what was left of it would be lost.
    """

    def __init__(self, stream: io.RawIOBase) -> None:
        super().__init__()
        self._raw = stream

    def write(self, data: bytes | memoryview, /) -> int:  # type: ignore[override]  # any buffer there, these here
        rest = memoryview(data)
        while len(rest):
            rest = rest[self._raw.write(rest) or 0 :]
        return len(data)


class TableWriter:
    """Writes a Kaldi table entry by entry: `ark:FILE`, `ark,t:-`, `ark:| command`, `ark,scp:FILE,FILE`.

    Files appear under their names only when everything is written. A context manager; leaving it without an error
    finishes the files and checks the command's status.
    """

    def __init__(self, wspecifier: str | Specifier) -> None:
        self.specifier = wspecifier
        archive, script, options = wspecifier if isinstance(wspecifier, Specifier) else parse_specifier(wspecifier)
        if archive is None:
            raise HdnnError(f"{wspecifier}: only archives can be written; use ark:{script}")
        self._archive, self._script = archive.strip(), script
        if script is not None and (not script or self._archive.startswith("|") or self._archive == "-"):
            raise HdnnError(f"{wspecifier}: ark,scp: needs the names of two files, ark,scp:FILE.ark,FILE.scp")
        self.text = "t" in options
        self._process: subprocess.Popen[bytes] | None = None
        self._files: list[tuple[IO[bytes], AbstractContextManager[object]]] = []
        self._offset = 0
        self._stream: IO[bytes] = io.BytesIO()
        self._scp: IO[bytes] | None = None

    def __enter__(self) -> Self:
        target = self._archive
        if target == "-":
            stdout: object = sys.stdout.buffer
            self._stream = _WholeWrites(stdout) if isinstance(stdout, io.RawIOBase) else sys.stdout.buffer
        elif target.startswith("|"):
            command = ["bash", "-o", "pipefail", "-c", target[1:]]
            self._process = subprocess.Popen(command, stdin=subprocess.PIPE)
            assert self._process.stdin is not None
            self._stream = self._process.stdin
        else:
            self._stream = self._open(target)
            self._scp = self._open(self._script) if self._script is not None else None
        return self

    def _open(self, path: str) -> IO[bytes]:
        context = atomic_path(path)
        temporary = context.__enter__()
        stream = open(temporary, "wb")  # noqa: SIM115  # closed in __exit__
        self._files.append((stream, context))
        return stream

    def write(self, key: str, value: bytes) -> None:
        """Write one entry; `value` is what follows `key` and a space.

        Raises:
            OSError: with the name of the archive.
        """
        head = key.encode() + b" "
        try:
            self._stream.write(head)
            self._stream.write(value)
            if self._scp is not None:
                self._scp.write(f"{key} {self._archive}:{self._offset + len(head)}\n".encode())
        except BrokenPipeError:  # what reads the pipe has said why
            raise
        except OSError as error:
            raise self._named(error) from error
        self._offset += len(head) + len(value)

    def _named(self, error: OSError) -> OSError:
        """An error of writing, which knows no name."""
        if error.filename is not None or error.errno is None:
            return error
        return type(error)(error.errno, error.strerror, "standard output" if self._archive == "-" else self._archive)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        first = error
        for stream, context in self._files:
            try:
                stream.close()
            except OSError as raised:  # what was kept back no longer fits on the disk
                first = first or raised
            # contextlib re-raises an error that was passed in; ours is on its way already.
            try:
                context.__exit__(None if first is None else type(first), first, None)
            except BaseException as raised:
                first = first or raised
                if first is not error:  # with the file's final name
                    first = raised
        if self._process is not None:
            first = self._end_command(self._process, first)
        elif not self._files:
            try:
                self._stream.flush()
            except BrokenPipeError as raised:
                first = first or raised
            except OSError as raised:
                first = first or self._named(raised)
        if first is not None and first is not error:
            raise first

    def _end_command(self, process: subprocess.Popen[bytes], error: BaseException | None) -> BaseException | None:
        """Close the pipe to a command and wait for it; gives what went wrong first."""
        assert process.stdin is not None
        with suppress(BrokenPipeError):  # the command's status tells why
            process.stdin.close()
        status = process.wait()
        if status != 0 and (error is None or isinstance(error, BrokenPipeError)):
            return HdnnError(f"{self.specifier}: the command failed with status {status}; run it by hand to see why")
        if isinstance(error, BrokenPipeError):
            return HdnnError(f"{self.specifier}: the command ended before it had read everything")
        return error
