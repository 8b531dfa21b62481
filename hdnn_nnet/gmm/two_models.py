"""The alignment model of a speaker-adapted system: its Gaussians, seen through speaker-independent features.

Posteriors come from the adapted features and model, statistics from the speaker-independent features (Kaldi's
gmm-acc-stats-twofeats), so that the Gaussians of both models correspond one by one.
"""

import numpy as np

from hdnn_nnet.gmm.em import Statistics
from hdnn_nnet.gmm.model import DiagGmms
from hdnn_nnet.gmm.posteriors import FrameLabels, gaussian_posteriors
from hdnn_nnet.kaldi.transitions import TransitionModel


def accumulate_two(
    statistics: Statistics,
    gmms: DiagGmms,
    transition_model: TransitionModel,
    adapted: np.ndarray,
    independent: np.ndarray,
    transition_ids: np.ndarray,
) -> None:
    """Add frames: adapted and independent features, both float32 (T, D), and their transition-ids (T,)."""
    statistics.transitions += np.bincount(transition_ids, minlength=len(statistics.transitions))
    statistics.frames += len(transition_ids)
    labels = FrameLabels.of_alignment(transition_model.tid_to_pdf[transition_ids])
    for found in gaussian_posteriors(gmms, adapted, labels):
        frames = independent[found.rows].astype(np.float64)
        statistics.log_likelihood += found.log_likelihood
        statistics.occupancy[found.own] += found.posteriors.sum(axis=0)
        statistics.first[found.own] += found.posteriors.T @ frames
        statistics.second[found.own] += found.posteriors.T @ (frames * frames)


def update_two(
    gmms: DiagGmms,
    statistics: Statistics,
    min_occupancy: float = 10.0,
    min_weight: float = 1.0e-5,
    min_variance: float = 1.0e-3,
) -> DiagGmms:
    """The model by these statistics; no Gaussian goes (gmm-est --remove-low-count-gaussians=false).

    One with too little data keeps its mean and variance.
    """
    begins = gmms.offsets[:-1]
    sizes = np.diff(gmms.offsets)
    totals = np.repeat(np.add.reduceat(statistics.occupancy, begins), sizes)
    occupancy = statistics.occupancy
    share = np.where(totals > 0, occupancy / np.where(totals > 0, totals, 1.0), 1.0 / np.repeat(sizes, sizes))
    enough = (occupancy > min_occupancy) & (share > min_weight)
    weights = np.where(enough, share, np.maximum(share, min_weight))
    means, variances = gmms.means.copy(), gmms.variances.copy()
    means[enough] = statistics.first[enough] / occupancy[enough, None]
    second = statistics.second[enough] / occupancy[enough, None]
    variances[enough] = np.maximum(second - means[enough] ** 2, min_variance)
    weights /= np.repeat(np.add.reduceat(weights, begins), sizes)
    return DiagGmms(gmms.offsets, weights, means, variances)
