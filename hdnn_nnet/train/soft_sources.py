"""Where soft labels come from: a directory of stored ones, a table that another system wrote, or teachers run on the fly."""

import logging
import os
import zlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from hdnn_nnet.errors import HdnnError
from hdnn_nnet.kaldi.byte_stream import ByteStream
from hdnn_nnet.kaldi.marks import MATRICES, TEXT, kind_of
from hdnn_nnet.kaldi.matrix_table import MatrixTable
from hdnn_nnet.kaldi.posteriors import PosteriorTable, SparsePosteriors, read_posteriors
from hdnn_nnet.kaldi.rxfile import parse_specifier
from hdnn_nnet.kaldi.script_table import read_scp
from hdnn_nnet.kaldi.tables import read_archive, read_matrices
from hdnn_nnet.kaldi.transitions import TransitionModel
from hdnn_nnet.nn.config import read_json
from hdnn_nnet.nn.distillation import SoftLabels
from hdnn_nnet.text import words
from hdnn_nnet.train.columns import Targets
from hdnn_nnet.train.options import SoftLabelOptions
from hdnn_nnet.train.soft_labels import sparsify, temper
from hdnn_nnet.train.teacher import Teachers

log = logging.getLogger(__name__)

#: beside stored soft labels: utterance and checksum in every line
CHECKSUMS = "post.crc32"


class SoftSource:
    """Sparse posteriors by utterance, stored at temperature 1 and given at the training's.

    Args:
        where: what to call them in messages.
        num_frames: utterance -> frames of its soft labels.
        read: utterance -> its posteriors at temperature 1.
        num_pdfs: of the alignment.
        tolerance: frames that they may be longer or shorter than what is taught, as the teacher's features may.
    """

    def __init__(
        self,
        where: str,
        num_frames: Mapping[str, int],
        read: Callable[[str], SparsePosteriors],
        num_pdfs: int,
        temperature: float,
        in_memory: bool = False,
        tolerance: int = 0,
    ) -> None:
        self.where, self.num_frames, self.read = where, dict(num_frames), read
        self.tolerance, self._stored = tolerance, num_frames
        self.num_pdfs, self.temperature, self.in_memory = num_pdfs, temperature, in_memory

    @property
    def columns(self) -> int:
        """Of features that `targets` brings."""
        return 0

    def utterance(self, utt: str) -> SparsePosteriors:
        """The soft labels of an utterance, scaled to sum to 1 in each frame.

        Raises:
            HdnnError: a pdf that the alignment does not have, or a frame without positive weights.
        """
        posteriors = self.read(utt)
        if len(posteriors) and self.tolerance:
            posteriors = posteriors.with_frames(self.num_frames[utt])
        if len(posteriors.pdfs) and posteriors.pdfs.max() >= self.num_pdfs:
            raise HdnnError(
                f"{self.where}: utterance {utt} has pdf {posteriors.pdfs.max()}, the alignment has {self.num_pdfs} pdfs; "
                "take a teacher of the same tree (and post-to-pdf-post where the labels are transition-ids)"
            )
        sums = posteriors.sums()
        if not len(sums) or sums.min() <= 0 or (len(posteriors.weights) and posteriors.weights.min() < 0):
            raise HdnnError(f"{self.where}: utterance {utt} has a frame without positive weights; regenerate it")
        return temper(posteriors, self.temperature)

    def fit(self, frames: Mapping[str, int]) -> None:
        """Take the lengths of the student's features (utterance -> frames), as far as the tolerance goes."""
        for utt in self._stored.keys() & frames.keys() if self.tolerance else ():
            if frames[utt] and abs(self._stored[utt] - frames[utt]) <= self.tolerance:
                self.num_frames[utt] = frames[utt]

    def targets(self, utt: str) -> tuple[Targets, ...]:
        """What an utterance brings into a block."""
        return (self.utterance(utt),)

    def soft(self, values: Sequence[Any]) -> SoftLabels | Tensor:
        """The columns' values in a minibatch to soft labels."""
        return values[0]

    def check(self, utts: Iterable[str]) -> None:
        """Read some twenty utterances, so that a wrong table is noticed before the training starts."""
        for utt in some(utts):
            self.targets(utt)

    def signature(self) -> Any:
        """Something that changes when the soft labels do; JSON types."""
        value = 0
        for utt in self.num_frames if self.in_memory else some(self.num_frames):
            posteriors = self.read(utt)
            for part in (utt.encode(), posteriors.pdfs.tobytes(), posteriors.weights.tobytes()):
                value = zlib.crc32(part, value)
        return value


def _best_pdfs(posteriors: SparsePosteriors) -> np.ndarray:
    """(T,) the pdf of the largest weight in each frame; no frame may be empty."""
    frames = np.repeat(np.arange(len(posteriors)), np.diff(posteriors.offsets))
    order = np.lexsort((-posteriors.weights, frames))
    return posteriors.pdfs[order][posteriors.offsets[:-1]].astype(np.int64)


def require_same_tree(teacher: str, ali_dir: str | os.PathLike[str]) -> None:
    """Check that teachers (model directories, or stored soft labels) number pdfs as the alignment does.

    Where they do not tell (tables of other systems) nothing is checked.

    Raises:
        HdnnError: another transition model.
    """
    ours = TransitionModel.read(Path(ali_dir) / "final.mdl").pdf_signature()
    for word in words(teacher):
        info, model = Path(word) / "info.json", Path(word) / "final.mdl"
        theirs = read_json(info).get("pdfs") if info.is_file() else None
        if theirs is None and not info.is_file() and model.is_file():
            theirs = TransitionModel.read(model).pdf_signature()
        if theirs not in (None, ours):
            raise HdnnError(
                f"{word}: its transition model numbers pdfs otherwise than {ali_dir}/final.mdl; take a teacher of the same tree"
            )


def warn_of_disagreement(source: SoftSource, labels: Mapping[str, np.ndarray]) -> None:
    """Compare the soft labels' best pdfs with hard labels, on some twenty utterances; warn if they hardly ever agree.

    A teacher of another tree, or one whose pdfs are numbered otherwise, has the right shape and teaches nonsense.
    """
    best: list[np.ndarray] = []
    hard: list[np.ndarray] = []
    for utt in some(utt for utt in labels if utt in source.num_frames):
        dense = source.utterance(utt)
        if len(dense) == len(labels[utt]):
            best.append(_best_pdfs(dense))
            hard.append(np.asarray(labels[utt], np.int64))
    if not best:
        return
    ours, theirs = np.concatenate(hard), np.concatenate(best)
    agreement = float((ours == theirs).mean())
    size = int(max(ours.max(), theirs.max())) + 1
    chance = float(np.bincount(ours, minlength=size) @ np.bincount(theirs, minlength=size)) / len(ours) ** 2
    if agreement < min(10 * chance, 0.25):
        log.warning(
            "the best pdf of the soft labels is that of the alignment in %.1f %% of the frames (%.1f %% by chance): were "
            "they made with another tree, other features or another version of the data?", 100 * agreement, 100 * chance,
        )  # fmt: skip


def some(utts: Iterable[str], count: int = 20) -> list[str]:
    """About `count` of the utterances, spread evenly."""
    names = list(utts)
    return names[:: max(1, len(names) // count)]


class TeacherSource(SoftSource):
    """Teachers forwarded for every minibatch: exact at every temperature, as slow as the teachers are.

    Args:
        mass: share of each frame's posterior that `utterance` keeps.
    """

    def __init__(self, teachers: Teachers, temperature: float, mass: float) -> None:
        super().__init__("teacher", teachers.num_frames(), self._sparse, teachers.num_pdfs, temperature)
        self.teachers, self.mass = teachers, mass

    @property
    def columns(self) -> int:
        return sum(source.dim for source in self.teachers.sources)

    def _sparse(self, utt: str) -> SparsePosteriors:
        return sparsify(self.teachers.of_utterance(utt), self.mass, self.temperature)[0]

    def fit(self, frames: Mapping[str, int]) -> None:
        self.teachers.fit(frames)
        self.num_frames = self.teachers.num_frames()

    def targets(self, utt: str) -> tuple[Targets, ...]:
        return self.teachers.windows(utt)

    def soft(self, values: Sequence[Any]) -> Tensor:
        return torch.softmax(self.teachers.log_posteriors(values) / self.temperature, 1)

    def check(self, utts: Iterable[str]) -> None:
        """Teachers were checked when they were opened."""

    def signature(self) -> Any:
        return self.teachers.signature()


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


def _is_matrix(stream: ByteStream) -> bool:
    """Whether a value is a matrix, not a Posterior."""
    kind = kind_of(stream)
    # Text: a matrix opens with "[" and a line end, a Posterior goes on with "pdf weight".
    return kind in MATRICES or (kind == TEXT and stream.look(8).lstrip(b" ").startswith((b"[\n", b"[ \n")))


def _holds_matrices(where: str | os.PathLike[str]) -> bool:
    """Look at the first entry of a table: a matrix, or a Posterior."""
    archive, script, _ = parse_specifier(where)
    if script is not None:
        table = PosteriorTable(script)
        return any(_is_matrix(table.open(key)[0]) for key in list(table.lines)[:1])
    assert archive is not None
    if archive.strip() == "-":
        raise HdnnError("soft labels cannot be read from stdin, as they are read twice; write them to a file")
    return any(is_matrix for _, is_matrix in islice(read_archive(archive, _is_matrix), 1))


def _script_of_posteriors(
    path: str, num_pdfs: int, temperature: float, checksums: str = "", tolerance: int = 0
) -> SoftSource:
    """The checksums are in a file, as of collect soft-labels; without one the labels are taken as they are."""
    table = PosteriorTable(path)
    lengths = {utt: table.num_frames(utt) for utt in table.lines}
    wanted = read_scp(checksums) if checksums else {}

    def read(utt: str) -> SparsePosteriors:
        posteriors = table[utt]
        if checksums and posteriors.checksum() != wanted.get(utt):
            raise HdnnError(
                f"{table.lines[utt]}, key {utt}: damaged, or of another run than {checksums}; regenerate the soft labels"
            )
        return posteriors

    return SoftSource(path, lengths, read, num_pdfs, temperature, tolerance=tolerance)


def _script_of_matrices(path: str, num_pdfs: int, temperature: float, mass: float) -> SoftSource:
    table = MatrixTable(path)
    shapes = {utt: table.shape(utt) for utt in table.lines}
    for utt, (_, columns) in shapes.items():
        _check_columns(path, utt, columns, num_pdfs)

    def read(utt: str) -> SparsePosteriors:
        return _from_matrix(table[utt], f"{path}: utterance {utt}", mass, temperature)

    return SoftSource(path, {utt: rows for utt, (rows, _) in shapes.items()}, read, num_pdfs, temperature)


def _archive(rspecifier: str, num_pdfs: int, temperature: float, mass: float) -> SoftSource:
    """A whole archive, of either kind, made sparse and held in memory."""
    entries: dict[str, SparsePosteriors] = {}
    if _holds_matrices(rspecifier):
        for utt, matrix in read_matrices(rspecifier):
            _check_columns(rspecifier, utt, matrix.shape[1], num_pdfs)
            entries[utt] = _from_matrix(matrix, f"{rspecifier}: utterance {utt}", mass, temperature)
    else:
        entries.update(read_posteriors(rspecifier))
    lengths = {utt: len(entry) for utt, entry in entries.items()}
    return SoftSource(rspecifier, lengths, entries.__getitem__, num_pdfs, temperature, in_memory=True)


def open_soft_labels(
    where: str | os.PathLike[str], num_pdfs: int, temperature: float = 1.0, mass: float = 1.0
) -> SoftSource:
    """Soft labels in a directory of make_soft_labels.sh, an scp, an archive, or a command.

    Args:
        mass: share of each frame that is kept of full matrices.

    Raises:
        HdnnError: not readable, another number of pdfs, or stored for lower temperatures.
    """
    path = Path(where)
    if path.is_dir():
        info = read_json(path / "info.json")
        known = {"num_pdfs": int, "temperature": int | float, "checksums": str, "frame_tolerance": int}
        absent = {"checksums": "", "frame_tolerance": 0}  # in older ones
        if not isinstance(info, dict) or any(not isinstance((absent | info).get(k), kind) for k, kind in known.items()):
            raise HdnnError(f"{path}/info.json does not say what it should; regenerate the soft labels")
        if info["num_pdfs"] != num_pdfs:
            raise HdnnError(
                f"{path} holds soft labels of {info['num_pdfs']} pdfs, the alignment has {num_pdfs}; "
                "take a teacher of the same tree"
            )
        if temperature > info["temperature"]:
            raise HdnnError(
                f"{path} keeps what matters up to temperature {info['temperature']:g}, {temperature:g} is asked for; "
                f"regenerate it with make_soft_labels.sh --temperature {temperature:g}"
            )
        # Those of 0.1.0 have none.
        checksums = str(path / info["checksums"]) if "checksums" in info else ""
        tolerance = info.get("frame_tolerance", 0)
        return _script_of_posteriors(str(path / "post.scp"), num_pdfs, temperature, checksums, tolerance)
    script = parse_specifier(where).script
    if script is None:
        return _archive(str(where), num_pdfs, temperature, mass)
    if _holds_matrices(where):
        return _script_of_matrices(script, num_pdfs, temperature, mass)
    return _script_of_posteriors(script, num_pdfs, temperature)


def open_source(
    teacher: str,
    own_data: Sequence[str],
    num_pdfs: int,
    options: SoftLabelOptions,
    device: torch.device,
    precision: str,
) -> SoftSource:
    """What the teacher argument of a program names: model directories, stored soft labels, or a table.

    Args:
        teacher: one or more model directories with spaces between (run on the fly), or as `open_soft_labels`.
        own_data: data directories of the student, where teachers on the fly find their features unless options name others.
        num_pdfs: of the alignment.

    Raises:
        HdnnError: not readable, or another number of pdfs.
    """
    found = words(teacher)
    if found and all(Path(w).is_dir() and not (Path(w) / "info.json").is_file() for w in found):
        teachers = Teachers(found, words(options.teacher_data) or own_data, device, precision)
        if teachers.num_pdfs != num_pdfs:
            raise HdnnError(
                f"{found[0]} has {teachers.num_pdfs} pdfs, the alignment {num_pdfs}; take a teacher of the same tree"
            )
        log.info("teacher on the fly: %s", ", ".join(network.name for network in teachers.networks))
        return TeacherSource(teachers, options.temperature, options.keep_mass)
    log.info("stored soft labels: %s", teacher)
    return open_soft_labels(teacher, num_pdfs, options.temperature, options.keep_mass)
