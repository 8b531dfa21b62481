"""The path of a lattice with the fewest word errors: the bound for any rescoring (Kaldi's lattice-oracle)."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np

from hdnn_nnet.errors import HdnnError
from hdnn_nnet.lattice.ops import connect
from hdnn_nnet.lattice.types import AnyLattice, topological_order


@dataclass
class Oracle:
    """Words of the path, and the counts of an alignment with the fewest errors (which alignment of several is open)."""

    words: np.ndarray
    insertions: int
    deletions: int
    substitutions: int

    @property
    def errors(self) -> int:
        return self.insertions + self.deletions + self.substitutions


def oracle(
    lattice: AnyLattice, reference: Sequence[int], ignored: Collection[int] = (), where: str = "lattice"
) -> Oracle:
    """The path nearest to the reference.

    Args:
        reference: word ids.
        ignored: word ids (noises) that count neither in the lattice nor in the reference.

    Raises:
        HdnnError: no path reaches a final state, or a cycle.
    """
    lattice = connect(lattice)
    if lattice.num_states == 0:
        raise HdnnError(f"{where}: no path of the lattice reaches a final state; decode this utterance again")
    wanted = np.array([word for word in reference if word not in ignored], np.int64)
    source, target = lattice.sources().astype(np.int64), lattice.arcs["nextstate"].astype(np.int64)
    words = np.where(np.isin(lattice.words, [*ignored]), 0, lattice.words).astype(np.int64)
    level = topological_order(lattice, where)
    # errors[s, j]: fewest errors of partial paths to state s against the first j words of the reference.
    places = np.arange(len(wanted) + 1)
    errors = np.full((lattice.num_states, len(wanted) + 1), len(wanted) + lattice.num_arcs + 1, np.int64)
    errors[lattice.start] = places
    for arc in np.argsort(level[source], kind="stable").tolist():
        ahead = _step(errors[source[arc]], int(words[arc]), wanted)
        ahead = np.minimum(ahead, errors[target[arc]])
        errors[target[arc]] = np.minimum.accumulate(ahead - places) + places  # deletions
    ending = np.flatnonzero(lattice.is_final())
    state, place = int(ending[errors[ending, -1].argmin()]), len(wanted)

    into = np.argsort(target, kind="stable")
    begin = np.searchsorted(target[into], np.arange(lattice.num_states + 1))
    spelled: list[int] = []
    counts = {"ins": 0, "del": 0, "sub": 0}
    while state != lattice.start or place > 0:
        here = errors[state, place]
        if place > 0 and errors[state, place - 1] + 1 == here:
            counts["del"] += 1
            place -= 1
            continue
        for arc in into[begin[state] : begin[state + 1]].tolist():
            before, word = errors[source[arc]], int(words[arc])
            if word == 0 and before[place] == here:
                break
            if word and place > 0 and before[place - 1] + (word != wanted[place - 1]) == here:
                counts["sub"] += int(word != wanted[place - 1])
                place -= 1
                break
            if word and before[place] + 1 == here:
                counts["ins"] += 1
                break
        if word:
            spelled.append(word)
        state = int(source[arc])
    return Oracle(np.array(spelled[::-1], np.int32), counts["ins"], counts["del"], counts["sub"])


def _step(errors: np.ndarray, word: int, wanted: np.ndarray) -> np.ndarray:
    """Errors after an arc, deletions left out."""
    if word == 0:
        return errors
    ahead = errors + 1  # an insertion
    ahead[1:] = np.minimum(ahead[1:], errors[:-1] + (wanted != word))
    return ahead
