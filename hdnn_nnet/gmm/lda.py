"""Linear discriminant analysis of spliced features, the classes being pdfs (Kaldi's acc-lda and est-lda)."""

import logging
from dataclasses import dataclass

import numpy as np

from hdnn_nnet.errors import HdnnError

log = logging.getLogger(__name__)
_SMOOTHING = 1.0e-3  # share of the mean within-class variance added to the diagonal where it is singular


@dataclass
class LdaStatistics:
    """Statistics of C classes of features of D dimensions.

    Attributes:
        counts: (C,) float64 weights of the frames.
        first: (C, D) float64 sums of features by class.
        second: (D, D) float64 sum of x x' over all classes.
    """

    counts: np.ndarray
    first: np.ndarray
    second: np.ndarray

    @classmethod
    def zeros(cls, classes: int, dim: int) -> "LdaStatistics":
        return cls(np.zeros(classes), np.zeros((classes, dim)), np.zeros((dim, dim)))

    def add(self, other: "LdaStatistics") -> None:
        self.counts += other.counts
        self.first += other.first
        self.second += other.second

    def accumulate(self, features: np.ndarray, classes: np.ndarray, weights: np.ndarray) -> None:
        """Add frames: features (T, D), their classes (T,) and weights (T,); weights of 0 cost nothing."""
        heard = np.flatnonzero(weights)
        if not len(heard):
            return
        order = heard[np.argsort(classes[heard], kind="stable")]
        rows, labels, weight = features[order].astype(np.float64), classes[order], weights[order]
        weighted = rows * weight[:, None]
        begins = np.flatnonzero(np.diff(labels, prepend=-1))
        self.counts += np.bincount(labels, weight, minlength=len(self.counts))
        self.first[labels[begins]] += np.add.reduceat(weighted, begins)
        self.second += weighted.T @ rows

    def covariances(self) -> tuple[np.ndarray, np.ndarray]:
        """Within-class and between-class covariance, each (D, D)."""
        total = self.counts.sum()
        mean = self.first.sum(axis=0) / total
        seen = self.counts > 0
        scaled = self.first[seen] / np.sqrt(self.counts[seen])[:, None]
        between_raw = scaled.T @ scaled / total
        return self.second / total - between_raw, between_raw - np.outer(mean, mean)


@dataclass
class Lda:
    """The transform.

    Attributes:
        matrix: (dim, D) float64: `final.mat` or `0.mat` of Kaldi.
        full: (D, D) float64, all directions: `full.mat` of Kaldi.
        values: (D,) ratios of between-class to within-class variance, falling.
    """

    matrix: np.ndarray
    full: np.ndarray
    values: np.ndarray


def estimate_lda(statistics: LdaStatistics, dim: int) -> Lda:
    """The `dim` directions in which classes differ most; classes have unit variance in each.

    With the within-class covariance W = L L' and the between-class covariance B these are the leading eigenvectors u of
    L^-1 B L^-T, as rows u' L^-1. The sign of a row is arbitrary: here its largest entry is positive.

    Raises:
        HdnnError: no frames, or `dim` too large for the features or the number of classes.
    """
    classes, size = statistics.first.shape
    if statistics.counts.sum() <= 0:
        raise HdnnError("LDA: no frames outside silence; are the alignments those of this data?")
    if not 0 < dim <= min(size, classes - 1):
        raise HdnnError(f"LDA: {dim} dimensions cannot come from {size} dimensions and {classes} classes; lower --dim")
    within, between = statistics.covariances()
    try:
        root = np.linalg.cholesky(within)
    except np.linalg.LinAlgError:
        floor = _SMOOTHING * np.trace(within) / size
        log.warning("LDA: the within-class covariance is singular, %.3g is added to its diagonal", floor)
        try:
            root = np.linalg.cholesky(within + floor * np.eye(size))
        except np.linalg.LinAlgError as error:
            raise HdnnError("LDA: the within-class covariance is not positive; too few frames?") from error
    whiten = np.linalg.inv(root)
    values, vectors = np.linalg.eigh(whiten @ between @ whiten.T)
    values, vectors = values[::-1], vectors[:, ::-1]
    full = vectors.T @ whiten
    largest = np.abs(full).argmax(axis=1)
    full *= np.sign(full[np.arange(size), largest])[:, None]
    log.info(
        "LDA: %d to %d dimensions over %.0f frames; sum of ratios %.4f, of all %.4f",
        size, dim, statistics.counts.sum(), values[:dim].sum(), values.sum(),
    )  # fmt: skip
    return Lda(full[:dim], full, values)
