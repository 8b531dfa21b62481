"""Posteriors of Gaussians given frames and the pdfs they belong to, pdf by pdf: what all statistics are made of."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from hdnn_nnet.errors import HdnnError
from hdnn_nnet.gmm.model import DiagGmms
from hdnn_nnet.kaldi.transitions import TransitionModel


@dataclass
class FrameLabels:
    """Which pdfs frames belong to, and with which weights; a frame may have several pdfs, or none.

    Attributes:
        frames: (E,) int64 row of the features; no frame has the same pdf twice.
        pdfs: (E,) int64.
        weights: (E,) float64.
    """

    frames: np.ndarray
    pdfs: np.ndarray
    weights: np.ndarray

    @classmethod
    def of_alignment(cls, pdfs: np.ndarray, weights: np.ndarray | None = None) -> "FrameLabels":
        """One pdf a frame; frames of weight 0 are left out."""
        frames = np.arange(len(pdfs))
        if weights is None:
            return cls(frames, pdfs.astype(np.int64), np.ones(len(pdfs)))
        heard = weights != 0
        return cls(frames[heard], pdfs[heard].astype(np.int64), weights[heard].astype(np.float64))

    @classmethod
    def merged(cls, frames: np.ndarray, pdfs: np.ndarray, weights: np.ndarray) -> "FrameLabels":
        """Entries of the same frame and pdf become one (Kaldi's ConvertPosteriorToPdfs); weights of 0 go."""
        keys, place = np.unique(frames.astype(np.int64) << 32 | pdfs.astype(np.int64), return_inverse=True)
        sums = np.bincount(place, weights, minlength=len(keys))
        keys, sums = keys[sums != 0], sums[sums != 0]
        return cls(keys >> 32, keys & 0xFFFFFFFF, sums)

    @classmethod
    def joined(cls, parts: "list[tuple[FrameLabels, int]]") -> "FrameLabels":
        """Labels of utterances whose features stand one below the other; each with its number of frames."""
        starts = np.cumsum([0, *(count for _, count in parts)])
        return cls(
            np.concatenate([labels.frames + start for (labels, _), start in zip(parts, starts, strict=False)]),
            np.concatenate([labels.pdfs for labels, _ in parts]),
            np.concatenate([labels.weights for labels, _ in parts]),
        )


def silence_weighted(
    phones: np.ndarray, silence_phones: Sequence[int], silence_weight: float, weights: np.ndarray | None = None
) -> np.ndarray:
    """(E,) float64 weights of entries with these phones, silence scaled (Kaldi's weight-silence-post)."""
    factors = np.where(np.isin(phones, list(silence_phones)), silence_weight, 1.0)
    return factors if weights is None else factors * weights


def alignment_labels(
    transition_ids: np.ndarray, model: TransitionModel, silence_phones: Sequence[int], silence_weight: float
) -> tuple[FrameLabels, int]:
    """The pdfs of an alignment (T,), silence phones weighted, and its number of frames.

    Raises:
        HdnnError: transition-ids that the model does not have.
    """
    if len(transition_ids) and not 1 <= transition_ids.min() <= transition_ids.max() <= model.num_transition_ids:
        raise HdnnError(
            f"transition-ids {transition_ids.min()} to {transition_ids.max()}, but the model has 1 to "
            f"{model.num_transition_ids}; take the final.mdl that made the alignment"
        )
    weights = silence_weighted(model.tid_to_phone[transition_ids], silence_phones, silence_weight)
    return FrameLabels.of_alignment(model.tid_to_pdf[transition_ids], weights), len(transition_ids)


@dataclass
class PdfPosteriors:
    """The frames of one pdf.

    Attributes:
        rows: (n,) their rows in the features.
        own: the pdf's Gaussians.
        posteriors: (n, m) float64, times the frames' weights.
        log_likelihood: sum over the frames, weighted.
    """

    rows: np.ndarray
    own: slice
    posteriors: np.ndarray
    log_likelihood: float


def gaussian_posteriors(gmms: DiagGmms, features: np.ndarray, labels: FrameLabels) -> Iterator[PdfPosteriors]:
    """Yield the posteriors of each pdf that occurs; features float32, shape (T, D)."""
    matrix, constants = gmms.projection()
    order = np.argsort(labels.pdfs, kind="stable")
    rows, weights = labels.frames[order], labels.weights[order]
    ends = np.searchsorted(labels.pdfs[order], np.arange(gmms.num_pdfs + 1))
    for pdf in np.flatnonzero(np.diff(ends)):
        mine = slice(ends[pdf], ends[pdf + 1])
        own = slice(gmms.offsets[pdf], gmms.offsets[pdf + 1])
        frames = features[rows[mine]]
        scores = np.concatenate([frames, frames * frames], axis=1) @ matrix[own].T + constants[own]
        highest = scores.max(axis=1, keepdims=True)
        posteriors = np.exp(scores - highest).astype(np.float64)
        totals = posteriors.sum(axis=1, keepdims=True)
        weight = weights[mine, None]
        likelihood = float(((np.log(totals) + highest) * weight).sum())
        posteriors *= weight / totals
        yield PdfPosteriors(rows[mine], own, posteriors, likelihood)
