"""Linear and affine transforms of features, their composition, and tables of them, as in Kaldi's transform-feats.

A matrix with as many columns as the features have dimensions is linear; one more column is an offset.
"""

import os
from collections.abc import Mapping

import numpy as np

from hdnn_nnet.errors import HdnnError
from hdnn_nnet.kaldi.basic_io import KaldiReader, KaldiWriter
from hdnn_nnet.kaldi.matrix_writer import MatrixWriter
from hdnn_nnet.kaldi.tables import read_matrices


def apply_transform(matrix: np.ndarray, features: np.ndarray, what: str = "transform") -> np.ndarray:
    """Features (T, D) to (T, D'), float32, by a matrix (D', D) or (D', D + 1).

    Raises:
        HdnnError: the matrix has neither D nor D + 1 columns; `what` names it.
    """
    dim = features.shape[1]
    if matrix.shape[1] not in (dim, dim + 1):
        raise HdnnError(
            f"{what}: {matrix.shape[1]} columns for features of {dim} dimensions; they do not belong together"
        )
    single = matrix.astype(np.float32, copy=False)
    output = features @ single[:, :dim].T
    if matrix.shape[1] > dim:
        output += single[:, dim]
    return output


def compose_transforms(after: np.ndarray, before: np.ndarray, before_is_affine: bool = False) -> np.ndarray:
    """The matrix that does first `before`, then `after` (Kaldi's compose-transforms); shape (D'', columns).

    Args:
        before_is_affine: the last column of `before` is an offset (Kaldi's --b-is-affine); says nothing where `after`
            is linear.

    Raises:
        HdnnError: the shapes do not fit together.
    """
    rows = before.shape[0]
    if after.shape[1] == rows:
        return after @ before
    if after.shape[1] != rows + 1:
        raise HdnnError(f"a transform of {after.shape[1]} columns cannot follow one of {rows} rows")
    if not before_is_affine:
        before = np.concatenate([before, np.zeros((rows, 1))], axis=1)
    last = np.zeros((1, before.shape[1]))
    last[0, -1] = 1.0
    return after @ np.concatenate([before, last])


def identity_transform(dim: int) -> np.ndarray:
    """The affine transform that changes nothing; float64, shape (dim, dim + 1)."""
    return np.eye(dim, dim + 1)


def log_determinant(matrix: np.ndarray) -> float:
    """Log of the absolute determinant of the linear part; half that of M M' where it reduces the dimension.

    This is what Kaldi's transform-feats reports: added to log-likelihoods, it makes those of different transforms
    comparable.
    """
    rows = matrix.shape[0]
    linear = matrix[:, : matrix.shape[1] - 1] if matrix.shape[1] == rows + 1 else matrix
    return 0.5 * float(np.linalg.slogdet(linear @ linear.T)[1])


def read_matrix_file(path: str | os.PathLike[str]) -> np.ndarray:
    """A single matrix such as `final.mat`; as stored, shape (rows, columns).

    Raises:
        HdnnError: missing or damaged file, or values that are not finite.
    """
    matrix = KaldiReader.open(path).matrix()
    if matrix.size == 0 or not np.isfinite(matrix).all():
        raise HdnnError(f"{path}: an empty matrix, or one that holds NaN or infinity; estimate it again")
    return matrix


def write_matrix_file(path: str | os.PathLike[str], matrix: np.ndarray) -> None:
    """Write a single matrix in single precision, as Kaldi's est-lda and est-mllt do."""
    writer = KaldiWriter(binary=True)
    writer.matrix(matrix)
    writer.save(path)


def read_transforms(where: str | os.PathLike[str]) -> dict[str, np.ndarray]:
    """Transforms by speaker (or utterance) from a table such as `trans.1`; float32.

    Raises:
        HdnnError: missing or damaged table.
    """
    return dict(read_matrices(where))


def write_transforms(path: str | os.PathLike[str], transforms: Mapping[str, np.ndarray]) -> None:
    """Write a table of transforms such as `trans.1`, in single precision."""
    with MatrixWriter(f"ark:{path}") as writer:
        for key, matrix in transforms.items():
            writer.write_matrix(key, matrix.astype(np.float32))
