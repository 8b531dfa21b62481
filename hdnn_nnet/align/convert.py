"""Alignments of one tree and model as those of another: same phones, same states, other pdfs (Kaldi's convert-ali)."""

import numpy as np

from hdnn_nnet.errors import HdnnError
from hdnn_nnet.kaldi.phone_segments import is_reordered, phone_starts
from hdnn_nnet.kaldi.transitions import TransitionModel
from hdnn_nnet.kaldi.tree import ContextDependency


class AlignmentConverter:
    """Converts alignments of `old` to transition-ids of `new`, the model of `tree`. The topologies must be the same.

    Raises:
        HdnnError: different topologies.
    """

    def __init__(self, old: TransitionModel, new: TransitionModel, tree: ContextDependency) -> None:
        if old.topology != new.topology:
            raise HdnnError("alignments can be converted between models of the same topology only; align anew")
        self.old, self.new, self.tree = old, new, tree
        states = enumerate(new.tuples.tolist(), 1)
        self._first = {tuple(row): int(new.state_to_tid[number]) for number, row in states}
        # The place of a transition-id among those of its state is the same in both models.
        self._place = np.arange(old.num_transition_ids + 1) - old.state_to_tid[old.tid_to_state]
        self._classes = {
            (phone, number): (state.forward_pdf_class, state.self_loop_pdf_class)
            for phone in old.topology.phones
            for number, state in enumerate(old.topology.states(phone))
        }
        self._bases: dict[tuple[int, ...], int] = {}

    def __call__(self, transition_ids: np.ndarray) -> np.ndarray | None:
        """The converted alignment, int32, shape (T,), with self-loops behind; None for a damaged alignment."""
        starts = phone_starts(self.old, transition_ids)
        if starts is None:
            return None
        phones = self.old.tid_to_phone[transition_ids[starts]]
        central, width = self.tree.central_position, self.tree.context_width
        padded = np.concatenate([np.zeros(central), phones, np.zeros(width - central - 1)]).astype(np.int32)
        windows = np.lib.stride_tricks.sliding_window_view(padded, width)
        # A stretch is the frames of a phone in one state: they have the same new state.
        states = self.old.tid_to_state[transition_ids]
        edges = np.r_[True, states[1:] != states[:-1]]
        edges[starts] = True
        firsts = np.flatnonzero(edges)
        owners = np.searchsorted(starts, firsts, side="right") - 1
        hmm_states = self.old.tid_to_hmm_state[transition_ids[firsts]]
        bases = [
            self._base(tuple(window), state)
            for window, state in zip(windows[owners].tolist(), hmm_states.tolist(), strict=True)
        ]
        lengths = np.diff(np.append(firsts, len(transition_ids)))
        converted = np.repeat(np.array(bases, dtype=np.int64), lengths) + self._place[transition_ids]
        if not is_reordered(self.old, transition_ids):
            converted = _loops_behind(self.new, converted)
        return converted.astype(np.int32)

    def _base(self, window: tuple[int, ...], state: int) -> int:
        """First transition-id of a state in its context."""
        key = (*window, state)
        if key not in self._bases:
            phone = window[self.tree.central_position]
            forward, self_loop = self._classes[phone, state]
            pdf = self.tree.pdf(window, forward)
            other = pdf if self_loop == forward else self.tree.pdf(window, self_loop)
            try:
                self._bases[key] = self._first[phone, state, pdf, other]
            except KeyError as error:
                raise HdnnError(
                    f"the tree gives phones {list(window)} a pdf that the model lacks; take both from one directory"
                ) from error
        return self._bases[key]


def _loops_behind(model: TransitionModel, transition_ids: np.ndarray) -> np.ndarray:
    """Put the self-loops of each state behind the transition that leaves it."""
    states, loops = model.tid_to_state[transition_ids], model.is_self_loop[transition_ids]
    # A stretch ends with the transition that leaves its state.
    stretch = np.concatenate([[0], np.cumsum(~loops)[:-1]])
    if (np.diff(states)[np.diff(stretch) == 0] != 0).any():
        raise HdnnError("an alignment whose self-loops are neither before nor behind their states' transitions")
    return transition_ids[np.lexsort((loops, stretch))]
