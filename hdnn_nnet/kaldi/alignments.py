"""Alignments (one transition-id a frame, in the `ali.N.gz` of an alignment directory) and counts of their pdfs."""

import gzip
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

import numpy as np

from hdnn_nnet.atomic import atomic_path, write_text
from hdnn_nnet.errors import HdnnError
from hdnn_nnet.kaldi.basic_io import format_float
from hdnn_nnet.kaldi.int_vectors import int_vector_bytes
from hdnn_nnet.kaldi.tables import read_int_vectors
from hdnn_nnet.kaldi.text_file import read_lines, read_num_jobs
from hdnn_nnet.kaldi.transitions import TransitionModel
from hdnn_nnet.ragged import Vectors
from hdnn_nnet.text import to_float, words


def alignment_files(ali_dir: str | os.PathLike[str]) -> list[Path]:
    """`ali.1.gz` to `ali.N.gz` of a directory, N from its `num_jobs` file.

    Raises:
        HdnnError: no `num_jobs`, a file of 1..N is missing, or there are files beyond N (left by another run).
    """
    directory = Path(ali_dir)
    if not (directory / "num_jobs").exists():
        raise HdnnError(f"{directory}/num_jobs does not exist; is {directory} an alignment directory?")
    jobs = read_num_jobs(directory, "align again")
    wanted = [directory / f"ali.{job}.gz" for job in range(1, jobs + 1)]
    found = {path for path in directory.glob("ali.*.gz") if re.fullmatch(r"ali\.\d+\.gz", path.name)}
    if found != set(wanted) or not wanted:
        odd = sorted(str(path) for path in found ^ set(wanted))
        raise HdnnError(
            f"{directory}/num_jobs says {jobs}, which does not fit the ali.*.gz there "
            f"(missing or too many: {' '.join(odd[:3])}); align again"
        )
    return wanted


def _entries(where: str | os.PathLike[str]) -> Iterator[tuple[str, np.ndarray]]:
    sources: list[str | os.PathLike[str]] = [*alignment_files(where)] if Path(where).is_dir() else [where]
    seen: set[str] = set()
    for source in sources:
        for utterance, transition_ids in read_int_vectors(source):
            if utterance in seen:
                raise HdnnError(f"{source}: utterance {utterance} is aligned twice in {where}; align again")
            seen.add(utterance)
            yield utterance, transition_ids
    if not seen:
        raise HdnnError(f"{where} holds no alignments; look at the logs of the alignment step")


def read_alignments(where: str | os.PathLike[str]) -> dict[str, np.ndarray]:
    """All alignments of an alignment directory, an archive or an rspecifier: utterance -> transition-ids.

    Raises:
        HdnnError: unreadable archive, an utterance that occurs twice, or none at all.
    """
    return dict(_entries(where))


def read_pdf_alignments(where: str | os.PathLike[str], transition_model: TransitionModel) -> Vectors:
    """Like `read_alignments`, but pdfs (Kaldi's ali-to-pdf): utterance -> int32, shape (frames,).

    They are kept in 16 bits where the model's pdfs fit: 1,000 hours are 360 million.
    """
    pdf_of = transition_model.tid_to_pdf
    if transition_model.num_pdfs <= np.iinfo(np.int16).max:
        pdf_of = pdf_of.astype(np.int16)
    highest = transition_model.num_transition_ids

    def to_pdfs(utterances: list[str], offsets: np.ndarray, ids: np.ndarray) -> np.ndarray:
        if len(ids) and not 1 <= ids.min() <= ids.max() <= highest:
            wrong = int(np.flatnonzero((ids < 1) | (ids > highest))[0])
            number = int(np.searchsorted(offsets, wrong, side="right")) - 1
            own = ids[offsets[number] : offsets[number + 1]]
            raise HdnnError(
                f"{where}: utterance {utterances[number]}: transition-ids {own.min()} to {own.max()}, but the model has 1 to "
                f"{highest}; take the final.mdl that made the alignment"
            )
        return pdf_of[ids]

    return Vectors(_entries(where), to_pdfs)


def write_alignments(
    path: str | os.PathLike[str], alignments: Mapping[str, np.ndarray] | Iterable[tuple[str, np.ndarray]]
) -> int:
    """Write a binary archive of integer vectors (gzipped if the name ends in `.gz`), in the given order.

    Returns:
        The number of utterances written.
    """
    items = alignments.items() if isinstance(alignments, Mapping) else alignments
    entries = 0
    pieces = []
    for key, values in items:
        pieces.append(key.encode() + b" " + int_vector_bytes(values))
        entries += 1
    data = b"".join(pieces)
    with atomic_path(path) as temporary:
        temporary.write_bytes(gzip.compress(data, mtime=0) if str(path).endswith(".gz") else data)
    return entries


def read_counts(path: str | os.PathLike[str]) -> np.ndarray:
    """Read a Kaldi text vector such as `ali_train_pdf.counts`; float64, shape (num_pdfs,)."""
    found = [word for line in read_lines(path) for word in words(line)]
    try:
        if found[0] != "[" or found[-1] != "]" or len(found) < 3:
            raise ValueError("no [ ... ]")
        counts = np.array([to_float(word, finite=False) for word in found[1:-1]], dtype=np.float64)
    except (ValueError, IndexError) as error:
        raise HdnnError(f"{path} is not a vector of counts in Kaldi's text form: [ c1 c2 ... ]") from error
    if not np.isfinite(counts).all() or counts.min() < 0:
        raise HdnnError(f"{path} holds a count that is negative or not finite; count the alignments again")
    return counts


def write_counts(path: str | os.PathLike[str], counts: np.ndarray) -> None:
    """Write counts as Kaldi's text vector, whole numbers with all their digits."""
    texts = [str(int(c)) if float(c).is_integer() else format_float(c) for c in np.asarray(counts, dtype=np.float64)]
    write_text(path, f" [ {' '.join(texts)} ]\n")
