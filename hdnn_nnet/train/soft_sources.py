"""Where soft labels come from: teachers run on the fly, a directory of stored ones, or a table that another system wrote."""

import logging
import os
import zlib
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

from hdnn_nnet.errors import HdnnError
from hdnn_nnet.feats.reader import MatrixTable
from hdnn_nnet.kaldi.posteriors import PosteriorTable, SparsePosteriors, read_posteriors
from hdnn_nnet.kaldi.tables import as_rspecifier, open_archive, read_matrices
from hdnn_nnet.nn.config import read_json
from hdnn_nnet.nn.distillation import SoftLabels
from hdnn_nnet.train.columns import Targets
from hdnn_nnet.train.soft_labels import sparsify, temper
from hdnn_nnet.train.teacher import Teachers

log = logging.getLogger(__name__)


class SoftSource(Protocol):
    """Gives the soft labels of an utterance, and of a minibatch."""

    def num_frames(self) -> Mapping[str, int]:
        """Utterance -> frames of its soft labels."""

    def targets(self, utt: str) -> tuple[Targets, ...]:
        """What an utterance brings into a block."""

    def soft(self, values: Sequence[Any]) -> SoftLabels | Tensor:
        """The columns' values in a minibatch to soft labels at the training's temperature."""

    def signature(self) -> Any:
        """Something that changes when the soft labels do."""


class OnTheFly:
    """Teachers forwarded for every minibatch: exact at every temperature, as slow as the teachers are."""

    def __init__(self, teachers: Teachers, temperature: float) -> None:
        self.teachers = teachers
        self.temperature = temperature

    def num_frames(self) -> Mapping[str, int]:
        return self.teachers.num_frames()

    def targets(self, utt: str) -> tuple[Targets, ...]:
        return self.teachers.windows(utt)

    def soft(self, values: Sequence[Any]) -> Tensor:
        return torch.softmax(self.teachers.log_posteriors(values) / self.temperature, 1)

    def signature(self) -> Any:
        return self.teachers.signature()


class Stored:
    """Sparse posteriors in a table."""

    def __init__(self, table: "Table", num_pdfs: int, temperature: float) -> None:
        self.table, self.num_pdfs, self.temperature = table, num_pdfs, temperature

    def num_frames(self) -> Mapping[str, int]:
        return self.table.num_frames()

    def targets(self, utt: str) -> tuple[Targets, ...]:
        posteriors = self.table[utt]
        if len(posteriors.pdfs) and posteriors.pdfs.max() >= self.num_pdfs:
            raise HdnnError(
                f"{self.table.where}: utterance {utt} has pdf {posteriors.pdfs.max()}, the alignment has {self.num_pdfs} pdfs; "
                "take a teacher of the same tree (and post-to-pdf-post where the labels are transition-ids)"
            )
        sums = posteriors.sums()
        if not len(sums) or sums.min() <= 0 or (len(posteriors.weights) and posteriors.weights.min() < 0):
            raise HdnnError(f"{self.table.where}: utterance {utt} has a frame without positive weights; make it again")
        return (temper(posteriors, self.temperature),)

    def soft(self, values: Sequence[Any]) -> SoftLabels:
        return values[0]

    def signature(self) -> Any:
        return self.table.signature()

    def check(self, utts: Iterable[str]) -> None:
        """Read some twenty utterances, so that a wrong table is noticed before the training starts."""
        names = list(utts)
        for utt in names[:: max(1, len(names) // 20)]:
            self.targets(utt)


class Table(Protocol):
    """Posteriors at temperature 1 by utterance."""

    where: str

    def num_frames(self) -> Mapping[str, int]: ...

    def __getitem__(self, utt: str) -> SparsePosteriors: ...

    def signature(self) -> Any: ...


class PosteriorScript:
    """A script file of Posterior entries."""

    def __init__(self, path: str) -> None:
        self.where = path
        self.table = PosteriorTable(path)

    def num_frames(self) -> Mapping[str, int]:
        return {utt: self.table.num_frames(utt) for utt in self.table.lines}

    def __getitem__(self, utt: str) -> SparsePosteriors:
        return self.table[utt]

    def signature(self) -> int:
        utts = list(self.table.lines)
        return _checksum(self, utts[:: max(1, len(utts) // 20)])


class MatrixScript:
    """A script file of full matrices of posteriors or log-posteriors."""

    def __init__(self, path: str, num_pdfs: int, mass: float, temperature: float) -> None:
        self.where = path
        self.table = MatrixTable(path)
        self.num_pdfs, self.mass, self.temperature = num_pdfs, mass, temperature

    def num_frames(self) -> Mapping[str, int]:
        shapes = {utt: self.table.shape(utt) for utt in self.table.lines}
        for utt, (_, columns) in shapes.items():
            _check_columns(self.where, utt, columns, self.num_pdfs)
        return {utt: rows for utt, (rows, _) in shapes.items()}

    def __getitem__(self, utt: str) -> SparsePosteriors:
        return _from_matrix(self.table[utt], f"{self.where}: utterance {utt}", self.mass, self.temperature)

    def signature(self) -> int:
        utts = list(self.table.lines)
        return _checksum(self, utts[:: max(1, len(utts) // 20)])


class InMemory:
    """A whole archive, of either kind, made sparse and held in memory."""

    def __init__(self, rspecifier: str, num_pdfs: int, mass: float, temperature: float) -> None:
        self.where = rspecifier
        self.entries: dict[str, SparsePosteriors] = {}
        if _holds_matrices(rspecifier):
            for utt, matrix in read_matrices(rspecifier):
                _check_columns(rspecifier, utt, matrix.shape[1], num_pdfs)
                self.entries[utt] = _from_matrix(matrix, f"{rspecifier}: utterance {utt}", mass, temperature)
        else:
            self.entries.update(read_posteriors(rspecifier))

    def num_frames(self) -> Mapping[str, int]:
        return {utt: len(entry) for utt, entry in self.entries.items()}

    def __getitem__(self, utt: str) -> SparsePosteriors:
        return self.entries[utt]

    def signature(self) -> int:
        return _checksum(self, list(self.entries))


def _checksum(table: Table, utts: Iterable[str]) -> int:
    value = 0
    for utt in utts:
        posteriors = table[utt]
        for part in (utt.encode(), posteriors.pdfs.tobytes(), posteriors.weights.tobytes()):
            value = zlib.crc32(part, value)
    return value


def _check_columns(where: str, utt: str, columns: int, num_pdfs: int) -> None:
    if columns != num_pdfs:
        raise HdnnError(
            f"{where}: utterance {utt} has {columns} columns, the alignment has {num_pdfs} pdfs; take a teacher of the same tree"
        )


def _from_matrix(matrix: np.ndarray, what: str, mass: float, temperature: float) -> SparsePosteriors:
    """Posteriors or log-posteriors, told apart by their values, to sparse posteriors."""
    values = torch.from_numpy(np.asarray(matrix, np.float32).copy())
    with np.errstate(over="ignore"):
        if not len(values) or not torch.isfinite(values).all():
            problem = "no frames, NaN or infinity"
        elif values.min() >= 0 and (values.sum(1) - 1).abs().max() < 0.02:  # compressed archives round
            return sparsify(values.clamp_min(1e-30).log(), mass, temperature)[0]
        elif values.max() <= 0.05 and torch.logsumexp(values, 1).abs().max() < 0.05:
            return sparsify(values, mass, temperature)[0]
        else:
            problem = "rows that are neither posteriors nor log-posteriors (log-likelihoods? they lack the prior)"
    raise HdnnError(f"{what}: {problem}; write it with nnet-forward --no-softmax=false and without class-frame-counts")


def _holds_matrices(rspecifier: str) -> bool:
    """Look at the first entry of a table: a matrix, or a Posterior."""
    kind, _, rest = as_rspecifier(rspecifier).partition(":")
    if kind.split(",")[0] == "scp":
        table = PosteriorTable(rest)
        head = table.head(next(iter(table.lines)), 8) if table.lines else b""
    else:
        if rest.strip() == "-":
            raise HdnnError("soft labels cannot be read from stdin, as they are read twice; write them to a file")
        with open_archive(rest) as stream:
            data = stream.read(4096)
            if rest.strip().endswith("|"):
                stream.read()  # an early close would make the command fail
        head = data.partition(b" ")[2][:8]
    if head.startswith(b"\0B"):
        return head[2:3] in b"FDC"
    # Text: a matrix opens with "[" and a line end, a Posterior goes on with "pdf weight".
    return head.lstrip(b" ").startswith(b"[\n") or head.lstrip(b" ").startswith(b"[ \n")


def open_stored(where: str | os.PathLike[str], num_pdfs: int, temperature: float, mass: float) -> Stored:
    """Soft labels in a directory of make_soft_labels.sh, an scp, an archive, or a command.

    Args:
        mass: share of each frame that is kept of full matrices.

    Raises:
        HdnnError: not readable, another number of pdfs, or stored for lower temperatures.
    """
    path = Path(where)
    if path.is_dir():
        info = read_json(path / "info.json")
        if info["num_pdfs"] != num_pdfs:
            raise HdnnError(
                f"{path} holds soft labels of {info['num_pdfs']} pdfs, the alignment has {num_pdfs}; "
                "take a teacher of the same tree"
            )
        if temperature > info["temperature"]:
            raise HdnnError(
                f"{path} keeps what matters up to temperature {info['temperature']:g}, {temperature:g} is asked for; "
                f"make it again with make_soft_labels.sh --temperature {temperature:g}"
            )
        return Stored(PosteriorScript(str(path / "post.scp")), num_pdfs, temperature)
    kind, _, rest = as_rspecifier(where).partition(":")
    if kind.split(",")[0] != "scp":
        return Stored(InMemory(str(where), num_pdfs, mass, temperature), num_pdfs, temperature)
    if _holds_matrices(str(where)):
        return Stored(MatrixScript(rest, num_pdfs, mass, temperature), num_pdfs, temperature)
    return Stored(PosteriorScript(rest), num_pdfs, temperature)


def open_source(
    teacher: str,
    data_dirs: Sequence[str],
    num_pdfs: int,
    temperature: float,
    mass: float,
    device: torch.device,
    precision: str,
) -> SoftSource:
    """What the teacher argument of a training program names: model directories, stored soft labels, or a table.

    Args:
        teacher: one or more model directories with spaces between (run on the fly), or as `open_stored`.
        data_dirs: where the features of teachers on the fly are.
        num_pdfs: of the alignment.

    Raises:
        HdnnError: not readable, or another number of pdfs.
    """
    words = teacher.split()
    if words and all(Path(w).is_dir() and not (Path(w) / "info.json").is_file() for w in words):
        teachers = Teachers(words, data_dirs, device, precision)
        if teachers.num_pdfs != num_pdfs:
            raise HdnnError(
                f"{words[0]} has {teachers.num_pdfs} pdfs, the alignment {num_pdfs}; take a teacher of the same tree"
            )
        log.info("teacher on the fly: %s", ", ".join(network.name for network in teachers.networks))
        return OnTheFly(teachers, temperature)
    log.info("stored soft labels: %s", teacher)
    return open_stored(teacher, num_pdfs, temperature, mass)
