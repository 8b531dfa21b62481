"""How well one Gaussian fits the frames of a cluster: what clustering and tree building maximise.

Log-likelihoods are rounded to single precision where Kaldi's GaussClusterable rounds them. Splits of a large node often
gain the same in single precision, and the first one wins; so the trees are Kaldi's only with Kaldi's rounding.
"""

import numpy as np

LOG_2PI = float(np.log(2 * np.pi))


def log_likelihood(moments: np.ndarray, floor: float) -> np.ndarray:
    """Log-likelihood of clusters under their own Gaussians with diagonal covariance.

    sum over dimensions of -n/2 (log(2 pi v) + s / v), s the cluster's variance, v the larger of s and the floor.

    Args:
        moments: float64, shape (..., 1 + 2 D): frames, sums, sums of squares.

    Returns:
        float32, shape (...); 0 for a cluster without frames.
    """
    counts = moments[..., 0]
    dim = (moments.shape[-1] - 1) // 2
    safe = np.where(counts > 0, counts, 1.0)[..., None]
    means = moments[..., 1 : 1 + dim] / safe
    variances = moments[..., 1 + dim :] / safe - means * means
    floored = np.maximum(variances, floor)
    per_frame = -0.5 * ((variances / floored).sum(axis=-1) + np.log(floored).sum(axis=-1) + LOG_2PI * dim)
    return np.where(counts > 0, per_frame * counts, 0.0).astype(np.float32)


def merge_costs(one: np.ndarray, others: np.ndarray, floor: float) -> np.ndarray:
    """Loss of log-likelihood when a cluster, shape (1 + 2 D,), joins each of others, (n, 1 + 2 D); float32, (n,)."""
    apart = log_likelihood(one, floor) + log_likelihood(others, floor)
    return np.maximum(apart - log_likelihood(others + one, floor), np.float32(0))
