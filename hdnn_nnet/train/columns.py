"""What the frames of a block carry along: windows of features, pdf-ids, soft labels. Rows are frames and can be picked."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol, Self

import numpy as np
import torch
from torch import Tensor

from hdnn_nnet.kaldi.posteriors import SparsePosteriors
from hdnn_nnet.nn.distillation import SoftLabels
from hdnn_nnet.ragged import cumulative


class Column(Protocol):
    """One value for each frame of a block of utterances."""

    def rows(self, chosen: Tensor) -> Any:
        """The values of the frames `chosen` (int64), as the criterion takes them."""


@dataclass(frozen=True)
class Windows:
    """One utterance's features (T, D) and the context that each frame is spliced with; edge frames are repeated."""

    features: np.ndarray
    left: int
    right: int

    def __len__(self) -> int:
        return len(self.features)


#: what one utterance brings: an array with T rows, soft labels of T frames, or features to be spliced
Targets = np.ndarray | SparsePosteriors | Windows


class DenseColumn:
    """(T, ...) arrays; rows are a tensor (N, ...)."""

    def __init__(self, values: Tensor) -> None:
        self.values = values

    @classmethod
    def collect(cls, parts: Sequence[np.ndarray], device: torch.device) -> Self:
        return cls(torch.from_numpy(np.concatenate(parts)).to(device))

    def rows(self, chosen: Tensor) -> Tensor:
        return self.values[chosen]


class WindowColumn:
    """Features, of which rows are spliced windows (N, window * D)."""

    def __init__(self, pool: Tensor, starts: Tensor, window: int) -> None:
        self.starts = starts
        dim = pool.shape[1]
        # A view in which row i is the window that starts at padded row i; only the gather copies.
        self.spliced = pool.as_strided((len(pool) - window + 1, window * dim), (dim, 1))

    @classmethod
    def collect(cls, parts: Sequence[Windows], device: torch.device) -> Self:
        left, right = parts[0].left, parts[0].right
        lengths = np.array([len(p) for p in parts])
        padded = [np.pad(p.features, ((left, right), (0, 0)), mode="edge") for p in parts]
        # The window of frame t of an utterance starts at its padded row t.
        starts = np.arange(lengths.sum()) + np.repeat(np.arange(len(parts)) * (left + right), lengths)
        pool = torch.from_numpy(np.concatenate(padded)).to(device)
        return cls(pool, torch.from_numpy(starts).to(device), left + 1 + right)

    def rows(self, chosen: Tensor) -> Tensor:
        return torch.index_select(self.spliced, 0, self.starts[chosen])


class SparseColumn:
    """Soft labels with a varying number of pdfs a frame; rows are SoftLabels."""

    def __init__(self, offsets: Tensor, pdfs: Tensor, weights: Tensor, best: Tensor) -> None:
        self.offsets, self.pdfs, self.weights, self.best = offsets, pdfs, weights, best

    @classmethod
    def collect(cls, parts: Sequence[SparsePosteriors], device: torch.device) -> Self:
        counts = np.concatenate([np.diff(p.offsets) for p in parts])
        offsets = cumulative(counts)
        pdfs = np.concatenate([p.pdfs for p in parts])
        weights = np.concatenate([p.weights for p in parts])
        highest = np.maximum.reduceat(weights, offsets[:-1])
        frame = np.repeat(np.arange(len(counts)), counts)
        best = np.zeros(len(counts), np.int32)
        is_best = weights == highest[frame]
        best[frame[is_best]] = pdfs[is_best]
        tensors = (torch.from_numpy(a).to(device) for a in (offsets, pdfs, weights, best))
        return cls(*tensors)

    def rows(self, chosen: Tensor) -> SoftLabels:
        begin = self.offsets[chosen]
        counts = self.offsets[chosen + 1] - begin
        total = torch.cumsum(counts, 0)
        frame = torch.repeat_interleave(torch.arange(len(chosen), device=chosen.device), counts)
        entry = torch.arange(len(frame), device=chosen.device) + (begin - total + counts)[frame]
        pdfs, weights = self.pdfs.index_select(0, entry).long(), self.weights.index_select(0, entry)
        return SoftLabels(frame, pdfs, weights, self.best[chosen].long())


def collect(parts: Sequence[Targets], device: torch.device) -> Column:
    """One column of a block from what its utterances bring (all of one kind)."""
    kinds: dict[type, Any] = {np.ndarray: DenseColumn, SparsePosteriors: SparseColumn, Windows: WindowColumn}
    return kinds[type(parts[0])].collect(parts, device)
