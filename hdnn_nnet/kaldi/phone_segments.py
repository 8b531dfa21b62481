"""Where the phones of an alignment begin (Kaldi's SplitToPhones)."""

import numpy as np

from hdnn_nnet.kaldi.transitions import TransitionModel


def is_reordered(model: TransitionModel, transition_ids: np.ndarray) -> bool:
    """Whether self-loops follow the transition that leaves their state, as Kaldi's graphs have it by default."""
    states, loops = model.tid_to_state[transition_ids], model.is_self_loop[transition_ids]
    changes = np.flatnonzero((states[1:] != states[:-1]) & (loops[1:] | loops[:-1]))
    if len(changes):
        return bool(loops[changes[0]])
    return len(loops) > 0 and not loops[0] and bool(loops[-1])


def phone_starts(model: TransitionModel, transition_ids: np.ndarray) -> np.ndarray | None:
    """First frames of the phones of an alignment; int64, shape (phones,).

    Returns:
        None if the alignment is no sequence of whole phones (truncated, or of another model).
    """
    if len(transition_ids) == 0:
        return np.zeros(0, dtype=np.int64)
    loops, finals = model.is_self_loop[transition_ids], model.is_final[transition_ids]
    states, phones = model.tid_to_state[transition_ids], model.tid_to_phone[transition_ids]
    if is_reordered(model, transition_ids):
        forward = np.flatnonzero(~loops)  # each opens the stretch of a state
        if len(forward) == 0 or forward[0] != 0:
            return None
        if (loops[1:] & (states[1:] != states[:-1])).any():
            return None
        ends = np.append(forward[1:], len(loops))[finals[forward]]
    else:
        ends = np.flatnonzero(finals) + 1
    if len(ends) == 0 or ends[-1] != len(loops):
        return None
    starts = np.concatenate([[0], ends[:-1]])
    inside = np.ones(len(loops), dtype=bool)
    inside[starts] = False
    if (phones[1:] != phones[:-1])[inside[1:]].any():
        return None
    emits_at_once = [model.topology.states(int(phone))[0].forward_pdf_class >= 0 for phone in phones[starts]]
    if (model.tid_to_hmm_state[transition_ids[starts]] != 0)[emits_at_once].any():
        return None
    return starts
