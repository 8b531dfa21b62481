"""Gaussian mixture models with diagonal covariances, one mixture a pdf, and Kaldi's GMM `final.mdl` files."""

import itertools
import os
from collections.abc import Sequence

import numpy as np

from hdnn_nnet.errors import HdnnError
from hdnn_nnet.kaldi.basic_io import KaldiReader, KaldiWriter
from hdnn_nnet.kaldi.transitions import TransitionModel

LOG_2PI = float(np.log(2 * np.pi))


class DiagGmms:
    """The mixtures of all pdfs, their Gaussians in one table.

    Attributes:
        offsets: int64, shape (num_pdfs + 1,): the Gaussians of pdf p are rows offsets[p] to offsets[p + 1].
        weights: float64, shape (G,), summing to 1 in each mixture.
        means, variances: float64, shape (G, D).
    """

    def __init__(self, offsets: np.ndarray, weights: np.ndarray, means: np.ndarray, variances: np.ndarray) -> None:
        self.offsets = np.asarray(offsets, dtype=np.int64)
        self.weights = np.asarray(weights, dtype=np.float64)
        self.means = np.asarray(means, dtype=np.float64)
        self.variances = np.asarray(variances, dtype=np.float64)
        if (np.diff(self.offsets) < 1).any() or self.offsets[-1] != len(self.weights):
            raise HdnnError("a pdf without Gaussians; the model is damaged")
        if not (self.variances > 0).all() or not np.isfinite(self.means).all():
            raise HdnnError("a GMM with a variance that is not positive or a mean that is not finite")

    @property
    def num_pdfs(self) -> int:
        return len(self.offsets) - 1

    @property
    def num_gauss(self) -> int:
        return len(self.weights)

    @property
    def dim(self) -> int:
        return self.means.shape[1]

    @classmethod
    def single(cls, num_pdfs: int, mean: np.ndarray, variance: np.ndarray) -> "DiagGmms":
        """The same Gaussian for every pdf: where a flat start begins."""
        tile = (num_pdfs, 1)
        return cls(np.arange(num_pdfs + 1), np.ones(num_pdfs), np.tile(mean, tile), np.tile(variance, tile))

    def boosted(self, pdfs: Sequence[int], factor: float) -> "DiagGmms":
        """A copy with the weights of `pdfs` multiplied by `factor` (Kaldi's gmm-boost-silence)."""
        weights = self.weights.copy()
        for pdf in pdfs:
            weights[self.offsets[pdf] : self.offsets[pdf + 1]] *= factor
        return DiagGmms(self.offsets, weights, self.means, self.variances)

    def gconsts(self) -> np.ndarray:
        """The terms of the Gaussians' log-densities that do not depend on the features; shape (G,)."""
        with np.errstate(divide="ignore"):
            log_weights = np.log(self.weights)
        quadratic = (self.means**2 / self.variances + np.log(self.variances)).sum(axis=1)
        return log_weights - 0.5 * (self.dim * LOG_2PI + quadratic)

    def projection(self) -> tuple[np.ndarray, np.ndarray]:
        """Matrix (G, 2 D) and constants (G,), float32: weighted log-densities are matrix @ [x; x * x] + constants."""
        matrix = np.concatenate([self.means / self.variances, -0.5 / self.variances], axis=1)
        return matrix.astype(np.float32), self.gconsts().astype(np.float32)

    def write_into(self, writer: KaldiWriter) -> None:
        """Append as Kaldi's AmDiagGmm."""
        writer.token("<DIMENSION>")
        writer.int32(self.dim)
        writer.token("<NUMPDFS>")
        writer.int32(self.num_pdfs)
        gconsts = self.gconsts()
        for begin, end in zip(self.offsets[:-1], self.offsets[1:], strict=True):
            writer.token("<DiagGMM>")
            writer.text("\n")
            writer.token("<GCONSTS>")
            writer.vector(gconsts[begin:end])
            writer.token("<WEIGHTS>")
            writer.vector(self.weights[begin:end])
            writer.token("<MEANS_INVVARS>")
            writer.matrix(self.means[begin:end] / self.variances[begin:end])
            writer.token("<INV_VARS>")
            writer.matrix(1.0 / self.variances[begin:end])
            writer.token("</DiagGMM>")
            writer.text("\n")

    @classmethod
    def parse(cls, reader: KaldiReader) -> "DiagGmms":
        """Read Kaldi's AmDiagGmm at the reader's position."""
        reader.expect("<DIMENSION>")
        dim = reader.int32()
        reader.expect("<NUMPDFS>")
        num_pdfs = reader.int32()
        if num_pdfs < 1:
            raise reader.fail("a GMM without pdfs")
        weights, means, inverse = [], [], []
        for _ in range(num_pdfs):
            reader.expect("<DiagGMM>", "<DiagGMMBegin>")
            if reader.expect("<GCONSTS>", "<WEIGHTS>") == "<GCONSTS>":
                reader.vector()  # computed again from the rest
                reader.expect("<WEIGHTS>")
            weights.append(reader.vector().astype(np.float64))
            reader.expect("<MEANS_INVVARS>")
            scaled = reader.matrix()
            reader.expect("<INV_VARS>")
            with np.errstate(invalid="ignore"):
                means.append(scaled.astype(np.float64))
                inverse.append(reader.matrix().astype(np.float64))
            reader.expect("</DiagGMM>", "<DiagGMMEnd>")
            if not means[-1].shape == inverse[-1].shape == (len(weights[-1]), dim) or not (inverse[-1] > 0).all():
                raise reader.fail("a mixture whose parts do not fit together")
        offsets = np.cumsum([0] + [len(w) for w in weights])
        with np.errstate(all="ignore"):  # of damaged values, which are refused
            variances = 1.0 / np.concatenate(inverse)
            products = np.concatenate(means) * variances
        try:
            return cls(offsets, np.concatenate(weights), products, variances)
        except HdnnError as error:
            raise reader.fail(str(error)) from error


def read_gmm_model(path: str | os.PathLike[str]) -> tuple[TransitionModel, DiagGmms]:
    """Read a GMM system's `final.mdl`, binary or text."""
    reader = KaldiReader.open(path)
    transition_model = TransitionModel.parse(reader)
    gmms = DiagGmms.parse(reader)
    if gmms.num_pdfs != transition_model.num_pdfs:
        raise HdnnError(f"{path}: {gmms.num_pdfs} mixtures for {transition_model.num_pdfs} pdfs; the file is damaged")
    return transition_model, gmms


def write_gmm_model(
    path: str | os.PathLike[str], transition_model: TransitionModel, gmms: DiagGmms, binary: bool = True
) -> None:
    """Write a GMM system's `final.mdl` as Kaldi's gmm-copy does."""
    writer = KaldiWriter(binary)
    transition_model.append_to(writer)
    gmms.write_into(writer)
    writer.save(path)


class LogLikelihoods:
    """Computes log-likelihoods of whole utterances for a fixed model.

    Gaussians stand in the order: the first of every pdf, the second of those that have one, and so on, with the pdfs
    of most Gaussians first. Sums over mixtures are then sums of contiguous blocks, which is several times faster than
    reducing pdf by pdf.
    """

    def __init__(self, gmms: DiagGmms) -> None:
        self._offsets = gmms.offsets
        self._matrix, self._constants = gmms.projection()
        self.dim = gmms.dim
        self.num_pdfs = gmms.num_pdfs
        self._all = self._arrange(np.arange(gmms.num_pdfs))
        order, *_ = self._all
        self._ordered = self._matrix[order], self._constants[order, None]

    def _arrange(self, pdfs: np.ndarray) -> tuple[np.ndarray, list[int], np.ndarray]:
        """The order of the Gaussians of `pdfs`, the sizes of its blocks, and the place of every pdf in a block."""
        counts = self._offsets[pdfs + 1] - self._offsets[pdfs]
        falling = np.argsort(-counts, kind="stable")
        sizes = [int((counts > rank).sum()) for rank in range(int(counts.max()))]
        begins = self._offsets[pdfs[falling]]
        order = np.concatenate([begins[:size] + rank for rank, size in enumerate(sizes)])
        return order, sizes, np.argsort(falling)

    def __call__(self, features: np.ndarray, pdfs: np.ndarray | None = None) -> np.ndarray:
        """Log-likelihoods, float32: (T, D) to (T, num_pdfs).

        Args:
            pdfs: only these are computed, the other columns are 0. A training graph has but a few of them.
        """
        if features.shape[1] != self.dim:
            raise HdnnError(f"features of {features.shape[1]} dimensions for a GMM of {self.dim}; check delta_opts")
        if pdfs is None:
            (_, sizes, columns), (matrix, constants) = self._all, self._ordered
            return np.ascontiguousarray(_mixtures(features, matrix, constants, sizes)[columns].T)
        output = np.zeros((len(features), self.num_pdfs), np.float32)
        if len(pdfs):
            order, sizes, columns = self._arrange(pdfs)
            found = _mixtures(features, self._matrix[order], self._constants[order, None], sizes)
            output[:, pdfs] = found[columns].T
        return output


def _mixtures(features: np.ndarray, matrix: np.ndarray, constants: np.ndarray, sizes: list[int]) -> np.ndarray:
    """(pdfs, T) log-likelihoods; Gaussians in blocks of `sizes`, those of a pdf at the same place of each block."""
    scores = matrix @ np.concatenate([features, features * features], axis=1).T
    scores += constants
    bounds = np.cumsum([0, *sizes]).tolist()
    blocks = [scores[first:last] for first, last in itertools.pairwise(bounds)]
    highest = blocks[0].copy()
    for block in blocks[1:]:
        np.maximum(highest[: len(block)], block, out=highest[: len(block)])
    for block in blocks:
        block -= highest[: len(block)]
    np.exp(scores, out=scores)
    total = blocks[0]
    for block in blocks[1:]:
        total[: len(block)] += block
    np.log(total, out=total)
    total += highest
    return total
