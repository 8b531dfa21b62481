"""Statistics for mean and variance normalisation by speaker, as Kaldi's compute-cmvn-stats computes them."""

import numpy as np


def accumulate_cmvn(stats: np.ndarray | None, features: np.ndarray) -> np.ndarray:
    """Add an utterance's frames to `stats` (None: begin); float64, shape (2, D + 1).

    Row 0 holds sums and the frame count, row 1 sums of squares and 0. Squares are rounded to single precision and
    frames are added one after the other, which gives Kaldi's very bits.
    """
    frames, dim = features.shape
    features = np.ascontiguousarray(features, dtype=np.float32)
    terms = np.zeros((frames + 1, 2, dim + 1))
    if stats is not None:
        terms[0] = stats
    terms[1:, 0, :dim] = features
    terms[1:, 0, dim] = 1.0
    terms[1:, 1, :dim] = features * features
    # A sum over the slow axis goes row by row; numpy's pairwise summation is for the fast axis only.
    return np.add.reduce(terms, axis=0)
