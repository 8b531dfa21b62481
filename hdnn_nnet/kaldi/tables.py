"""Kaldi tables (archives and script files) of matrices and integer vectors, with errors that name file and key."""

import os
from collections.abc import Iterator
from pathlib import Path

import kaldiio
import numpy as np

from hdnn_nnet.errors import HdnnError


def as_rspecifier(where: str | os.PathLike[str]) -> str:
    """`where` itself if it is a Kaldi rspecifier, else `scp:` or `ark:` by the file's name (`.gz` through gunzip)."""
    text = str(where)
    if text.split(":", 1)[0].split(",")[0] in ("ark", "scp") and ":" in text:
        return text
    if text.endswith(".scp"):
        return f"scp:{text}"
    return f"ark:gunzip -c {text}|" if text.endswith(".gz") else f"ark:{text}"


def _read(where: str | os.PathLike[str]) -> Iterator[tuple[str, np.ndarray]]:
    rspecifier = as_rspecifier(where)
    last = "the start"
    try:
        with kaldiio.ReadHelper(rspecifier) as reader:
            for key, value in reader:
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
    """Yield `(key, vector)` from a table of int32 vectors (alignments), each of shape (frames,)."""
    for key, value in _read(where):
        if not isinstance(value, np.ndarray) or value.ndim != 1 or value.dtype.kind not in "iu":
            raise HdnnError(f"{where}: key {key} is not a vector of integers")
        yield key, value.astype(np.int32, copy=False)


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
