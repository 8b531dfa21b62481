"""Maximum-likelihood training of mixtures and transition probabilities, with the rules of Kaldi's gmm-est."""

import heapq
from dataclasses import dataclass

import numpy as np

from hdnn_nnet.gmm.model import DiagGmms
from hdnn_nnet.kaldi.transitions import TransitionModel

BLOCK_FRAMES = 20000  # frames accumulated at a time, at least; bounds the memory


def block_frames(num_pdfs: int) -> int:
    """Frames to be accumulated at a time: so many that a pdf's share is worth a matrix product."""
    return min(max(BLOCK_FRAMES, 130 * num_pdfs), 10 * BLOCK_FRAMES)


@dataclass
class Statistics:
    """Sufficient statistics of one pass.

    Attributes:
        occupancy: float64, shape (G,).
        first, second: float64, shape (G, D): sums of features and of their squares, weighted by posteriors.
        transitions: float64, shape (num_transition_ids + 1,): counts.
        log_likelihood: summed over all frames.
        frames: their number.
    """

    occupancy: np.ndarray
    first: np.ndarray
    second: np.ndarray
    transitions: np.ndarray
    log_likelihood: float = 0.0
    frames: int = 0

    @classmethod
    def zeros(cls, gmms: DiagGmms, transition_model: TransitionModel) -> "Statistics":
        shape = (gmms.num_gauss, gmms.dim)
        counts = np.zeros(transition_model.num_transition_ids + 1)
        return cls(np.zeros(gmms.num_gauss), np.zeros(shape), np.zeros(shape), counts)

    def add(self, other: "Statistics") -> None:
        self.occupancy += other.occupancy
        self.first += other.first
        self.second += other.second
        self.transitions += other.transitions
        self.log_likelihood += other.log_likelihood
        self.frames += other.frames

    def accumulate(
        self, gmms: DiagGmms, transition_model: TransitionModel, features: np.ndarray, transition_ids: np.ndarray
    ) -> None:
        """Add frames: features (T, D) with their transition-ids (T,)."""
        self.transitions += np.bincount(transition_ids, minlength=len(self.transitions))
        self.frames += len(features)
        pdfs = transition_model.tid_to_pdf[transition_ids]
        matrix, constants = gmms.projection()
        order = np.argsort(pdfs, kind="stable")
        ends = np.searchsorted(pdfs[order], np.arange(gmms.num_pdfs + 1))
        for pdf in np.unique(pdfs):
            # In double: in single precision the grouping of frames (jobs, processors) decides which Gaussians are split.
            frames = features[order[ends[pdf] : ends[pdf + 1]]].astype(np.float64)
            own = slice(gmms.offsets[pdf], gmms.offsets[pdf + 1])
            both = np.concatenate([frames, frames * frames], axis=1)
            scores = both @ matrix[own].T + constants[own]
            highest = scores.max(axis=1, keepdims=True)
            posteriors = np.exp(scores - highest)
            totals = posteriors.sum(axis=1, keepdims=True)
            self.log_likelihood += float((np.log(totals) + highest).sum())
            posteriors /= totals
            sums = posteriors.T @ both
            self.occupancy[own] += posteriors.sum(axis=0)
            self.first[own] += sums[:, : gmms.dim]
            self.second[own] += sums[:, gmms.dim :]


def update_gmms(
    gmms: DiagGmms,
    statistics: Statistics,
    min_occupancy: float = 10.0,
    min_weight: float = 1.0e-5,
    min_variance: float = 1.0e-3,
) -> DiagGmms:
    """New mixtures from statistics; Gaussians with too little data go, but for the last one of a pdf."""
    weights, means, variances, counts = [], [], [], []
    for begin, end in zip(gmms.offsets[:-1], gmms.offsets[1:], strict=True):
        occupancy = statistics.occupancy[begin:end]
        total = occupancy.sum()
        share = occupancy / total if total > 0 else np.full(end - begin, 1.0 / (end - begin))
        enough = (occupancy > min_occupancy) & (share > min_weight)
        keep = enough.copy()
        if not keep.any():
            keep[-1] = True  # as it is, for want of data
        weight, mean, variance = share.copy(), gmms.means[begin:end].copy(), gmms.variances[begin:end].copy()
        weight[~enough] = np.maximum(share[~enough], min_weight)
        mean[enough] = statistics.first[begin:end][enough] / occupancy[enough, None]
        second = statistics.second[begin:end][enough] / occupancy[enough, None]
        variance[enough] = np.maximum(second - mean[enough] ** 2, min_variance)
        weights.append(weight[keep] / weight[keep].sum())
        means.append(mean[keep])
        variances.append(variance[keep])
        counts.append(int(keep.sum()))
    return DiagGmms(np.cumsum([0, *counts]), np.concatenate(weights), np.concatenate(means), np.concatenate(variances))


def split_targets(occupancies: np.ndarray, target: int, power: float, min_count: float) -> np.ndarray:
    """Gaussians for each pdf, about `target` in all, in proportion to occupancy ** power; int64, shape (num_pdfs,).

    The pdf with the highest share of occupancy ** power for each Gaussian gets the next one, unless its Gaussians
    would have fewer than `min_count` frames each.
    """
    targets = np.ones(len(occupancies), dtype=np.int64)
    queue = [(-float(occupancy**power), pdf) for pdf, occupancy in enumerate(occupancies) if occupancy > 0]
    heapq.heapify(queue)
    left = target - len(occupancies)
    while left > 0 and queue:
        _, pdf = heapq.heappop(queue)
        if (targets[pdf] + 1) * min_count >= occupancies[pdf]:
            continue
        targets[pdf] += 1
        left -= 1
        heapq.heappush(queue, (-float(occupancies[pdf] ** power) / float(targets[pdf]), pdf))
    return targets


def split_gmms(gmms: DiagGmms, targets: np.ndarray, generator: np.random.Generator, perturb: float = 0.01) -> DiagGmms:
    """Split the heaviest Gaussian of a pdf in two, until it has its target; `perturb` is in standard deviations."""
    weights, means, variances, counts = [], [], [], []
    for pdf, (begin, end) in enumerate(zip(gmms.offsets[:-1], gmms.offsets[1:], strict=True)):
        weight = list(gmms.weights[begin:end])
        mean, variance = list(gmms.means[begin:end]), list(gmms.variances[begin:end])
        while len(weight) < targets[pdf]:
            heaviest = int(np.argmax(weight))
            weight[heaviest] /= 2
            weight.append(weight[heaviest])
            shift = perturb * np.sqrt(variance[heaviest]) * generator.standard_normal(gmms.dim)
            mean.append(mean[heaviest] + shift)
            mean[heaviest] = mean[heaviest] - shift
            variance.append(variance[heaviest])
        weights += weight
        means += mean
        variances += variance
        counts.append(len(weight))
    return DiagGmms(np.cumsum([0, *counts]), np.array(weights), np.array(means), np.array(variances))


def update_transitions(
    transition_model: TransitionModel, counts: np.ndarray, floor: float = 0.01, min_count: float = 5.0
) -> TransitionModel:
    """New transition probabilities from counts (num_transition_ids + 1,); states seen too rarely keep theirs."""
    log_probs = transition_model.log_probs.copy()
    starts = transition_model.state_to_tid
    for state in range(1, transition_model.num_transition_states + 1):
        own = slice(starts[state], starts[state + 1])
        total = counts[own].sum()
        if own.stop - own.start < 2 or total < min_count:
            continue
        probabilities = counts[own] / total
        for _ in range(3):  # as often as Kaldi: flooring and normalising disturb each other
            probabilities = np.maximum(probabilities / probabilities.sum(), floor)
        log_probs[own] = np.log(probabilities)
    return TransitionModel(transition_model.topology, transition_model.tuples, log_probs)
