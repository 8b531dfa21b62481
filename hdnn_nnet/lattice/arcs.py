"""Lattices as lists of arcs in time, ready for forward-backward passes with fresh log-likelihoods.

Determinised lattices are chains of frames between few branching points, and all frames of a chain have the same posterior.
So an arc here covers a stretch of any number of frames (none: an epsilon arc). Passes over the graph see arcs, only
gathering log-likelihoods and scattering gradients see single frames. Final weights are arcs into one last state.
"""

from dataclasses import dataclass

import numpy as np

from hdnn_nnet.errors import EmptyLatticeError, HdnnError
from hdnn_nnet.kaldi.transitions import TransitionModel
from hdnn_nnet.lattice.ops import connect, to_compact
from hdnn_nnet.lattice.times import end_time, state_times
from hdnn_nnet.lattice.types import AnyLattice, CompactLattice, Lattice, topological_order
from hdnn_nnet.ragged import ranges


@dataclass
class LatticeArcs:
    """One utterance. States are in order of time and topology: 0 is the start, the last one the only final state.

    Attributes:
        where: file and key, for messages.
        num_frames, num_pdfs: T, and the pdfs of the transition model.
        state_time: (states,) int64 frames before the state (Kaldi's LatticeStateTimes).
        state_level: (states,) int64 longest distance from the start in arcs.
        source, target: (arcs,) int64, sorted by source.
        graph, acoustic: (arcs,) float64 costs of the lattice, not scaled.
        word: (arcs,) int32, 0 for none.
        length: (arcs,) int64 frames that the arc covers.
        arc: (entries,) int64; an entry is one frame of one arc, entries are sorted by arc, then by time.
        frame, transition_id, pdf, phone: (entries,) int64.
    """

    where: str
    num_frames: int
    num_pdfs: int
    state_time: np.ndarray
    state_level: np.ndarray
    source: np.ndarray
    target: np.ndarray
    graph: np.ndarray
    acoustic: np.ndarray
    word: np.ndarray
    length: np.ndarray
    arc: np.ndarray
    frame: np.ndarray
    transition_id: np.ndarray
    pdf: np.ndarray
    phone: np.ndarray

    @property
    def num_states(self) -> int:
        return len(self.state_time)

    @property
    def num_arcs(self) -> int:
        return len(self.source)


def lattice_arcs(lattice: AnyLattice, model: TransitionModel, where: str = "lattice") -> LatticeArcs:
    """Arrange a lattice in time; states on no complete path are left out.

    Raises:
        HdnnError: empty lattice, no path to a final state, a cycle, paths to one state or to the end that differ in
            length, or a transition-id that the model does not have.
    """
    compact = to_compact(lattice) if isinstance(lattice, Lattice) else lattice
    if compact.start < 0 or not compact.is_final().any():
        raise EmptyLatticeError(f"{where}: the lattice is empty or has no final state; decode this utterance again")
    level = topological_order(compact, where)
    if _has_loose_ends(compact):
        compact = connect(compact)
        if compact.num_states == 0:
            raise EmptyLatticeError(
                f"{where}: no path of the lattice reaches a final state; decode this utterance again"
            )
        level = topological_order(compact, where)
    source, target = compact.sources().astype(np.int64), compact.arcs["nextstate"].astype(np.int64)
    time = state_times(compact, level, where)
    num_frames = end_time(compact, time, where)
    ending = np.flatnonzero(compact.is_final())
    final_length = np.diff(compact.final_string_offsets)[ending]
    if num_frames == 0:
        raise EmptyLatticeError(f"{where}: the lattice has no frames; decode this utterance again")

    number = np.empty(compact.num_states, np.int64)
    by_time = np.lexsort((level, time))
    number[by_time] = np.arange(compact.num_states)
    end = compact.num_states
    # Final weights become arcs after the others.
    source = np.concatenate([number[source], number[ending]])
    target = np.concatenate([number[target], np.full(len(ending), end)])
    order = np.argsort(source, kind="stable")
    costs = np.concatenate([np.stack([compact.arcs["graph"], compact.arcs["acoustic"]], 1), compact.final[ending]])
    costs = costs.astype(np.float64)[order]
    length = np.concatenate([np.diff(compact.string_offsets), final_length])[order]
    begin = np.concatenate([compact.string_offsets[:-1], len(compact.strings) + compact.final_string_offsets[ending]])
    ids = np.concatenate([compact.strings, compact.final_strings])[ranges(begin[order], length)].astype(np.int64)
    if len(ids) and not 1 <= ids.min() <= ids.max() <= model.num_transition_ids:
        raise HdnnError(
            f"{where}: transition-ids {ids.min()} to {ids.max()}, but the model has 1 to {model.num_transition_ids}; "
            "take the final.mdl that the lattice was made with"
        )
    state_time = np.append(time[by_time], num_frames)
    return LatticeArcs(
        where=where,
        num_frames=num_frames,
        num_pdfs=model.num_pdfs,
        state_time=state_time,
        state_level=np.append(level[by_time], level.max() + 1),
        source=source[order],
        target=target[order],
        graph=costs[:, 0],
        acoustic=costs[:, 1],
        word=np.concatenate([compact.words, np.zeros(len(ending), np.int32)])[order],
        length=length,
        arc=np.repeat(np.arange(len(length)), length),
        frame=ranges(state_time[source[order]], length),
        transition_id=ids,
        pdf=model.tid_to_pdf[ids].astype(np.int64),
        phone=model.tid_to_phone[ids].astype(np.int64),
    )


def _has_loose_ends(compact: CompactLattice) -> bool:
    """Whether states of an acyclic lattice lie on no complete path: some of these have no way in, or no way on."""
    arcs_in = np.bincount(compact.arcs["nextstate"], minlength=compact.num_states)
    arcs_in[compact.start] = 1
    return bool((arcs_in == 0).any() or ((np.diff(compact.offsets) == 0) & ~compact.is_final()).any())


def skip_reason(num_frames: int, lattice_frames: int, alignment_frames: int, max_frames: int = 6000) -> str | None:
    """Why an utterance is to be left out, as in Kaldi's sequence trainers; None when it is fit for training.

    Args:
        num_frames: rows of the features.
        max_frames: longer utterances are left out (memory).
    """
    if alignment_frames != num_frames:
        return f"the alignment has {alignment_frames} frames, the features {num_frames}"
    if num_frames > max_frames:
        return f"{num_frames} frames are more than the limit of {max_frames}"
    if lattice_frames != num_frames:
        return f"the lattice has {lattice_frames} frames, the features {num_frames}"
    return None
