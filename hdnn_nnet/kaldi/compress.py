"""Matrices compressed as Kaldi's copy-feats --compress=true does it, byte for byte."""

import struct

import numpy as np

from hdnn_nnet.errors import HdnnError
from hdnn_nnet.kaldi.matrix import percentiles_to_float


def compress_matrix(matrix: np.ndarray) -> bytes:
    """A matrix in Kaldi's binary form with the automatic method: `CM`, or `CM2` up to 8 rows; without the `\\0B` mark.

    Args:
        matrix: float32, shape (T, D), T and D at least 1, finite.
    """
    matrix = np.asarray(matrix, dtype=np.float32)
    rows, columns = matrix.shape
    if rows == 0 or columns == 0 or not np.isfinite(matrix).all():
        raise HdnnError(f"cannot compress a matrix of shape {matrix.shape}, or with NaN or infinity")
    minimum, maximum = matrix.min(), matrix.max()
    if maximum == minimum:
        maximum = np.float32(np.float64(minimum) + (1.0 + np.abs(np.float64(minimum))))
    range_ = np.float32(maximum - minimum)
    header = struct.pack("<ffii", minimum, range_, rows, columns)
    if rows <= 8:
        return b"CM2 " + header + _to_uint16(matrix, minimum, range_).astype("<u2").tobytes()
    points = _percentiles(matrix, minimum, range_)
    codes = _to_codes(matrix, percentiles_to_float(points, minimum, range_))
    return b"CM " + header + points.T.astype("<u2").tobytes() + codes.T.tobytes()


def _to_uint16(values: np.ndarray, minimum: np.float32, range_: np.float32) -> np.ndarray:
    scaled = np.clip((values - minimum) / range_, np.float32(0), np.float32(1)) * np.float32(65535)
    return (scaled.astype(np.float64) + 0.499).astype(np.int64)


def _percentiles(matrix: np.ndarray, minimum: np.float32, range_: np.float32) -> np.ndarray:
    """0, 25, 75 and 100 % of each column as 16-bit numbers, each larger than the one before; shape (4, D)."""
    rows = len(matrix)
    quarter = rows // 4
    order = np.partition(matrix, sorted({0, quarter, 3 * quarter, rows - 1}), axis=0)
    points = _to_uint16(order[[0, quarter, 3 * quarter, rows - 1]], minimum, range_)
    points[0] = np.minimum(points[0], 65532)
    points[1] = np.minimum(np.maximum(points[1], points[0] + 1), 65533)
    points[2] = np.minimum(np.maximum(points[2], points[1] + 1), 65534)
    points[3] = np.maximum(points[3], points[2] + 1)
    return points


def _to_codes(matrix: np.ndarray, points: np.ndarray) -> np.ndarray:
    p0, p25, p75, p100 = points

    def piece(low: np.ndarray, high: np.ndarray, first: int, steps: int) -> np.ndarray:
        scaled = (matrix - low) / (high - low) * np.float32(steps)
        return np.clip(first + np.trunc(scaled.astype(np.float64) + 0.5), first, first + steps)

    codes = np.where(
        matrix < p25, piece(p0, p25, 0, 64), np.where(matrix < p75, piece(p25, p75, 64, 128), piece(p75, p100, 192, 63))
    )
    return codes.astype(np.uint8)
