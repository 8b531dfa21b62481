"""Writing archives of matrices with their script file."""

import os
import struct
from collections.abc import Iterable
from contextlib import ExitStack
from pathlib import Path

import numpy as np

from hdnn_nnet.atomic import atomic_path, write_text
from hdnn_nnet.kaldi.compress import compress_matrix
from hdnn_nnet.kaldi.table_writer import TableWriter


def matrix_bytes(matrix: np.ndarray, compress: bool = False) -> bytes:
    """A matrix in Kaldi's binary form: compressed, or `FM` (`DM` for float64), with the `\\0B` mark."""
    if compress:
        return b"\0B" + compress_matrix(matrix)
    double = matrix.dtype == np.float64
    head = b"\0B" + (b"DM " if double else b"FM ") + struct.pack("<bibi", 4, matrix.shape[0], 4, matrix.shape[1])
    return head + np.ascontiguousarray(matrix, dtype="<f8" if double else "<f4").tobytes()


class MatrixWriter(TableWriter):
    """A table of real matrices to any wspecifier; `ark,t:` writes the text form."""

    def write_matrix(self, key: str, matrix: np.ndarray) -> None:
        """Write one matrix of shape (rows, columns)."""
        if self.text:
            rows = "".join("  " + " ".join(f"{value:.9g}" for value in row) + "\n" for row in matrix)
            self.write(key, f" [\n{rows.removesuffix(chr(10))} ]\n".encode())
        else:
            self.write(key, matrix_bytes(matrix))


def write_matrices(
    ark: str | os.PathLike[str],
    scp: str | os.PathLike[str],
    matrices: Iterable[tuple[str, np.ndarray]],
    compress: bool = False,
) -> int:
    """Write `(key, matrix)` pairs one by one to `ark`, and to `scp` where each is; both are whole or absent.

    Returns:
        The number of matrices.
    """
    lines = []
    with ExitStack() as stack:
        temporary = stack.enter_context(atomic_path(Path(ark)))
        handle = stack.enter_context(open(temporary, "wb"))
        for key, matrix in matrices:
            handle.write(key.encode() + b" ")
            lines.append(f"{key} {ark}:{handle.tell()}\n")
            handle.write(matrix_bytes(matrix, compress))
    write_text(scp, "".join(lines))
    return len(lines)
