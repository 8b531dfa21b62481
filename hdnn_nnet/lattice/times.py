"""Times of lattice states (Kaldi's LatticeStateTimes): all paths to a state have the same number of frames."""

import numpy as np

from hdnn_nnet.errors import HdnnError
from hdnn_nnet.lattice.ops import connect
from hdnn_nnet.lattice.types import AnyLattice, CompactLattice, topological_order


def arc_frames(lattice: AnyLattice) -> np.ndarray:
    """(arcs,) int64 frames that every arc covers."""
    if isinstance(lattice, CompactLattice):
        return np.diff(lattice.string_offsets)
    return (lattice.arcs["ilabel"] != 0).astype(np.int64)


def state_times(lattice: AnyLattice, level: np.ndarray, where: str) -> np.ndarray:
    """(states,) int64 frames from the start; every state must be on a path from there.

    Args:
        level: (states,) as `topological_order` gives it.

    Raises:
        HdnnError: paths to one state differ in length.
    """
    source, target = lattice.sources().astype(np.int64), lattice.arcs["nextstate"].astype(np.int64)
    length = arc_frames(lattice)
    time = np.zeros(lattice.num_states, np.int64)
    order = np.argsort(level[source], kind="stable")
    for arcs in np.split(order, np.flatnonzero(np.diff(level[source][order])) + 1):
        time[target[arcs]] = time[source[arcs]] + length[arcs]
    wrong = np.flatnonzero(time[target] != time[source] + length)
    if len(wrong):
        arc = wrong[0]
        raise HdnnError(
            f"{where}: paths of {time[target[arc]]} and of {time[source[arc]] + length[arc]} frames meet in one state "
            "of the lattice; make it again"
        )
    return time


def end_time(lattice: AnyLattice, time: np.ndarray, where: str) -> int:
    """Frames of every complete path.

    Args:
        time: (states,) as `state_times` gives it.

    Raises:
        HdnnError: complete paths differ in length.
    """
    ending = np.flatnonzero(lattice.is_final())
    ends = time[ending]
    if isinstance(lattice, CompactLattice):
        ends = ends + np.diff(lattice.final_string_offsets)[ending]
    if ends.min() != ends.max():
        raise HdnnError(f"{where}: paths of the lattice have {ends.min()} to {ends.max()} frames; make it again")
    return int(ends[0])


def num_frames(lattice: AnyLattice, where: str = "lattice") -> int:
    """Frames of every complete path.

    Raises:
        HdnnError: no path reaches a final state, a cycle, or paths that differ in length.
    """
    lattice = connect(lattice)
    if lattice.num_states == 0:
        raise HdnnError(f"{where}: no path of the lattice reaches a final state; decode this utterance again")
    return end_time(lattice, state_times(lattice, topological_order(lattice, where), where), where)
