"""Feature-space maximum-likelihood linear regression by speaker (Kaldi's gmm-est-fmllr).

M. J. F. Gales, "Maximum likelihood linear transformations for HMM-based speech recognition", Computer Speech and
Language, 1998. With x+ = [x; 1] and the posteriors p of Gaussians g of means mu and variances v, the statistics are

    K_i = sum_t,g p mu_gi / v_gi x+',    G_i = sum_t,g p / v_gi x+ x+',    beta = sum_t,g p,

and the transform W = [A b], rows w_i, maximises

    beta log |det A| + sum_i (w_i K_i' - 1/2 w_i G_i w_i')                                            (1)

row by row: w_i = (alpha c_i + K_i) G_i^-1 with the row's cofactors c_i (0 for the offset) and alpha the better root of
alpha^2 c G^-1 c' + alpha c G^-1 K' - beta = 0.                                                       (2)
"""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from hdnn_nnet.feats.affine import identity_transform
from hdnn_nnet.gmm.model import DiagGmms
from hdnn_nnet.gmm.posteriors import FrameLabels, gaussian_posteriors
from hdnn_nnet.gmm.rows import replace_row, stable_inverse, weighted_scatter

MIN_COUNT = 500.0  # frames; speakers with no more keep the identity
SPEAKERS_AT_ONCE = 16  # bounds the memory: the statistics of a speaker take half a megabyte
_SWEEPS = 40  # over all rows, as Kaldi


@dataclass
class FmllrStatistics:
    """What (1) needs, of one speaker.

    Attributes:
        beta: weight of all frames.
        linear: (D, D + 1) float64, K.
        scatter: (D, D + 1, D + 1) float64, G.
    """

    beta: float
    linear: np.ndarray
    scatter: np.ndarray

    @classmethod
    def zeros(cls, dim: int) -> "FmllrStatistics":
        return cls(0.0, np.zeros((dim, dim + 1)), np.zeros((dim, dim + 1, dim + 1)))

    def add(self, other: "FmllrStatistics") -> None:
        self.beta += other.beta
        self.linear += other.linear
        self.scatter += other.scatter

    def accumulate(self, features: np.ndarray, terms: "FrameTerms", rows: slice) -> None:
        """Add the frames `rows` of features (T, D) and of their terms."""
        counts = terms.counts[rows]
        heard = rows.start + np.flatnonzero(counts)
        if not len(heard):
            return
        dim = features.shape[1]
        extended = np.ones((len(heard), dim + 1))
        extended[:, :dim] = features[heard]
        self.beta += float(counts.sum())
        self.linear += terms.linear[heard].T @ extended
        self.scatter += weighted_scatter(extended, terms.inverse[heard])


@dataclass
class FrameTerms:
    """A frame's part in (1), summed over Gaussians.

    Attributes:
        counts: (T,) float64 sum of p.
        linear: (T, D) float64 sum of p mu / v.
        inverse: (T, D) float64 sum of p / v.
        log_likelihood: of the frames under the model that gave the posteriors, weighted.
    """

    counts: np.ndarray
    linear: np.ndarray
    inverse: np.ndarray
    log_likelihood: float = 0.0


def frame_terms(
    gmms: DiagGmms, features: np.ndarray, labels: FrameLabels, posterior_model: DiagGmms | None = None
) -> FrameTerms:
    """Terms of features float32 (T, D) that belong to the pdfs of `labels`.

    Args:
        posterior_model: gives the posteriors instead of `gmms`, whose Gaussians it must have one by one (Kaldi's
            gmm-post-to-gpost with the alignment model, then gmm-est-fmllr-gpost).
    """
    terms = FrameTerms(np.zeros(len(features)), np.zeros(features.shape), np.zeros(features.shape))
    inverse = 1.0 / gmms.variances
    scaled_means = gmms.means * inverse
    for found in gaussian_posteriors(posterior_model or gmms, features, labels):
        terms.counts[found.rows] += found.posteriors.sum(axis=1)
        terms.linear[found.rows] += found.posteriors @ scaled_means[found.own]
        terms.inverse[found.rows] += found.posteriors @ inverse[found.own]
        terms.log_likelihood += found.log_likelihood
    return terms


def add_utterances(
    statistics: dict[str, FmllrStatistics],
    gmms: DiagGmms,
    utterances: Sequence[tuple[str, np.ndarray, FrameLabels]],
    posterior_model: DiagGmms | None = None,
) -> float:
    """Add utterances, each speaker, features (T, D) and labels, to the statistics of their speakers.

    Returns:
        the weighted log-likelihood of their frames.
    """
    features = np.concatenate([matrix for _, matrix, _ in utterances])
    labels = FrameLabels.joined([(own, len(matrix)) for _, matrix, own in utterances])
    terms = frame_terms(gmms, features, labels, posterior_model)
    begin = 0
    for speaker, group in itertools.groupby(utterances, key=lambda utterance: utterance[0]):
        end = begin + sum(len(matrix) for _, matrix, _ in group)
        statistics[speaker].accumulate(features, terms, slice(begin, end))
        begin = end
    return terms.log_likelihood


def fmllr_objective(beta: np.ndarray, linear: np.ndarray, scatter: np.ndarray, transform: np.ndarray) -> np.ndarray:
    """(1) of S speakers: beta (S,), linear (S, D, D + 1), scatter (S, D, D + 1, D + 1), transform (S, D, D + 1)."""
    dim = transform.shape[-2]
    projected = (transform[..., None, :] @ scatter)[..., 0, :]
    return beta * np.linalg.slogdet(transform[..., :dim])[1] + ((linear - 0.5 * projected) * transform).sum(axis=(1, 2))


@dataclass
class FmllrResult:
    """Transforms of speakers.

    Attributes:
        transforms: speaker -> (D, D + 1) float64.
        gain: gain of (1), summed over the speakers that got a transform.
        frames: weight of the frames of all speakers.
        kept: speakers with too few frames, whose transform is the identity.
        floored: speakers whose statistics were singular and floored.
    """

    transforms: dict[str, np.ndarray]
    gain: float
    frames: float
    kept: list[str]
    floored: list[str]

    @classmethod
    def empty(cls) -> "FmllrResult":
        return cls({}, 0.0, 0.0, [], [])

    def add(self, other: "FmllrResult") -> None:
        """Take in other speakers."""
        self.transforms |= other.transforms
        self.gain += other.gain
        self.frames += other.frames
        self.kept += other.kept
        self.floored += other.floored

    def summary(self) -> str:
        """One line: gain per frame over all frames, as Kaldi counts it, and what was left out."""
        text = f"fMLLR of {len(self.transforms)} speakers: gain {self.gain / max(self.frames, 1e-10):.4f} a frame over "
        text += f"{self.frames:.0f} frames"
        if self.kept:
            text += f"; {len(self.kept)} with too little speech keep the identity ({' '.join(self.kept[:10])})"
        if self.floored:
            text += f"; singular statistics of {len(self.floored)} floored ({' '.join(self.floored[:10])})"
        return text


def estimate_fmllr(
    statistics: dict[str, FmllrStatistics], min_count: float = MIN_COUNT, batch: int = SPEAKERS_AT_ONCE
) -> FmllrResult:
    """Transforms that start at the identity, for all speakers; rows of a batch of speakers are updated together."""
    names = [name for name, own in statistics.items() if own.beta > min_count]
    result = FmllrResult({}, 0.0, sum(own.beta for own in statistics.values()), [], [])
    found: dict[str, np.ndarray] = {}
    for begin in range(0, len(names), batch):
        _estimate_batch(names[begin : begin + batch], statistics, found, result)
    for name, own in statistics.items():  # in the order of the input
        if name not in found:
            result.kept.append(name)
        result.transforms[name] = found.get(name, identity_transform(len(own.linear)))
    return result


def _estimate_batch(
    names: list[str], statistics: dict[str, FmllrStatistics], found: dict[str, np.ndarray], result: FmllrResult
) -> None:
    beta = np.array([statistics[name].beta for name in names])
    linear = np.stack([statistics[name].linear for name in names])
    scatter = np.stack([statistics[name].scatter for name in names])
    dim = linear.shape[1]
    inverse_scatter, floored = stable_inverse(scatter)
    result.floored += [names[i] for i in np.flatnonzero(floored.any(axis=1))]
    centre = (inverse_scatter @ linear[..., None])[..., 0]  # K G^-1, where the determinant does not matter
    start = np.repeat(identity_transform(dim)[None], len(names), axis=0)
    transform = start.copy()
    for _ in range(_SWEEPS):
        inverse = np.linalg.inv(transform[..., :dim])
        for row in range(dim):
            new = _better_row(inverse[:, :, row], inverse_scatter[:, row, :, :dim], centre[:, row], beta)
            replace_row(inverse, row, new[:, :dim] - transform[:, row, :dim])
            transform[:, row] = new
    gains = fmllr_objective(beta, linear, scatter, transform) - fmllr_objective(beta, linear, scatter, start)
    for name, gain, matrix in zip(names, gains, transform, strict=True):
        # As Kaldi: a transform that does not gain is not taken; rounding may cost a little.
        good = bool(np.isfinite(matrix).all() and gain >= 0)
        result.gain += float(gain) if good else 0.0
        if good:
            found[name] = matrix


def _better_row(cofactors: np.ndarray, inverse_scatter: np.ndarray, centre: np.ndarray, beta: np.ndarray) -> np.ndarray:
    """Row of (2) for S speakers: cofactors (S, D), inverse_scatter (S, D + 1, D), centre (S, D + 1), beta (S,)."""
    dim = cofactors.shape[1]
    direction = (inverse_scatter @ cofactors[..., None])[..., 0]
    square = (direction[:, :dim] * cofactors).sum(axis=1)
    mixed = (centre[:, :dim] * cofactors).sum(axis=1)
    root = np.sqrt(mixed**2 + 4 * square * beta)
    roots = np.stack([-mixed + root, -mixed - root]) / (2 * square)
    values = beta * np.log(np.abs(roots * square + mixed)) - 0.5 * roots**2 * square
    alpha = np.where(values[0] > values[1], roots[0], roots[1])
    return alpha[:, None] * direction + centre
