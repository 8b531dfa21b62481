"""Tree statistics from features and alignments (Kaldi's acc-tree-stats)."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from hdnn_nnet.kaldi.phone_segments import phone_starts
from hdnn_nnet.kaldi.transitions import TransitionModel
from hdnn_nnet.kaldi.tree_stats import ABSENT, TreeStats

MERGE_ROWS = 50000  # of events, before those of different blocks are added up: bounds the memory


@dataclass(frozen=True)
class ContextWindow:
    """Which phones around its own a state may depend on.

    Attributes:
        width: phones in the window (N).
        central: index of the state's own phone (P).
        independent: phones that depend on no context, in general silence.
    """

    width: int = 3
    central: int = 1
    independent: tuple[int, ...] = ()

    def windows(self, phones: np.ndarray) -> np.ndarray:
        """The windows of a sequence of phones, 0 beyond its ends; (n,) to int32, shape (n, width)."""
        padded = np.concatenate([np.zeros(self.central), phones, np.zeros(self.width - self.central - 1)])
        return np.lib.stride_tricks.sliding_window_view(padded.astype(np.int32), self.width)


def pdf_classes(model: TransitionModel) -> np.ndarray:
    """Pdf-class of each transition-id; int32, entry 0 is -1."""
    classes = {
        phone: [(state.forward_pdf_class, state.self_loop_pdf_class) for state in model.topology.states(phone)]
        for phone in model.topology.phones
    }
    rows = zip(model.tid_to_phone.tolist(), model.tid_to_hmm_state.tolist(), model.is_self_loop.tolist(), strict=True)
    return np.array([-1] + [classes[phone][state][int(loop)] for phone, state, loop in list(rows)[1:]], dtype=np.int32)


class ContextStatistics:
    """Adds up tree statistics, utterance by utterance.

    Attributes:
        skipped: alignments that are no sequence of whole phones.
    """

    def __init__(self, model: TransitionModel, window: ContextWindow) -> None:
        self.model = model
        self.window = window
        self.skipped = 0
        self._classes = pdf_classes(model)
        self._parts: list[TreeStats] = []
        self._limit = MERGE_ROWS

    def events(self, transition_ids: np.ndarray) -> np.ndarray | None:
        """The event of each frame, int32, shape (T, 1 + N); None for a damaged alignment."""
        starts = phone_starts(self.model, transition_ids)
        if starts is None:
            return None
        window = self.window
        phones = self.model.tid_to_phone[transition_ids[starts]]
        windows = window.windows(phones).copy()
        outside = np.arange(window.width) != window.central
        windows[np.ix_(np.isin(phones, window.independent), outside)] = ABSENT
        lengths = np.diff(np.append(starts, len(transition_ids)))
        classes = self._classes[transition_ids]
        return np.concatenate([classes[:, None], np.repeat(windows, lengths, axis=0)], axis=1)

    def add(self, utterances: Iterable[tuple[np.ndarray, np.ndarray]]) -> None:
        """Add utterances: features, float32, shape (T, D), and transition-ids, shape (T,)."""
        features, events = [], []
        for matrix, transition_ids in utterances:
            rows = self.events(transition_ids)
            if rows is None:
                self.skipped += 1
            else:
                features.append(matrix)
                events.append(rows)
        if features:
            frames = np.concatenate(features).astype(np.float64)
            moments = np.concatenate([np.ones((len(frames), 1)), frames, frames * frames], axis=1)
            self._parts.append(TreeStats.collect(np.concatenate(events), moments))
            if sum(len(part.events) for part in self._parts) > self._limit:
                self._parts = [TreeStats.sum(self._parts)]
                self._limit = max(MERGE_ROWS, 2 * len(self._parts[0].events))

    def result(self) -> TreeStats:
        """Everything added so far."""
        if not self._parts:
            return self.empty(1)
        return TreeStats.sum(self._parts)

    def empty(self, dim: int) -> TreeStats:
        """Statistics of nothing."""
        return TreeStats(np.zeros((0, 1 + self.window.width), np.int32), np.zeros((0, 1 + 2 * dim)))


def sum_statistics(parts: Sequence[TreeStats]) -> TreeStats:
    """The workers' statistics added up; those without frames do not count."""
    return TreeStats.sum([part for part in parts if len(part.events)] or parts[:1])
