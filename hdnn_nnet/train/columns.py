"""What the frames of a block carry along: windows of features, pdf-ids, soft labels. Rows are frames and can be picked."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol, Self

import numpy as np
import torch
from torch import Tensor

from hdnn_nnet.device.transfer import upload
from hdnn_nnet.kaldi.posteriors import SparsePosteriors
from hdnn_nnet.nn.distillation import SoftLabels
from hdnn_nnet.ragged import cumulative


class Column(Protocol):
    """One value for each frame of a block of utterances."""

    def rows(self, chosen: Tensor, here: np.ndarray | None = None) -> Any:
        """The values of the frames `chosen` (int64, on the column's device), as the criterion takes them.

        Args:
            here: the same numbers in this process's memory; without them some columns wait for a GPU.
        """


@dataclass(frozen=True)
class Rows:
    """Numbers of frames of a block, in this process's memory and on the device of the columns; both int64, (N,)."""

    here: np.ndarray
    there: Tensor

    @classmethod
    def make(cls, numbers: np.ndarray, device: torch.device) -> Self:
        return cls(numbers, upload(numbers, device))

    def __len__(self) -> int:
        return len(self.here)

    def part(self, begin: int, size: int) -> "Rows":
        """At most `size` of them, from the one at `begin` on."""
        return Rows(self.here[begin : begin + size], self.there[begin : begin + size])

    def of(self, columns: Sequence[Column]) -> list[Any]:
        """What the columns have for these frames."""
        return [column.rows(self.there, self.here) for column in columns]


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
        return cls(upload(np.concatenate(parts), device))

    def rows(self, chosen: Tensor, here: np.ndarray | None = None) -> Tensor:
        del here
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
        return cls(upload(np.concatenate(padded), device), upload(starts, device), left + 1 + right)

    def rows(self, chosen: Tensor, here: np.ndarray | None = None) -> Tensor:
        del here
        return torch.index_select(self.spliced, 0, self.starts[chosen])


class SparseColumn:
    """Soft labels with a varying number of pdfs a frame; rows are SoftLabels."""

    def __init__(self, offsets: Tensor, pdfs: Tensor, weights: Tensor, best: Tensor, counts: np.ndarray) -> None:
        self.offsets, self.pdfs, self.weights, self.best = offsets, pdfs, weights, best
        #: (frames,) entries of each, in this process's memory
        self.counts = counts

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
        offset, pdf, weight, first = (upload(a, device) for a in (offsets, pdfs, weights, best))
        return cls(offset, pdf, weight, first, counts)

    def rows(self, chosen: Tensor, here: np.ndarray | None = None) -> SoftLabels:
        begin = self.offsets[chosen]
        counts = self.offsets[chosen + 1] - begin
        total = torch.cumsum(counts, 0)
        size = None if here is None else int(self.counts[here].sum())
        every = torch.arange(len(chosen), device=chosen.device)
        frame = torch.repeat_interleave(every, counts, output_size=size)
        entry = torch.arange(len(frame), device=chosen.device) + (begin - total + counts)[frame]
        pdfs, weights = self.pdfs.index_select(0, entry).long(), self.weights.index_select(0, entry)
        return SoftLabels(frame, pdfs, weights, self.best[chosen].long())


def collect(parts: Sequence[Targets], device: torch.device) -> Column:
    """One column of a block from what its utterances bring (all of one kind)."""
    kinds: dict[type, Any] = {np.ndarray: DenseColumn, SparsePosteriors: SparseColumn, Windows: WindowColumn}
    return kinds[type(parts[0])].collect(parts, device)
