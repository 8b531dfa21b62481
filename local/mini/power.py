"""Sums of squares that come out the same with every numpy: how it orders the additions has changed with its versions."""

import numpy as np

_BUFFER = 8192
_BLOCK = 128
_LANES = 8


def sum_of_squares(samples: np.ndarray) -> np.float32:
    """Of float32 samples (N,), in single precision and in the order of numpy 1.26: pairwise within a buffer."""
    squares = np.ascontiguousarray(samples, np.float32) ** 2
    total = np.float32(0)
    for begin in range(0, len(squares), _BUFFER):
        total = total + _pairwise(squares[begin : begin + _BUFFER])
    return total


def mean_of_squares(samples: np.ndarray) -> np.float32:
    return np.float32(float(sum_of_squares(samples)) / len(samples))


def _pairwise(values: np.ndarray) -> np.float32:
    if len(values) > _BLOCK:
        half = len(values) // 2
        half -= half % _LANES
        return _pairwise(values[:half]) + _pairwise(values[half:])
    whole = len(values) - len(values) % _LANES
    total = np.float32(0)
    if whole:
        lanes = values[:_LANES].copy()
        for begin in range(_LANES, whole, _LANES):
            lanes += values[begin : begin + _LANES]
        while len(lanes) > 1:
            lanes = lanes[::2] + lanes[1::2]
        total = lanes[0]
    for value in values[whole:]:
        total = total + value
    return total
