"""The decoding graph as a search sees it: pdfs on its arcs, word sequences as numbers."""

from dataclasses import dataclass

import numpy as np

from hdnn_nnet.decode.word_graph import FrameLattice
from hdnn_nnet.errors import HdnnError
from hdnn_nnet.graph.epsilon import Graph


@dataclass
class PdfGraph:
    """A graph without epsilons and what its arcs mean.

    Attributes:
        graph: states, arcs, costs.
        pdf: (arcs,) pdf-id of the frame that the arc consumes.
        words: (arcs,) number of the arc's word sequence.
        sequences: the word sequences; number 0 is the empty one.
    """

    graph: Graph
    pdf: np.ndarray
    words: np.ndarray
    sequences: list[tuple[int, ...]]

    @classmethod
    def make(cls, graph: Graph, tid_to_pdf: np.ndarray) -> "PdfGraph":
        """
        Args:
            tid_to_pdf: pdf of every transition-id; entry 0 unused.

        Raises:
            HdnnError: no utterance can pass through the graph, or it has transition-ids that the model lacks.
        """
        if graph.num_arcs == 0:
            raise HdnnError("the decoding graph has no path from its start; regenerate it")
        largest = int(graph.transition_id.max())
        if largest >= len(tid_to_pdf):
            raise HdnnError(
                f"the graph has transition-id {largest}, the model only {len(tid_to_pdf) - 1}; "
                "they do not belong together"
            )
        return cls(graph, tid_to_pdf[graph.transition_id], *_word_sequences(graph))

    def lattice(
        self,
        *,
        start: np.ndarray,
        utterance: np.ndarray,
        offsets: np.ndarray,
        nextstate: np.ndarray,
        frame: np.ndarray,
        arc: np.ndarray,
        score: np.ndarray,
        acoustic_cost: np.ndarray,
        backward: np.ndarray,
    ) -> FrameLattice:
        """The lattice of a search that took these arcs.

        Args:
            arc: (lattice arcs,) arc of the graph, or -1 - state where the utterance ends in that state. Ending in a state that
                is not final costs nothing.
            acoustic_cost: (lattice arcs,); that of final arcs is not read.
            start, utterance, offsets, nextstate, frame, score, backward: as in `FrameLattice`.
        """
        is_final = arc < 0
        inner, ending = np.where(is_final, 0, arc), np.where(is_final, -1 - arc, 0)
        final = self.graph.final[ending]
        graph_cost = np.where(is_final, np.where(np.isfinite(final), final, 0.0), self.graph.cost[inner])
        return FrameLattice(
            start=start,
            utterance=utterance,
            offsets=offsets,
            nextstate=nextstate,
            frame=frame,
            is_final=is_final,
            score=score,
            graph_cost=graph_cost.astype(np.float64),
            acoustic_cost=np.where(is_final, 0.0, acoustic_cost),
            transition_id=np.where(is_final, 0, self.graph.transition_id[inner]),
            words=np.where(is_final, 0, self.words[inner]),
            backward=backward,
            sequences=self.sequences,
        )


def _word_sequences(graph: Graph) -> tuple[np.ndarray, list[tuple[int, ...]]]:
    """(arcs,) number of every arc's word sequence, and the sequences; number 0 is the empty one."""
    numbers = np.zeros(graph.num_arcs, np.int64)
    known: dict[tuple[int, ...], int] = {(): 0}
    offsets, words = graph.word_offsets, graph.words
    for arc in np.flatnonzero(np.diff(offsets)).tolist():
        sequence = tuple(words[offsets[arc] : offsets[arc + 1]].tolist())
        numbers[arc] = known.setdefault(sequence, len(known))
    return numbers, list(known)
