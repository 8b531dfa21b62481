"""Statistics for tree building: counts, sums and sums of squares by context and pdf-class (Kaldi's `treeacc` files).

The file is the one that acc-tree-stats and sum-tree-stats write, and cluster-phones, build-tree and gmm-init-model read.
"""

import os
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from hdnn_nnet.errors import HdnnError
from hdnn_nnet.kaldi.basic_io import KaldiReader, KaldiWriter
from hdnn_nnet.kaldi.tree import PDF_CLASS

ABSENT = -1  # value of a key that an event does not have
VAR_FLOOR = float(np.float32(0.01))  # acc-tree-stats's default
_MOST_KEYS = 100  # of an event: pdf-class and context


@dataclass(frozen=True)
class TreeStats:
    """Gaussian statistics of R events, sorted as Kaldi sorts them.

    An event is a context-dependent HMM state: its pdf-class and the phones of its context window.

    Attributes:
        events: int32, shape (R, 1 + N): pdf-class, then the phones at positions 0 to N - 1; 0 is no phone (the
            utterance's edge), ABSENT a position that must not be asked about (the context of context-independent phones).
        moments: float64, shape (R, 1 + 2 D): frames, sums of the features, sums of their squares.
        var_floor: of variances when likelihoods are computed.
    """

    events: np.ndarray
    moments: np.ndarray
    var_floor: float = VAR_FLOOR

    @property
    def context_width(self) -> int:
        return self.events.shape[1] - 1

    @property
    def dim(self) -> int:
        return (self.moments.shape[1] - 1) // 2

    @property
    def frames(self) -> float:
        return float(self.moments[:, 0].sum())

    def values(self, key: int) -> np.ndarray:
        """The events' values of a key (PDF_CLASS, or a position from 0); int32, shape (R,)."""
        return self.events[:, key - PDF_CLASS]

    def select(self, rows: np.ndarray) -> "TreeStats":
        """Some of the events, by a mask or by indexes."""
        return TreeStats(self.events[rows], self.moments[rows], self.var_floor)

    @classmethod
    def collect(cls, events: np.ndarray, moments: np.ndarray, var_floor: float = VAR_FLOOR) -> "TreeStats":
        """Add up the rows of equal events and sort them."""
        if len(events) == 0:
            return cls(events, moments, var_floor)
        # An absent key sorts behind all values of it, because Kaldi compares pairs of key and value.
        keys = np.where(events == ABSENT, np.iinfo(np.int32).max, events)
        order = np.lexsort(keys.T[::-1])
        ordered = keys[order]
        starts = np.flatnonzero(np.r_[True, (ordered[1:] != ordered[:-1]).any(axis=1)])
        return cls(events[order[starts]], np.add.reduceat(moments[order], starts), var_floor)

    @classmethod
    def sum(cls, parts: Sequence["TreeStats"]) -> "TreeStats":
        """All parts added up (Kaldi's sum-tree-stats)."""
        shapes = {(part.events.shape[1], part.moments.shape[1]) for part in parts}
        if len(shapes) != 1:
            raise HdnnError("tree statistics of different context widths or dimensions cannot be added up")
        events, moments = (np.concatenate([getattr(p, name) for p in parts]) for name in ("events", "moments"))
        return cls.collect(events, moments, parts[0].var_floor)

    @classmethod
    def read(cls, path: str | os.PathLike[str]) -> "TreeStats":
        """Read a `treeacc` file, binary or text.

        Raises:
            HdnnError: a damaged file, or one without statistics.
        """
        reader = KaldiReader.open(path)
        reader.expect("BTS")
        events: list[dict[int, int]] = []
        moments: list[np.ndarray] = []
        floor = VAR_FLOOR
        for _ in range(reader.uint32()):
            reader.expect("EV")
            events.append({reader.int32(): reader.int32() for _ in range(reader.uint32())})
            if not all(PDF_CLASS <= key < _MOST_KEYS for key in events[-1]):
                raise reader.fail("a position that no context has")
            if not reader.flag():
                raise reader.fail("an event without statistics")
            reader.expect("GCL")
            count, floor, sums = reader.float(), reader.float(), reader.matrix()
            if sums.ndim != 2 or len(sums) != 2 or (moments and 1 + sums.size != len(moments[0])):
                raise reader.fail("statistics of another shape")
            moments.append(np.concatenate([[count], sums.reshape(-1)]))
        if not events:
            raise HdnnError(f"{path} holds no tree statistics; were any utterances aligned?")
        width = 1 + max(max(event) for event in events)
        rows = [[event.get(key, ABSENT) for key in range(PDF_CLASS, width)] for event in events]
        return cls.collect(np.array(rows, dtype=np.int32), np.array(moments), floor)

    def write(self, path: str | os.PathLike[str], binary: bool = True) -> None:
        """Write as Kaldi does, atomically."""
        writer = KaldiWriter(binary)
        writer.token("BTS")
        writer.uint32(len(self.events))
        for event, moments in zip(self.events.tolist(), self.moments, strict=True):
            pairs = [(key, value) for key, value in enumerate(event, PDF_CLASS) if value != ABSENT]
            writer.token("EV")
            writer.uint32(len(pairs))
            for key, value in pairs:
                writer.int32(key)
                writer.int32(value)
            writer.text("\n")
            writer.flag(True)
            writer.token("GCL")
            writer.double(moments[0])
            writer.double(self.var_floor)
            writer.matrix(moments[1:].reshape(2, -1), double=True)
        writer.text("\n")
        writer.save(path)
