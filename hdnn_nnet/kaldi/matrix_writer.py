"""Writing matrices to tables."""

import io
import os
from collections.abc import Iterable

import numpy as np
from kaldiio.matio import write_array

from hdnn_nnet.kaldi.compress import compress_matrix
from hdnn_nnet.kaldi.rxfile import Specifier
from hdnn_nnet.kaldi.table_writer import TableWriter


def matrix_bytes(matrix: np.ndarray) -> bytes:
    """A matrix in Kaldi's binary form, with the `\\0B` mark: `DM` for float64, else `FM`."""
    buffer = io.BytesIO()
    write_array(buffer, matrix if matrix.dtype == np.float64 else np.asarray(matrix, np.float32))
    return buffer.getvalue()


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
    count = 0
    with MatrixWriter(Specifier(str(ark), str(scp))) as writer:
        for key, matrix in matrices:
            writer.write(key, b"\0B" + compress_matrix(matrix) if compress else matrix_bytes(matrix))
            count += 1
    return count
