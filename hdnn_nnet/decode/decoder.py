"""Log-likelihoods to lattices: graph preparation, beam search, word lattices."""

from dataclasses import dataclass

import numpy as np

from hdnn_nnet.decode.engines import make_search
from hdnn_nnet.decode.options import SearchOptions
from hdnn_nnet.decode.pdf_graph import PdfGraph
from hdnn_nnet.decode.word_graph import FrameLattice, word_lattices
from hdnn_nnet.graph.epsilon import remove_input_epsilons
from hdnn_nnet.kaldi.automaton import group_by_state
from hdnn_nnet.kaldi.fst import Fst
from hdnn_nnet.lattice.determinize import determinize
from hdnn_nnet.lattice.types import LATTICE_ARC, AnyLattice, Lattice


@dataclass
class Result:
    """Of one utterance.

    Attributes:
        lattice: None when the search died.
        partial: the lattice ends in no final state.
        cut: the beam held more paths than `max_mem` allows.
    """

    lattice: AnyLattice | None
    partial: bool
    cut: bool = False


class Decoder:
    """Decodes batches of log-likelihood matrices.

    Args:
        graph: HCLG with transition-ids and words.
        tid_to_pdf: pdf of every transition-id; entry 0 unused.
        options: named as latgen-faster-mapped's; with `determinize_lattice` word lattices (`CompactLattice`), else
            state-level lattices with all alignments (`Lattice`).
    """

    def __init__(self, graph: Fst, tid_to_pdf: np.ndarray, options: SearchOptions) -> None:
        self.options = options
        self.search = make_search(options, PdfGraph.make(remove_input_epsilons(graph), tid_to_pdf))
        self.num_pdfs = int(tid_to_pdf.max()) + 1

    def decode(self, loglikes: list[np.ndarray]) -> list[Result]:
        """Decode a batch of (frames, pdfs) matrices, which are not scaled; results in the same order."""
        options = self.options
        results = [Result(None, True) for _ in loglikes]
        heard = [i for i, matrix in enumerate(loglikes) if len(matrix)]
        if not heard:
            return results
        frames, partial = self.search.search(
            [loglikes[i] for i in heard], options.acoustic_scale, options.min_active, options.max_active
        )
        lattices: list[AnyLattice | None] = []
        cut = np.zeros(len(heard), bool)
        if options.determinize_lattice:
            graphs, cut = word_lattices(frames, options.lattice_beam, options.word_history, options.max_mem)
            lattices += [g and determinize(g, options.acoustic_scale, options.lattice_beam) for g in graphs]
        else:
            lattices += state_lattices(frames)
        for place, *result in zip(heard, lattices, partial.tolist(), cut.tolist(), strict=True):
            results[place] = Result(*result)
        return results


def state_lattices(frames: FrameLattice) -> list[Lattice | None]:
    """Frame-level search results as Kaldi's state-level lattices; None where the search failed."""
    lattices: list[Lattice | None] = []
    for number, start in enumerate(frames.start.tolist()):
        lattices.append(_state_lattice(frames, number, start) if start >= 0 else None)
    return lattices


def _state_lattice(frames: FrameLattice, number: int, start: int) -> Lattice:
    states = np.flatnonzero(frames.utterance == number)
    first, count = int(states[0]), len(states)
    begin, end = int(frames.offsets[first]), int(frames.offsets[first + count])
    arc = np.arange(begin, end)
    source = np.repeat(np.arange(count), np.diff(frames.offsets[first : first + count + 1]))
    ends = frames.is_final[begin:end]
    final = np.full((count, 2), np.inf, np.float32)
    final[source[ends], 0] = frames.graph_cost[arc[ends]]
    final[source[ends], 1] = 0.0
    rows, new_source = [], []
    for a, here in zip(arc[~ends].tolist(), source[~ends].tolist(), strict=True):
        goal = int(frames.nextstate[a]) - first
        sequence = frames.sequences[frames.words[a]] or (0,)
        for position, word in enumerate(sequence):
            is_last = position == len(sequence) - 1
            there = goal if is_last else count
            head = (frames.transition_id[a], word, frames.graph_cost[a], frames.acoustic_cost[a])
            rows.append((*(head if position == 0 else (0, word, 0.0, 0.0)), there))
            new_source.append(here)
            count += not is_last
            here = there
    final = np.concatenate([final, np.full((count - len(final), 2), np.inf, np.float32)])
    origin = np.array(new_source, np.int64)
    order, offsets = group_by_state(origin, count)
    return Lattice(start - first, offsets, np.array(rows, LATTICE_ARC)[order], final)
