"""Kaldi's extended file names (`file`, `file.gz`, `file:offset`, `-`, `command |`) and the specifiers of its tables."""

import gzip
import os
import re
import subprocess
import sys
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from io import BufferedIOBase
from typing import NamedTuple, cast

from hdnn_nnet.errors import HdnnError

_GUNZIP = re.compile(r"\s*(?:gunzip\s+-c|gzip\s+-(?:cd|dc)|zcat)\s+([\w./+=@%:,-]+\.gz)\s*\|\s*")
_PIECE = 1 << 16
_MOST_DIGITS = 18  # of an offset
_MOST_AFTER_ERROR = 1 << 26
#: what reading a stream of `open_input` raises
READ_ERRORS = (OSError, EOFError, zlib.error)
#: what may stand before the colon of an rspecifier or wspecifier beside `ark` and `scp` (util/kaldi-table.cc)
_OPTIONS = frozenset(("b", "t", "f", "nf", "o", "no", "p", "np", "s", "ns", "cs", "ncs", "bg"))


class Specifier(NamedTuple):
    """A parsed rspecifier or wspecifier.

    Attributes:
        archive: extended file name of the archive, None without one.
        script: that of the script file, None without one.
        options: such as `t` (text) or `s,cs` (sorted).
    """

    archive: str | None
    script: str | None
    options: frozenset[str] = frozenset()


def parse_specifier(specifier: str | os.PathLike[str]) -> Specifier:
    """Parse `ark,t:-`, `scp:feats.scp` or `ark,scp:a.ark,a.scp`; a plain path is an archive, or a script file if it ends so.

    Raises:
        HdnnError: an option that Kaldi does not have, `ark` or `scp` twice, `scp` before `ark`, or only one name for both.
    """
    text = str(specifier)
    head, colon, rest = text.partition(":")
    words = re.split("[ ,]", head)
    kinds = [word for word in words if word in ("ark", "scp")]
    options = frozenset(words) - {"ark", "scp"}
    if not colon or not (kinds or options <= _OPTIONS):
        return Specifier(None, text) if text.endswith(".scp") else Specifier(text, None)
    if not options <= _OPTIONS:
        raise HdnnError(f"{text}: no such option of a table: {' '.join(map(repr, sorted(options - _OPTIONS)))}")
    if kinds == ["ark"]:
        return Specifier(rest, None, options)
    if kinds == ["scp"]:
        return Specifier(None, rest, options)
    archive, comma, script = rest.partition(",")
    if kinds != ["ark", "scp"] or not comma:
        raise HdnnError(f"{text}: expected ark:NAME, scp:NAME or ark,scp:NAME.ark,NAME.scp")
    return Specifier(archive, script, options)


def without_gunzip(rxfilename: str) -> str:
    """`gunzip -c file.gz |`, Kaldi's idiom, as `file.gz`, which is unpacked here; any other name without outer blanks.

    A process for every lattice takes seven times as long as reading it.
    """
    match = _GUNZIP.fullmatch(rxfilename)
    return match.group(1) if match else rxfilename.strip()


def split_offset(name: str) -> tuple[str, int]:
    """`file:offset` to its parts; the offset is 0 where there is none. Like Kaldi, digits after a colon are always one."""
    path, _, offset = name.rpartition(":")
    if not path or not offset.isascii() or not offset.isdigit():
        return name, 0
    if len(offset) > _MOST_DIGITS:
        raise HdnnError(f"{name}: no file is so long; regenerate the script file")
    return path, int(offset)


def read_error(name: str, error: Exception) -> HdnnError:
    """What to raise for one of READ_ERRORS."""
    if isinstance(error, OSError) and not isinstance(error, gzip.BadGzipFile):
        return HdnnError(f"cannot read {name}: {error.strerror or error}")
    return HdnnError(f"{name}: damaged or truncated gzip file ({error}); regenerate it")


@contextmanager
def open_input(rxfilename: str | os.PathLike[str]) -> Iterator[BufferedIOBase]:
    """Open an extended file name for reading; `.gz` is unpacked, and an offset counts unpacked bytes.

    Raises:
        HdnnError: missing or damaged file, or a command that fails; also for READ_ERRORS inside the block.
    """
    name = without_gunzip(str(rxfilename))
    try:
        if name == "-":
            yield cast(BufferedIOBase, sys.stdin.buffer)
        elif name.endswith("|"):
            with _command(name) as stream:
                yield stream
        else:
            path, offset = split_offset(name)
            packed = path.endswith(".gz")
            if (
                packed and os.path.isfile(path) and not os.path.getsize(path)
            ):  # the package takes it for an empty archive
                raise EOFError("it is empty")
            with gzip.open(path) if packed else open(path, "rb") as stream:
                if offset:  # named pipes and <(command) cannot seek
                    stream.seek(offset)
                yield stream
    except READ_ERRORS as error:
        raise read_error(name, error) from error


@contextmanager
def _command(name: str) -> Iterator[BufferedIOBase]:
    problem: HdnnError | None = None
    # pipefail: otherwise `gunzip -c missing | ...` would read as an empty table.
    with subprocess.Popen(["bash", "-o", "pipefail", "-c", name[:-1]], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        try:
            yield cast(BufferedIOBase, process.stdout)
        except HdnnError as error:  # what makes no sense may come from a command that fails, which tells more
            problem = error
        # An early close would make the command fail with a broken pipe.
        count = 0
        while (problem is None or count < _MOST_AFTER_ERROR) and (piece := process.stdout.read(_PIECE)):
            count += len(piece)
    if problem is not None and (process.returncode == 0 or count >= _MOST_AFTER_ERROR):
        raise problem
    if process.returncode != 0:
        message = f"{name}: the command failed with status {process.returncode}; run it by hand to see why"
        raise HdnnError(message) from problem


def read_bytes(rxfilename: str | os.PathLike[str]) -> bytes:
    """All that an extended file name gives.

    Raises:
        HdnnError: as `open_input`.
    """
    with open_input(rxfilename) as stream:
        return stream.read()
