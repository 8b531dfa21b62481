"""Fresh acoustic scores on the arcs of a lattice (Kaldi's gmm-rescore-lattice, lattice-rescore-mapped)."""

from dataclasses import replace

import numpy as np

from hdnn_nnet.errors import HdnnError
from hdnn_nnet.kaldi.transitions import TransitionModel
from hdnn_nnet.lattice.ops import to_compact
from hdnn_nnet.lattice.times import end_time, state_times
from hdnn_nnet.lattice.types import AnyLattice, CompactLattice, Lattice, topological_order
from hdnn_nnet.ragged import ranges


def rescore(
    lattice: AnyLattice, log_likelihoods: np.ndarray, model: TransitionModel, where: str = "lattice"
) -> CompactLattice:
    """The lattice with acoustic costs by these log-likelihoods instead of its own.

    Args:
        log_likelihoods: (T, num_pdfs), not scaled.
        where: file and key, for messages.

    Raises:
        HdnnError: a lattice of another number of frames, with transition-ids that the model lacks, or a cycle.
    """
    compact = to_compact(lattice) if isinstance(lattice, Lattice) else lattice
    if not compact.is_final().any():
        raise HdnnError(f"{where}: the lattice has no final state; decode this utterance again")
    times = state_times(compact, topological_order(compact, where), where)
    _check_ids(np.concatenate([compact.strings, compact.final_strings]), model, where)
    lengths, final_lengths = np.diff(compact.string_offsets), np.diff(compact.final_string_offsets)
    frames = end_time(compact, times, where)
    if frames != len(log_likelihoods):
        raise HdnnError(
            f"{where}: the lattice has {frames} frames, the features {len(log_likelihoods)}; "
            "take lattices of the same data"
        )
    arcs = compact.arcs.copy()
    arcs["acoustic"] = _costs(log_likelihoods, model, times[compact.sources()], lengths, compact.strings)
    final = compact.final.copy()
    ending = compact.is_final()
    final[ending, 1] = _costs(log_likelihoods, model, times, final_lengths, compact.final_strings)[ending]
    return replace(compact, arcs=arcs, final=final)


def lattice_pdfs(lattice: AnyLattice, model: TransitionModel, where: str = "lattice") -> np.ndarray:
    """The pdfs that occur in a lattice, ascending; int64.

    Raises:
        HdnnError: a transition-id that the model does not have.
    """
    if isinstance(lattice, Lattice):
        ids = lattice.arcs["ilabel"][lattice.arcs["ilabel"] != 0]
    else:
        ids = np.concatenate([lattice.strings, lattice.final_strings])
    _check_ids(ids, model, where)
    return np.unique(model.tid_to_pdf[ids]).astype(np.int64)


def _check_ids(ids: np.ndarray, model: TransitionModel, where: str) -> None:
    if len(ids) and not 1 <= ids.min() <= ids.max() <= model.num_transition_ids:
        raise HdnnError(
            f"{where}: transition-ids {ids.min()} to {ids.max()}, but the model has 1 to {model.num_transition_ids}; "
            "take the final.mdl that the lattice was made with"
        )


def _costs(
    log_likelihoods: np.ndarray, model: TransitionModel, begins: np.ndarray, lengths: np.ndarray, ids: np.ndarray
) -> np.ndarray:
    """(n,) float64 summed costs of stretches of frames from `begins` on, with their transition-ids one after the other."""
    frames = ranges(begins, lengths)
    # A state that is on no complete path may lie beyond the end.
    inside = frames < len(log_likelihoods)
    costs = np.zeros(len(frames))
    costs[inside] = -log_likelihoods[frames[inside], model.tid_to_pdf[ids[inside]]]
    return np.bincount(np.repeat(np.arange(len(lengths)), lengths), costs, minlength=len(lengths))
