"""Groups of different sizes, one after the other in an array."""

import numpy as np


def ranges(begins: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """Concatenate `arange(b, b + c)` for all pairs of `begins` and `counts`; int64."""
    ends = np.cumsum(counts)
    total = int(ends[-1]) if len(ends) else 0
    return np.arange(total) + np.repeat(begins - (ends - counts), counts)


def cumulative(counts: np.ndarray) -> np.ndarray:
    """(n + 1,) int64 offsets for groups of `counts` entries."""
    offsets = np.zeros(len(counts) + 1, np.int64)
    np.cumsum(counts, out=offsets[1:])
    return offsets
