"""HMM topologies: which states each phone has and which transitions leave them (Kaldi's hmm/hmm-topology)."""

import os
from collections.abc import Sequence
from dataclasses import dataclass

from hdnn_nnet.errors import HdnnError
from hdnn_nnet.kaldi.basic_io import KaldiReader, KaldiWriter

NO_PDF = -1  # a state that emits nothing (the final one)


@dataclass(frozen=True)
class HmmState:
    """One state: its pdf-classes (NO_PDF if it does not emit) and `(destination state, probability)` pairs."""

    forward_pdf_class: int
    self_loop_pdf_class: int
    transitions: tuple[tuple[int, float], ...]


class HmmTopology:
    """Topology entries and the phones that use them.

    Attributes:
        entries: for each entry its states; the last state is final.
        phone_to_entry: phone -> index into `entries`.
    """

    def __init__(self, entries: Sequence[Sequence[HmmState]], phone_to_entry: dict[int, int]) -> None:
        self.entries = [tuple(entry) for entry in entries]
        self.phone_to_entry = dict(sorted(phone_to_entry.items()))

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, HmmTopology):
            return NotImplemented
        return self.entries == other.entries and self.phone_to_entry == other.phone_to_entry

    __hash__ = None  # type: ignore[assignment]  # compared by value, and nobody needs it in a set

    @property
    def phones(self) -> list[int]:
        return list(self.phone_to_entry)

    @property
    def is_hmm(self) -> bool:
        """True if every state has one pdf-class for both its self-loop and the other transitions (not so in chain)."""
        return all(s.forward_pdf_class == s.self_loop_pdf_class for entry in self.entries for s in entry)

    def states(self, phone: int) -> tuple[HmmState, ...]:
        """The states of `phone`."""
        try:
            return self.entries[self.phone_to_entry[phone]]
        except KeyError as error:
            raise HdnnError(f"phone {phone} is not in the topology; the files belong to different systems") from error

    def num_pdf_classes(self, phone: int) -> int:
        return 1 + max(max(s.forward_pdf_class, s.self_loop_pdf_class) for s in self.states(phone))

    @classmethod
    def read(cls, path: str | os.PathLike[str]) -> "HmmTopology":
        """Read a `topo` file."""
        return cls.parse(KaldiReader.open(path))

    @classmethod
    def parse(cls, reader: KaldiReader) -> "HmmTopology":
        """Read the object at the reader's position."""
        reader.expect("<Topology>")
        topology = _parse_binary(reader) if reader.binary else _parse_text(reader)
        reader.expect("</Topology>")
        _check(topology, reader)
        return topology

    def write(self, writer: KaldiWriter) -> None:
        """Append the object to `writer`, byte for byte as Kaldi does."""
        writer.token("<Topology>")
        writer.text("\n")
        (self._write_binary if writer.binary else self._write_text)(writer)
        writer.token("</Topology>")
        writer.text("\n")

    def _write_binary(self, writer: KaldiWriter) -> None:
        table = [-1] * (max(self.phones) + 1)
        for phone, index in self.phone_to_entry.items():
            table[phone] = index
        writer.int32_vector(self.phones)
        writer.int32_vector(table)
        if not self.is_hmm:
            writer.int32(-1)  # the mark of the form with two pdf-classes a state
        writer.int32(len(self.entries))
        for entry in self.entries:
            writer.int32(len(entry))
            for state in entry:
                writer.int32(state.forward_pdf_class)
                if not self.is_hmm:
                    writer.int32(state.self_loop_pdf_class)
                writer.int32(len(state.transitions))
                for destination, probability in state.transitions:
                    writer.int32(destination)
                    writer.float(probability)

    def _write_text(self, writer: KaldiWriter) -> None:
        for index, entry in enumerate(self.entries):
            phones = "".join(f"{phone} " for phone, own in self.phone_to_entry.items() if own == index)
            writer.text(f"<TopologyEntry> \n<ForPhones> \n{phones}\n</ForPhones> \n")
            for number, state in enumerate(entry):
                writer.token("<State>")
                writer.int32(number)
                if state.forward_pdf_class != NO_PDF:
                    writer.token("<PdfClass>" if self.is_hmm else "<ForwardPdfClass>")
                    writer.int32(state.forward_pdf_class)
                    if not self.is_hmm:
                        writer.token("<SelfLoopPdfClass>")
                        writer.int32(state.self_loop_pdf_class)
                for destination, probability in state.transitions:
                    writer.token("<Transition>")
                    writer.int32(destination)
                    writer.float(probability)
                writer.text("</State> \n")
            writer.text("</TopologyEntry> \n")


def _parse_binary(reader: KaldiReader) -> HmmTopology:
    phones = reader.int32_vector()
    table = reader.int32_vector()
    count = reader.int32()
    two_classes = count == -1
    if two_classes:
        count = reader.int32()
    entries = []
    for _ in range(count):
        entry = []
        for _ in range(reader.int32()):
            forward = reader.int32()
            self_loop = reader.int32() if two_classes else forward
            arcs = tuple((reader.int32(), reader.float()) for _ in range(reader.int32()))
            entry.append(HmmState(forward, self_loop, arcs))
        entries.append(entry)
    if len(phones) and (phones.min() < 1 or phones.max() >= len(table)):
        raise reader.fail("topology with phones outside its table")
    return HmmTopology(entries, {int(phone): int(table[phone]) for phone in phones})


def _parse_text(reader: KaldiReader) -> HmmTopology:
    entries: list[list[HmmState]] = []
    phone_to_entry: dict[int, int] = {}
    while reader.peek_token() == "<TopologyEntry>":
        reader.token()
        reader.expect("<ForPhones>")
        while reader.peek_token() != "</ForPhones>":
            phone = reader.int32()
            if phone in phone_to_entry:
                raise reader.fail(f"phone {phone} has two topology entries")
            phone_to_entry[phone] = len(entries)
        reader.token()
        entry: list[HmmState] = []
        while reader.expect("<State>", "</TopologyEntry>") == "<State>":
            if reader.int32() != len(entry):
                raise reader.fail("topology states not numbered from 0 on")
            forward = self_loop = NO_PDF
            token = reader.expect("<PdfClass>", "<ForwardPdfClass>", "<Transition>", "</State>")
            if token == "<PdfClass>":
                forward = self_loop = reader.int32()
            elif token == "<ForwardPdfClass>":
                forward = reader.int32()
                reader.expect("<SelfLoopPdfClass>")
                self_loop = reader.int32()
            if token.endswith("PdfClass>"):
                token = reader.expect("<Transition>", "</State>")
            arcs = []
            while token == "<Transition>":
                arcs.append((reader.int32(), reader.float()))
                token = reader.expect("<Transition>", "</State>")
            entry.append(HmmState(forward, self_loop, tuple(arcs)))
        entries.append(entry)
    return HmmTopology(entries, phone_to_entry)


def _check(topology: HmmTopology, reader: KaldiReader) -> None:
    if not topology.phone_to_entry or not topology.entries:
        raise reader.fail("topology without phones")
    if not all(0 <= index < len(topology.entries) for index in topology.phone_to_entry.values()):
        raise reader.fail("topology with a phone that has no entry")
    for entry in topology.entries:
        if len(entry) < 2 or entry[-1].transitions or entry[-1].forward_pdf_class != NO_PDF:
            raise reader.fail("topology entry that does not end in a state without pdf and transitions")
        for state in entry[:-1]:
            destinations = [destination for destination, _ in state.transitions]
            if not destinations or len(set(destinations)) != len(destinations):
                raise reader.fail("topology state without transitions, or with the same transition twice")
            if not all(0 <= destination < len(entry) for destination in destinations):
                raise reader.fail("topology transition to a state that does not exist")
