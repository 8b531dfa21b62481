"""Transition models: what a transition-id means (Kaldi's hmm/transition-model).

A transition-id (from 1) names an arc of an HMM: the phone, its state, the pdf that the arc emits, and where it goes.
Alignments and decoding graphs consist of transition-ids.
"""

import os
import zlib
from collections.abc import Sequence

import numpy as np

from hdnn_nnet.errors import HdnnError
from hdnn_nnet.kaldi.basic_io import KaldiReader, KaldiWriter
from hdnn_nnet.kaldi.topology import HmmTopology


class TransitionModel:
    """A transition model with its tables, all indexed by transition-id; entry 0 is unused.

    Attributes:
        topology: the HMM topology of every phone.
        tuples: int32, shape (num_transition_states, 4): phone, HMM state, forward pdf, self-loop pdf.
        log_probs: float32, shape (num_transition_ids + 1,); entry 0 is 0.
        tid_to_state: int32, transition-state (from 1) of a transition-id.
        tid_to_pdf, tid_to_phone, tid_to_hmm_state: int32, entry 0 = -1.
        is_self_loop, is_final: bool; a final arc ends its phone.
        state_to_tid: int32, shape (num_transition_states + 2,): first transition-id of a transition-state, and the end.
        num_pdfs, num_transition_ids, num_transition_states: counts.
    """

    def __init__(self, topology: HmmTopology, tuples: np.ndarray, log_probs: np.ndarray | None = None) -> None:
        """Build the tables; without `log_probs` the topology's probabilities are taken."""
        self.topology = topology
        self.tuples = np.ascontiguousarray(tuples, dtype=np.int32).reshape(-1, 4)
        arcs = [topology.states(int(phone))[int(state)].transitions for phone, state in self.tuples[:, :2]]
        counts = np.array([len(a) for a in arcs], dtype=np.int64)
        states = np.repeat(np.arange(len(arcs)), counts)
        own_state = self.tuples[states, 1]
        destination = np.array([d for a in arcs for d, _ in a], dtype=np.int32)
        last_state = np.array([len(topology.states(int(phone))) - 1 for phone in self.tuples[:, 0]], dtype=np.int32)
        loops = destination == own_state
        self.num_transition_states = len(arcs)
        self.num_transition_ids = len(destination)
        self.num_pdfs = int(self.tuples[:, 2:].max(initial=-1)) + 1
        self.state_to_tid = np.concatenate([[0, 1], 1 + np.cumsum(counts)]).astype(np.int32)
        self.tid_to_state = _from_one(states + 1, 0)
        self.tid_to_phone = _from_one(self.tuples[states, 0], -1)
        self.tid_to_hmm_state = _from_one(own_state, -1)
        self.tid_to_pdf = _from_one(np.where(loops, self.tuples[states, 3], self.tuples[states, 2]), -1)
        self.is_self_loop = _from_one(loops, 0).astype(bool)
        self.is_final = _from_one(destination == last_state[states], 0).astype(bool)
        self._destination = _from_one(destination, -1)
        if log_probs is None:
            log_probs = np.log(np.concatenate([[1.0], [p for a in arcs for _, p in a]]))
        self.log_probs = np.asarray(log_probs, dtype=np.float32)
        if self.log_probs.shape != (self.num_transition_ids + 1,):
            raise HdnnError(
                f"the transition model has {len(self.log_probs) - 1} log-probabilities for {self.num_transition_ids} "
                "transition-ids; the file is damaged: regenerate it"
            )

    def pdf_signature(self) -> int:
        """A checksum of which phones and states have which pdfs; probabilities do not matter."""
        return zlib.crc32(np.ascontiguousarray(self.tuples, "<i4").tobytes())

    @classmethod
    def read(cls, path: str | os.PathLike[str]) -> "TransitionModel":
        """Read a transition model: alone, or at the head of a GMM's, nnet2's or nnet3's `final.mdl`; binary or text.

        Raises:
            HdnnError: missing, truncated or inconsistent file.
        """
        return cls.parse(KaldiReader.open(path))

    @classmethod
    def parse(cls, reader: KaldiReader) -> "TransitionModel":
        """Read the object at the reader's position; what follows is left unread."""
        reader.expect("<TransitionModel>")
        topology = HmmTopology.parse(reader)
        width = 3 if reader.expect("<Triples>", "<Tuples>") == "<Triples>" else 4
        count = reader.int32()
        if count <= 0:
            raise reader.fail("a transition model without states")
        rows = reader.int32_items(width * count).reshape(count, width)
        reader.expect("</Triples>" if width == 3 else "</Tuples>")
        tuples = rows if width == 4 else np.concatenate([rows, rows[:, 2:]], axis=1)
        for phone, state in np.unique(tuples[:, :2], axis=0).tolist():
            if phone not in topology.phone_to_entry or not 0 <= state < len(topology.states(phone)) - 1:
                raise reader.fail(f"phone {phone}, state {state} is not in the topology before this point")
        if tuples[:, 2:].min() < 0:
            raise reader.fail("a negative pdf before this point")
        reader.expect("<LogProbs>")
        log_probs = reader.vector()
        reader.expect("</LogProbs>")
        reader.expect("</TransitionModel>")
        try:
            return cls(topology, tuples, log_probs)
        except HdnnError as error:
            raise HdnnError(f"{reader.where}: {error}") from error

    def append_to(self, writer: KaldiWriter) -> None:
        """Append the object to `writer`, byte for byte as Kaldi does."""
        is_hmm = self.topology.is_hmm
        kind = "Triples" if is_hmm else "Tuples"
        writer.token("<TransitionModel>")
        writer.text("\n")
        self.topology.write(writer)
        writer.token(f"<{kind}>")
        writer.int32(len(self.tuples))
        writer.text("\n")
        for row in self.tuples[:, : 3 if is_hmm else 4].tolist():
            for value in row:
                writer.int32(value)
            writer.text("\n")
        writer.token(f"</{kind}>")
        writer.text("\n")
        writer.token("<LogProbs>")
        writer.text("\n")
        writer.vector(self.log_probs)
        writer.token("</LogProbs>")
        writer.text("\n")
        writer.token("</TransitionModel>")
        writer.text("\n")

    def write(self, path: str | os.PathLike[str], binary: bool = True) -> None:
        """Write the transition model alone, as Kaldi's copy-transition-model does."""
        writer = KaldiWriter(binary)
        self.append_to(writer)
        writer.save(path)

    @property
    def self_loop_log_probs(self) -> np.ndarray:
        """Log-probability of each transition-state's self-loop, else -inf; shape (num_transition_states + 1,)."""
        values = np.full(self.num_transition_states + 1, -np.inf, dtype=np.float32)
        values[self.tid_to_state[self.is_self_loop]] = self.log_probs[self.is_self_loop]
        return values

    @property
    def non_self_loop_log_probs(self) -> np.ndarray:
        """log(1 - self-loop probability) of each transition-state; shape (num_transition_states + 1,), entry 0 is 0."""
        rest = 1.0 - np.exp(self.self_loop_log_probs.astype(np.float64))
        rest[0] = 1.0
        # Kaldi's floor: a state that is all self-loop could otherwise never be left.
        return np.log(np.where(rest <= 0.0, 1.0e-10, rest)).astype(np.float32)

    def describe(self, phone_names: Sequence[str]) -> str:
        """The text of Kaldi's show-transitions; `phone_names` is indexed by phone."""
        lines = []
        for number, (phone, state, forward, self_loop) in enumerate(self.tuples.tolist(), 1):
            pdfs = (
                f"pdf = {forward}" if self.topology.is_hmm else f"forward-pdf = {forward} self-loop-pdf = {self_loop}"
            )
            lines.append(f"Transition-state {number}: phone = {phone_names[phone]} hmm-state = {state} {pdfs}")
            for tid in range(self.state_to_tid[number], self.state_to_tid[number + 1]):
                where = "self-loop" if self.is_self_loop[tid] else f"{state} -> {self._destination[tid]}"
                # rounded from double: numpy's single-precision exp may differ from C's in the last bit
                probability = np.float32(np.exp(np.float64(self.log_probs[tid])))
                lines.append(f" Transition-id = {tid} p = {probability:.6g} [{where}]")
        return "\n".join(lines) + "\n"


def _from_one(values: np.ndarray, first: int) -> np.ndarray:
    return np.concatenate([[first], values]).astype(np.int32)
