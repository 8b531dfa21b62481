"""Random access to the matrices of a script file."""

import numpy as np

from hdnn_nnet.kaldi.marks import TEXT
from hdnn_nnet.kaldi.matrix import matrix_kind, read_header, read_matrix
from hdnn_nnet.kaldi.script_table import ScriptTable


class MatrixTable(ScriptTable[np.ndarray]):
    """The matrices of a script file by key, each restricted to the range of its line."""

    def __getitem__(self, key: str) -> np.ndarray:
        """The matrix, float32 or float64 as stored, shape (rows, columns); may be read-only.

        Raises:
            HdnnError: no such key, no or a damaged matrix, or a range that the matrix does not have.
        """
        stream, part = self.open(key)
        matrix = read_matrix(stream)
        return matrix if part is None else matrix[self.slices(stream, part, *matrix.shape)]

    def shape(self, key: str) -> tuple[int, int]:
        """Rows and columns, from the header alone if the matrix is binary; raises as reading it does."""
        stream, part = self.open(key)
        kind = matrix_kind(stream)
        if kind == TEXT:
            rows, columns = read_matrix(stream).shape
        else:
            header = read_header(stream, kind)
            rows, columns = header.rows, header.columns
        if part is None:
            return rows, columns
        row_slice, column_slice = self.slices(stream, part, rows, columns)
        return row_slice.stop - row_slice.start, column_slice.stop - column_slice.start
