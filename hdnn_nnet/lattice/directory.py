"""Lattices of a whole decode directory."""

import os
from collections.abc import Iterator
from pathlib import Path

from hdnn_nnet.errors import HdnnError
from hdnn_nnet.kaldi.text_file import read_num_jobs
from hdnn_nnet.lattice.table import read_lattices
from hdnn_nnet.lattice.types import AnyLattice


def lattice_files(directory: str | os.PathLike[str]) -> list[Path]:
    """`lat.1.gz` to `lat.N.gz` of a decode directory, N from `num_jobs`.

    Raises:
        HdnnError: the directory was not decoded, or a job's file is missing.
    """
    folder = Path(directory)
    if not (folder / "num_jobs").exists():
        raise HdnnError(f"{folder}/num_jobs is missing; decode first")
    jobs = read_num_jobs(folder, "decode again")
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
        HdnnError: an utterance occurs twice, or what `lattice_files` and `read_lattices` raise.
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


def open_lattices(where: str | os.PathLike[str]) -> Iterator[tuple[str, AnyLattice]]:
    """Yield `(key, lattice)` of a decode directory, or of a table as `read_lattices` takes it.

    Raises:
        HdnnError: as `read_directory` and `read_lattices`.
    """
    return read_directory(where) if Path(where).is_dir() else read_lattices(where)
