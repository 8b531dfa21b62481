"""Phonetic context decision trees: from a window of phones and a pdf-class to a pdf (Kaldi's tree/context-dep).

A tree is an event map. An event assigns values to keys: key -1 is the pdf-class (the HMM state's number in its phone),
keys 0 to N-1 are the phones of the context window; phone P of the window is the central one.
"""

import itertools
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from hdnn_nnet.errors import HdnnError
from hdnn_nnet.kaldi.basic_io import KaldiReader, KaldiWriter
from hdnn_nnet.kaldi.topology import HmmTopology

PDF_CLASS = -1  # the key of the pdf-class


@dataclass(frozen=True)
class ConstantMap:
    """`CE`: the answer itself."""

    answer: int


@dataclass(frozen=True)
class SplitMap:
    """`SE`: the question whether the key's value is in `yes_set`."""

    key: int
    yes_set: tuple[int, ...]
    yes: "EventMap"
    no: "EventMap"
    members: frozenset[int] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "members", frozenset(self.yes_set))


@dataclass(frozen=True)
class TableMap:
    """`TE`: a branch for each value of the key; None where there is no answer."""

    key: int
    table: tuple["EventMap | None", ...]


EventMap = ConstantMap | SplitMap | TableMap


class ContextDependency:
    """A tree with its context window.

    Attributes:
        context_width: phones in the window (N), 1 for monophones, 3 for triphones.
        central_position: index of the central phone (P).
        to_pdf: the event map.
    """

    def __init__(self, context_width: int, central_position: int, to_pdf: EventMap) -> None:
        if not 0 <= central_position < context_width:
            raise HdnnError(f"tree with central position {central_position} in a window of {context_width} phones")
        self.context_width = context_width
        self.central_position = central_position
        self.to_pdf = to_pdf

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, ContextDependency):
            return NotImplemented
        mine = (self.context_width, self.central_position, self.to_pdf)
        return mine == (other.context_width, other.central_position, other.to_pdf)

    __hash__ = None  # type: ignore[assignment]  # compared by value, and nobody needs it in a set

    @property
    def num_pdfs(self) -> int:
        """One more than the largest pdf of the tree."""
        answers: list[int] = []
        _visit(self.to_pdf, answers.append)
        return max(answers, default=-1) + 1

    def pdf(self, window: Sequence[int], pdf_class: int) -> int:
        """The pdf of a state.

        Args:
            window: `context_width` phones; 0 stands for no phone (the utterance's edge).
            pdf_class: the state's pdf-class, from 0.

        Raises:
            HdnnError: the tree has no answer; tree and topology or phones do not fit.
        """
        if len(window) != self.context_width:
            raise HdnnError(f"a window of {len(window)} phones for a tree of width {self.context_width}")
        answer = _lookup(self.to_pdf, {PDF_CLASS: pdf_class, **dict(enumerate(window))})
        if answer is None:
            raise HdnnError(
                f"the tree has no pdf for phones {list(window)}, pdf-class {pdf_class}; "
                "tree and topology belong to different systems"
            )
        return answer

    @classmethod
    def read(cls, path: str | os.PathLike[str]) -> "ContextDependency":
        """Read a `tree` file, binary or text."""
        reader = KaldiReader.open(path)
        reader.expect("ContextDependency")
        width, central = reader.int32(), reader.int32()
        if reader.expect("ToPdf", "ToLength") == "ToLength":  # old files
            _parse_whole(reader)
            reader.expect("ToPdf")
        to_pdf = _parse_whole(reader)
        reader.expect("EndContextDependency")
        if to_pdf is None:
            raise reader.fail("an empty tree")
        return cls(width, central, to_pdf)

    def to_bytes(self, binary: bool = True) -> bytes:
        """The file's content, byte for byte as Kaldi's copy-tree writes it."""
        writer = KaldiWriter(binary)
        self._append_to(writer)
        return writer.getvalue()

    def write(self, path: str | os.PathLike[str], binary: bool = True) -> None:
        """Write the tree atomically."""
        writer = KaldiWriter(binary)
        self._append_to(writer)
        writer.save(path)

    def _append_to(self, writer: KaldiWriter) -> None:
        writer.token("ContextDependency")
        writer.int32(self.context_width)
        writer.int32(self.central_position)
        writer.token("ToPdf")
        _write(self.to_pdf, writer)
        writer.token("EndContextDependency")


def monophone_tree(phone_sets: Sequence[Sequence[int]], topology: HmmTopology) -> ContextDependency:
    """A context-independent tree whose phones share their pdfs within a set, as Kaldi's gmm-init-mono makes it.

    Args:
        phone_sets: the lines of `phones/sets.int`; every phone of the topology in one of them.
    """
    sets = [sorted(phones) for phones in phone_sets if phones]
    listed = [phone for phones in sets for phone in phones]
    if len(set(listed)) != len(listed) or set(listed) != set(topology.phones):
        odd = sorted(set(listed) ^ set(topology.phones)) or sorted(p for p in set(listed) if listed.count(p) > 1)
        raise HdnnError(f"sets.int and topo must list the same phones, each once (see {odd[:5]}); make lang again")
    for phones in sets:
        if len({topology.num_pdf_classes(phone) for phone in phones}) != 1:
            raise HdnnError(f"phones {phones} share their pdfs in sets.int, but differ in their number of pdf-classes")
    return ContextDependency(1, 0, _monophone_map(sets, topology, itertools.count()))


def _monophone_map(sets: Sequence[Sequence[int]], topology: HmmTopology, pdfs: Iterator[int]) -> EventMap:
    """One leaf for each set and pdf-class, numbered in order. The shape is Kaldi's, so that the files are the same."""
    if len(sets) == 1:
        count = topology.num_pdf_classes(sets[0][0])
        return TableMap(PDF_CLASS, tuple(ConstantMap(next(pdfs)) for _ in range(count)))
    if max(len(phones) for phones in sets) == 1:
        table: list[EventMap | None] = [None] * (max(phones[0] for phones in sets) + 1)
        for phones in sets:
            table[phones[0]] = _monophone_map([phones], topology, pdfs)
        return TableMap(0, tuple(table))
    half = len(sets) // 2
    yes = _monophone_map(sets[:half], topology, pdfs)
    no = _monophone_map(sets[half:], topology, pdfs)
    return SplitMap(0, tuple(sorted(phone for phones in sets[:half] for phone in phones)), yes, no)


def monophone_tuples(tree: ContextDependency, topology: HmmTopology) -> np.ndarray:
    """Tuples of a transition model for a context-independent tree, in Kaldi's order; int32, shape (states, 4)."""
    if tree.context_width != 1:
        raise HdnnError(f"a context-independent tree is needed here, this one has width {tree.context_width}")
    rows = []
    for phone in topology.phones:
        for number, state in enumerate(topology.states(phone)[:-1]):
            forward = tree.pdf([phone], state.forward_pdf_class)
            rows.append((phone, number, forward, tree.pdf([phone], state.self_loop_pdf_class)))
    return np.array(sorted(rows), dtype=np.int32)


def _visit(node: EventMap | None, on_answer: Callable[[int], object]) -> None:
    if isinstance(node, ConstantMap):
        on_answer(node.answer)
    elif isinstance(node, SplitMap):
        _visit(node.yes, on_answer)
        _visit(node.no, on_answer)
    elif isinstance(node, TableMap):
        for branch in node.table:
            _visit(branch, on_answer)


def _lookup(node: EventMap | None, event: Mapping[int, int]) -> int | None:
    while node is not None and not isinstance(node, ConstantMap):
        value = event.get(node.key)
        if value is None:
            return None
        if isinstance(node, SplitMap):
            node = node.yes if value in node.members else node.no
        else:
            node = node.table[value] if 0 <= value < len(node.table) else None
    return None if node is None else node.answer


def _parse_whole(reader: KaldiReader) -> EventMap | None:
    try:
        return _parse(reader)
    except RecursionError as error:
        raise reader.fail("a tree of more levels than any real one") from error


def _parse(reader: KaldiReader) -> EventMap | None:
    kind = reader.expect("CE", "SE", "TE", "NULL")
    if kind == "NULL":
        return None
    if kind == "CE":
        return ConstantMap(reader.int32())
    key = reader.int32()
    if kind == "TE":
        size = reader.uint32()
        if size > len(reader.data):  # each branch takes a byte at least
            raise reader.fail("a table larger than the file")
        reader.expect("(")
        table = tuple(_parse(reader) for _ in range(size))
        reader.expect(")")
        return TableMap(key, table)
    yes_set = tuple(reader.int32_vector().tolist())
    reader.expect("{")
    yes, no = _parse(reader), _parse(reader)
    reader.expect("}")
    if yes is None or no is None:
        raise reader.fail("a question without an answer")
    return SplitMap(key, yes_set, yes, no)


def _write(node: EventMap | None, writer: KaldiWriter) -> None:
    if node is None:
        writer.token("NULL")
    elif isinstance(node, ConstantMap):
        writer.token("CE")
        writer.int32(node.answer)
    elif isinstance(node, SplitMap):
        writer.token("SE")
        writer.int32(node.key)
        writer.int32_vector(np.array(node.yes_set, dtype=np.int32))
        writer.token("{")
        _write(node.yes, writer)
        _write(node.no, writer)
        writer.token("}")
        writer.text("\n")
    else:
        writer.token("TE")
        writer.int32(node.key)
        writer.uint32(len(node.table))
        writer.token("(")
        for branch in node.table:
            _write(branch, writer)
        writer.token(")")
        writer.text("\n")
