"""Hypotheses of a decode directory for every language model weight and word insertion penalty, in one reading."""

import logging
from collections.abc import Iterator, Sequence

import numpy as np

from hdnn_nnet.errors import HdnnError
from hdnn_nnet.lattice.best_path import best_paths
from hdnn_nnet.lattice.types import AnyLattice

log = logging.getLogger(__name__)

Combination = tuple[int, str]  # LM weight, word insertion penalty as it is in file names


def combinations(min_lmwt: int, max_lmwt: int, penalties: Sequence[str]) -> list[Combination]:
    """All combinations, by penalty, then by weight."""
    if not 1 <= min_lmwt <= max_lmwt:
        raise HdnnError(f"LM weights from {min_lmwt} to {max_lmwt}: they must be positive and ascending")
    return [(weight, penalty) for penalty in penalties for weight in range(min_lmwt, max_lmwt + 1)]


def sweep(
    lattices: Iterator[tuple[str, AnyLattice]], wanted: Sequence[Combination]
) -> dict[Combination, dict[str, list[int]]]:
    """Words of the best path of each lattice for each combination.

    The best path is that of `lattice-scale --inv-acoustic-scale=LMWT | lattice-add-penalty --word-ins-penalty=P |
    lattice-best-path`. A lattice without a path is warned about and left out.
    """
    scales = np.array([1.0 / weight for weight, _ in wanted])
    penalties = np.array([float(penalty) for _, penalty in wanted])
    result: dict[Combination, dict[str, list[int]]] = {combination: {} for combination in wanted}
    for key, lattice in lattices:
        try:
            paths = best_paths(lattice, scales, penalties, key)
        except HdnnError as error:
            log.warning("%s", error)
            continue
        for combination, path in zip(wanted, paths, strict=True):
            result[combination][key] = path.words.tolist()
    return result
