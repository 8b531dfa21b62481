"""Maximum-likelihood linear transform, also called semi-tied covariance (Kaldi's gmm-acc-mllt and est-mllt).

M. J. F. Gales, "Semi-tied covariance matrices for hidden Markov models", IEEE Trans. Speech and Audio Processing, 1999.
With the statistics G_i = sum over frames t and Gaussians g of posterior * (x_t - mu_g)(x_t - mu_g)' / variance_gi, the
transform M maximises

    beta log |det M| - 1/2 sum_i m_i' G_i m_i                                                        (1)

by its rows m_i, one at a time: m_i = G_i^-1 c sqrt(beta / c' G_i^-1 c), c being the row's cofactors.    (2)
"""

import logging
from dataclasses import dataclass

import numpy as np

from hdnn_nnet.errors import HdnnError
from hdnn_nnet.gmm.model import DiagGmms
from hdnn_nnet.gmm.posteriors import FrameLabels, PdfPosteriors, gaussian_posteriors
from hdnn_nnet.gmm.rows import replace_row, stable_inverse, weighted_scatter

log = logging.getLogger(__name__)
_SWEEPS = 200  # over all rows, as Kaldi


@dataclass
class MlltStatistics:
    """What (1) needs.

    Attributes:
        beta: weight of all frames.
        scatter: (D, D, D) float64, G_i of each dimension i.
    """

    beta: float
    scatter: np.ndarray

    @classmethod
    def zeros(cls, dim: int) -> "MlltStatistics":
        return cls(0.0, np.zeros((dim, dim, dim)))

    def add(self, other: "MlltStatistics") -> None:
        self.beta += other.beta
        self.scatter += other.scatter


class MlltAccumulator:
    """Gathers MlltStatistics under one model.

    The scatter around the means comes from the scatter of the features, sum_t w_ti x_t x_t' with w_ti the sum of
    posterior / variance over the Gaussians, and the first moments of the Gaussians: a product of two large matrices instead
    of a small one for each Gaussian.

    Args:
        gmms: the model.
        rand_prune: a posterior p below it counts as `rand_prune` with probability p / rand_prune, else not at all. On
            average the statistics are the same; the work is less by this factor. 0: all posteriors count.
        seed: of the pruning.
    """

    def __init__(self, gmms: DiagGmms, rand_prune: float = 0.0, seed: int = 0) -> None:
        self.gmms = gmms
        self.rand_prune = rand_prune
        self.generator = np.random.default_rng(seed)
        self._inverse = 1.0 / gmms.variances
        self._occupancy = np.zeros(gmms.num_gauss)
        self._first = np.zeros((gmms.num_gauss, gmms.dim))
        self._scatter = np.zeros((gmms.dim, gmms.dim, gmms.dim))

    def accumulate(self, features: np.ndarray, labels: FrameLabels) -> None:
        """Add frames: features float32 (T, D)."""
        weights = np.zeros(features.shape)
        for found in gaussian_posteriors(self.gmms, features, labels):
            if self.rand_prune > 0:
                _prune(found, self.rand_prune, self.generator)
            self._occupancy[found.own] += found.posteriors.sum(axis=0)
            self._first[found.own] += found.posteriors.T @ features[found.rows].astype(np.float64)
            weights[found.rows] += found.posteriors @ self._inverse[found.own]
        heard = np.flatnonzero(weights[:, 0])
        self._scatter += weighted_scatter(features[heard].astype(np.float64), weights[heard])

    def statistics(self) -> MlltStatistics:
        """Everything so far."""
        scatter = self._scatter.copy()
        means = self.gmms.means
        for row, inverse in enumerate(self._inverse.T):
            scaled = means * inverse[:, None]
            mixed = scaled.T @ self._first
            scatter[row] += (scaled * self._occupancy[:, None]).T @ means - mixed - mixed.T
        return MlltStatistics(float(self._occupancy.sum()), scatter)


def _prune(found: PdfPosteriors, threshold: float, generator: np.random.Generator) -> None:
    small = found.posteriors < threshold
    kept = generator.random(found.posteriors.shape) * threshold <= found.posteriors
    np.copyto(found.posteriors, np.where(kept & (found.posteriors > 0), threshold, 0.0), where=small)


def mllt_objective(statistics: MlltStatistics, matrix: np.ndarray) -> float:
    """(1) at a matrix (D, D)."""
    quadratic = np.einsum("ij,ijk,ik->", matrix, statistics.scatter, matrix)
    return float(statistics.beta * np.linalg.slogdet(matrix)[1] - 0.5 * quadratic)


def estimate_mllt(statistics: MlltStatistics) -> tuple[np.ndarray, float]:
    """The transform (D, D), float64, that starts at the identity, and its gain of (1) per frame.

    Raises:
        HdnnError: no frames.
    """
    dim = len(statistics.scatter)
    if statistics.beta <= 0:
        raise HdnnError("MLLT: no frames outside silence; are the alignments those of this data?")
    if statistics.beta < 10 * dim:
        log.warning("MLLT: only %.0f frames for a transform of %d dimensions", statistics.beta, dim)
    inverse_scatter, floored = stable_inverse(statistics.scatter)
    if floored.any():
        log.warning("MLLT: the statistics of %d of %d dimensions are singular and were floored", floored.sum(), dim)
    matrix = np.eye(dim)
    before = mllt_objective(statistics, matrix)
    for _ in range(_SWEEPS):
        inverse = np.linalg.inv(matrix)
        for row in range(dim):
            cofactors = inverse[:, row]  # up to a factor that does not matter
            direction = inverse_scatter[row] @ cofactors
            new = direction * np.sqrt(statistics.beta / (cofactors @ direction))
            replace_row(inverse, row, new - matrix[row])
            matrix[row] = new
    gain = (mllt_objective(statistics, matrix) - before) / statistics.beta
    return matrix, float(gain)


def transform_means(gmms: DiagGmms, matrix: np.ndarray) -> DiagGmms:
    """The model for features transformed by a linear (D, D) or affine (D, D + 1) matrix (Kaldi's gmm-transform-means)."""
    means = gmms.means @ matrix[:, : gmms.dim].T
    if matrix.shape[1] > gmms.dim:
        means = means + matrix[:, gmms.dim]
    return DiagGmms(gmms.offsets, gmms.weights, means, gmms.variances)
