"""Questions of a decision tree: sets of phones (`questions.int`), and compiled for each key (`questions.qst`)."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from hdnn_nnet.atomic import write_text
from hdnn_nnet.errors import HdnnError
from hdnn_nnet.kaldi.basic_io import KaldiReader, KaldiWriter
from hdnn_nnet.kaldi.symbols import read_integer_lines
from hdnn_nnet.kaldi.topology import HmmTopology
from hdnn_nnet.kaldi.tree import PDF_CLASS


@dataclass(frozen=True)
class KeyQuestions:
    """What may be asked about one key.

    Attributes:
        sets: sorted tuples of values; the question is whether the key's value is among them.
        refine_iters: rounds in which values may change sides at a node; 0: the sets stay as they are.
        refine_top_n: kept for the file; with two sides it has no effect.
    """

    sets: tuple[tuple[int, ...], ...]
    refine_iters: int = 0
    refine_top_n: int = 2


Questions = Mapping[int, KeyQuestions]  # by key: PDF_CLASS and positions in the window


def read_phone_sets(path: str | os.PathLike[str], topology: HmmTopology) -> list[list[int]]:
    """Sets of phones, one a line: `sets.int`, `questions.int`, `extra_questions.int`.

    Raises:
        HdnnError: a phone that the topology lacks, or twice in a line.
    """
    rows = [row for row in read_integer_lines(path) if row]
    known = set(topology.phones)
    for row in rows:
        odd = [phone for phone in row if phone not in known]
        if odd:
            raise HdnnError(f"{path} asks about phone {odd[0]}, which the topology lacks; it belongs to other phones")
        if len(set(row)) != len(row):
            raise HdnnError(f"{path}: a phone stands twice in the line {' '.join(map(str, row))}")
    return rows


def write_phone_sets(path: str | os.PathLike[str], sets: Sequence[Sequence[int]]) -> None:
    """Write one set a line, as Kaldi's cluster-phones does."""
    write_text(path, "".join(" ".join(map(str, row)) + "\n" for row in sets))


def compile_questions(
    sets: Sequence[Sequence[int]], topology: HmmTopology, context_width: int = 3, refine_iters: int = 0
) -> dict[int, KeyQuestions]:
    """Questions for every key from sets of phones (Kaldi's compile-questions)."""
    phones = tuple(sorted({tuple(sorted(row)) for row in sets}))
    classes = max(topology.num_pdf_classes(phone) for phone in topology.phones)
    positions = tuple(tuple(range(last + 1)) for last in range(classes - 1))
    questions = {PDF_CLASS: KeyQuestions(positions, refine_iters)}
    return questions | {key: KeyQuestions(phones, refine_iters) for key in range(context_width)}


def read_questions(path: str | os.PathLike[str]) -> dict[int, KeyQuestions]:
    """Read compiled questions (`questions.qst`), binary or text."""
    reader = KaldiReader.open(path)
    reader.expect("<Questions>")
    questions = {}
    while reader.expect("<Key>", "</Questions>") == "<Key>":
        key = reader.int32()
        reader.expect("<QuestionsForKey>")
        sets = tuple(tuple(reader.int32_vector().tolist()) for _ in range(reader.int32()))
        reader.expect("<RefineClustersOptions>")
        iters, top = reader.int32(), reader.int32()
        reader.expect("</RefineClustersOptions>")
        reader.expect("</QuestionsForKey>")
        questions[key] = KeyQuestions(sets, iters, top)
    return questions


def write_questions(path: str | os.PathLike[str], questions: Questions, binary: bool = True) -> None:
    """Write compiled questions as Kaldi's compile-questions does."""
    writer = KaldiWriter(binary)
    writer.token("<Questions>")
    for key, own in sorted(questions.items()):
        writer.token("<Key>")
        writer.int32(key)
        writer.token("<QuestionsForKey>")
        writer.int32(len(own.sets))
        for row in own.sets:
            writer.int32_vector(row)
        writer.token("<RefineClustersOptions>")
        writer.int32(own.refine_iters)
        writer.int32(own.refine_top_n)
        writer.token("</RefineClustersOptions>")
        writer.token("</QuestionsForKey>")
    writer.token("</Questions>")
    writer.save(path)
