"""Kaldi tables (archives and script files) of matrices and integer vectors, with errors that name file and key."""

import contextlib
import gzip
import os
import struct
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import IO

import kaldiio
import numpy as np

from hdnn_nnet.errors import HdnnError
from hdnn_nnet.kaldi.basic_io import INT32_ITEM, read_bytes, without_gunzip


def as_rspecifier(where: str | os.PathLike[str]) -> str:
    """`where` itself if it is a Kaldi rspecifier, else `scp:` or `ark:` in front of it by the file's name."""
    text = str(where)
    if text.split(":", 1)[0].split(",")[0] in ("ark", "scp") and ":" in text:
        return text
    return f"scp:{text}" if text.endswith(".scp") else f"ark:{text}"


@contextlib.contextmanager
def open_archive(rxfilename: str) -> Iterator[IO[bytes]]:
    """A file (`.gz` or not), `-` for stdin, or `command |`, whose failure is an error and not an empty table."""
    name = without_gunzip(rxfilename)
    if name.endswith("|"):
        with subprocess.Popen(["bash", "-o", "pipefail", "-c", name[:-1]], stdout=subprocess.PIPE) as process:
            assert process.stdout is not None
            yield process.stdout
        if process.returncode != 0:
            raise HdnnError(f"{name}: the command failed with status {process.returncode}; run it by hand to see why")
    elif name == "-":
        yield sys.stdin.buffer
    else:
        with gzip.open(name, "rb") if name.endswith(".gz") else open(name, "rb") as handle:
            yield handle  # type: ignore[misc]  # a gzip file serves as a stream of bytes


def _read(where: str | os.PathLike[str]) -> Iterator[tuple[str, np.ndarray]]:
    rspecifier = as_rspecifier(where)
    kind, _, rest = rspecifier.partition(":")
    last = "the start"
    try:
        with contextlib.ExitStack() as stack:
            if kind.split(",")[0] == "ark":
                entries = kaldiio.load_ark(stack.enter_context(open_archive(rest)))
            else:
                entries = stack.enter_context(kaldiio.ReadHelper(rspecifier))
            for key, value in entries:
                yield key, value
                last = f"key {key}"
    except HdnnError:
        raise
    except Exception as error:  # kaldiio raises many types for damaged archives
        raise HdnnError(
            f"{rspecifier}: cannot read the entry after {last} ({type(error).__name__}: {error}); "
            "the file is missing, truncated or not a Kaldi table: make it again"
        ) from error


def read_matrices(where: str | os.PathLike[str]) -> Iterator[tuple[str, np.ndarray]]:
    """Yield `(key, matrix)` from a table of real matrices; each is float32, shape (rows, columns), finite.

    Args:
        where: an rspecifier (`ark,s,cs:command |`, `scp:feats.scp`) or a plain path (`.scp`, `.ark`, `.gz`).

    Raises:
        HdnnError: unreadable entry, an entry that is no matrix, or NaN or infinity in it.
    """
    for key, value in _read(where):
        if not isinstance(value, np.ndarray) or value.ndim != 2:
            raise HdnnError(f"{where}: key {key} is not a matrix")
        if not np.isfinite(value).all():
            raise HdnnError(f"{where}: key {key} holds NaN or infinity; extract these features again")
        yield key, np.asarray(value, dtype=np.float32)


def read_int_vectors(where: str | os.PathLike[str]) -> Iterator[tuple[str, np.ndarray]]:
    """Yield `(key, vector)` from a table of int32 vectors (alignments), each of shape (frames,).

    An archive is read whole and parsed in one piece: value by value it would take minutes for 80 hours of alignments.
    """
    rspecifier = as_rspecifier(where)
    kind, _, rest = rspecifier.partition(":")
    if kind.split(",")[0] == "ark":
        yield from parse_int_vectors(read_bytes(rest), str(where))
        return
    for key, value in _read(where):
        if not isinstance(value, np.ndarray) or value.ndim != 1 or value.dtype.kind not in "iu":
            raise HdnnError(f"{where}: key {key} is not a vector of integers")
        yield key, value.astype(np.int32, copy=False)


def parse_int_vectors(data: bytes, where: str) -> Iterator[tuple[str, np.ndarray]]:
    """Entries of an int32-vector archive in memory, binary or text; far faster than one value at a time."""
    position, last = 0, "the start"
    problem = "the archive is truncated or not one of integer vectors: make it again"
    while position < len(data):
        space = data.find(b" ", position)
        line_end = data.find(b"\n", position)
        if data[space + 1 : space + 3] == b"\0B" and space > position:
            key = data[position:space].decode("utf-8", "replace")
            start = space + 8  # mark, size byte and count
            count = struct.unpack("<i", data[start - 4 : start])[0] if start <= len(data) else -1
            position = start + 5 * count
            if data[space + 3 : space + 4] != b"\4" or count < 0 or position > len(data):
                raise HdnnError(f"{where}: bad entry after {last}; {problem}")
            items = np.frombuffer(data, INT32_ITEM, count, start)
            if (items["size"] != 4).any():
                raise HdnnError(f"{where}: key {key} is not a vector of integers; {problem}")
            values = items["value"].astype(np.int32)
        else:
            line = data[position : line_end if line_end >= 0 else len(data)].split()
            if line_end < 0 or not line:
                raise HdnnError(f"{where}: bad entry after {last}; {problem}")
            key = line[0].decode("utf-8", "replace")
            try:
                values = np.array([int(word) for word in line[1:]], dtype=np.int32)
            except (ValueError, OverflowError) as error:
                raise HdnnError(f"{where}: key {key} is not a vector of integers; {problem}") from error
            position = line_end + 1
        yield key, values
        last = f"key {key}"


def read_scp(path: str | os.PathLike[str]) -> dict[str, str]:
    """Script file or any Kaldi map file: first word to the rest of the line, in file order."""
    try:
        lines = Path(path).read_text(encoding="utf-8").splitlines()
    except FileNotFoundError as error:
        raise HdnnError(f"{path} does not exist") from error
    table: dict[str, str] = {}
    for number, line in enumerate(lines, 1):
        words = line.split(maxsplit=1)
        if not words:
            raise HdnnError(f"{path}, line {number}: empty line; remove it")
        if words[0] in table:
            raise HdnnError(f"{path}, line {number}: key {words[0]} stands there twice; run fix_data_dir.sh")
        table[words[0]] = words[1] if len(words) > 1 else ""
    return table
