"""Hypotheses of a decode directory for every language model weight and word insertion penalty, in one reading."""

import logging
import os
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from hdnn_nnet.errors import HdnnError
from hdnn_nnet.lattice.best_path import best_paths
from hdnn_nnet.lattice.table import read_lattices
from hdnn_nnet.lattice.types import AnyLattice

log = logging.getLogger(__name__)

Combination = tuple[int, str]  # LM weight, word insertion penalty as it was written


def lattice_files(directory: str | os.PathLike[str]) -> list[Path]:
    """`lat.1.gz` to `lat.N.gz` of a decode directory, N from `num_jobs`.

    Raises:
        HdnnError: the directory was not decoded, or a job's file is missing.
    """
    folder = Path(directory)
    try:
        jobs = int((folder / "num_jobs").read_text(encoding="ascii"))
    except (OSError, ValueError) as error:
        raise HdnnError(f"{folder}/num_jobs is missing or holds no number; decode first") from error
    files = [folder / f"lat.{job}.gz" for job in range(1, jobs + 1)]
    missing = [str(path) for path in files if not path.exists()]
    if missing:
        raise HdnnError(f"{missing[0]} is missing ({len(missing)} of {jobs} jobs); decode again")
    return files


def read_directory(
    directory: str | os.PathLike[str], problems: list[str] | None = None
) -> Iterator[tuple[str, AnyLattice]]:
    """All lattices of a decode directory, with `lat.N.gz` in the order of the jobs.

    Args:
        problems: where given, a missing or damaged file is described there instead of raised, and the others are read.

    Raises:
        HdnnError: an utterance stands there twice, or what `lattice_files` and `read_lattices` raise.
    """
    seen: set[str] = set()
    try:
        files = lattice_files(directory)
    except HdnnError as error:
        if problems is None:
            raise
        problems.append(str(error))
        files = sorted(Path(directory).glob("lat.*.gz"))
    for path in files:
        lattices = read_lattices(path)
        while True:
            try:
                key, lattice = next(lattices)
            except StopIteration:
                break
            except HdnnError as error:
                if problems is None:
                    raise
                problems.append(str(error))
                break
            if key in seen:
                raise HdnnError(f"{path}: utterance {key} was decoded twice; remove {directory} and decode again")
            seen.add(key)
            yield key, lattice


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
