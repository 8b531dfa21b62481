"""Kaldi tables (archives and script files) as streams, in bounded memory; those of matrices and of integer vectors."""

import os
from collections.abc import Callable, Iterator
from typing import TypeVar

import numpy as np

from hdnn_nnet.errors import HdnnError
from hdnn_nnet.kaldi.byte_stream import ByteStream, open_stream
from hdnn_nnet.kaldi.int_vectors import IntVectorTable, read_int_vector
from hdnn_nnet.kaldi.matrix import read_matrix
from hdnn_nnet.kaldi.matrix_table import MatrixTable
from hdnn_nnet.kaldi.rxfile import open_input, parse_specifier
from hdnn_nnet.kaldi.script_table import ScriptTable

T = TypeVar("T")


def read_archive(archive: str, read_value: Callable[[ByteStream], T]) -> Iterator[tuple[str, T]]:
    """Yield `(key, value)` for every entry of an archive.

    Args:
        archive: an extended file name.
        read_value: takes the value from the stream, which begins with it.

    Raises:
        HdnnError: an archive that cannot be read, something that is no key, or what `read_value` raises.
    """
    with open_input(archive) as source:
        stream = ByteStream(source, "standard input") if archive.strip() == "-" else open_stream(source, archive)
        while stream.next_key():
            yield stream.key, read_value(stream)


def read_table(
    where: str | os.PathLike[str], read_value: Callable[[ByteStream], T], table: type[ScriptTable[T]]
) -> Iterator[tuple[str, T]]:
    """Yield `(key, value)` for every entry of a table.

    Args:
        where: an rspecifier (`ark,s,cs:command |`, `scp:feats.scp`) or a plain path (`.scp`, `.ark`, `.gz`).
        read_value: takes the value of an entry of an archive from the stream.
        table: reads those of a script file.

    Raises:
        HdnnError: unreadable or damaged table; file and key are named.
    """
    archive, script, _ = parse_specifier(where)
    if archive is not None:
        yield from read_archive(archive, read_value)
    elif script is not None:
        entries = table(script)
        for key in entries.lines:
            yield key, entries[key]


def read_matrices(where: str | os.PathLike[str]) -> Iterator[tuple[str, np.ndarray]]:
    """Yield `(key, matrix)` from a table of real matrices; each is float32, shape (rows, columns), finite.

    Args:
        where: an rspecifier or a path, as for `read_table`.

    Raises:
        HdnnError: unreadable entry, an entry that is no matrix, or NaN or infinity in it.
    """
    for key, value in read_table(where, read_matrix, MatrixTable):
        with np.errstate(over="ignore"):  # refused here
            single = np.asarray(value, dtype=np.float32)
        if not np.isfinite(single).all():
            raise HdnnError(f"{where}, key {key}: NaN or infinity; regenerate this matrix")
        yield key, single


def read_int_vectors(where: str | os.PathLike[str]) -> Iterator[tuple[str, np.ndarray]]:
    """Yield `(key, vector)` from a table of int32 vectors (alignments), each of shape (frames,).

    Args:
        where: an rspecifier or a path, as for `read_table`.

    Raises:
        HdnnError: unreadable entry, or an entry that is no vector of 32-bit integers.
    """
    return read_table(where, read_int_vector, IntVectorTable)
