"""Beam search on the decoding graph by k2."""

from typing import Any

import numpy as np
import torch

from hdnn_nnet.decode.pdf_graph import PdfGraph
from hdnn_nnet.decode.word_graph import FrameLattice

# A search that reaches no final state must still end somewhere, but never beat one that does.
PARTIAL_COST = 1.0e4
_MOST_STATES = 1 << 26
# k2 keeps the limit by narrowing the beam in advance, and so prunes harder than Kaldi. With this factor the best paths of
# 174 k frames of real speech are as good as those of latgen-faster-mapped (beam 11, limit 2000).
_ACTIVE_FACTOR = 1.5


class K2Search:
    """Frame-synchronous beam search over pdfs (`k2.intersect_dense_pruned`).

    k2 takes label 0 for a symbol and -1 for the end, so graph arcs carry pdf + 1 and the graph has no epsilons.
    """

    def __init__(self, graph: PdfGraph, beam: float, lattice_beam: float) -> None:
        import k2

        self.pdf_graph = graph
        self.graph = graph.graph
        self.beam = beam
        self.lattice_beam = lattice_beam
        self.pdf = graph.pdf
        self.fsa = self._make_fsa(k2)

    def _make_fsa(self, k2: Any) -> Any:
        graph = self.graph
        states = np.arange(graph.num_states, dtype=np.int32)
        final_cost = np.where(np.isfinite(graph.final), graph.final, PARTIAL_COST)
        source = np.concatenate([graph.sources(), states])
        label = np.concatenate([self.pdf + 1, np.full_like(states, -1)]).astype(np.int32)
        table = np.empty((len(source), 4), np.int32)
        table[:, 0] = source
        table[:, 1] = np.concatenate([graph.nextstate, np.full_like(states, graph.num_states)])
        table[:, 2] = label
        # k2 keeps the score's float32 bits in an int32.
        table[:, 3] = (-np.concatenate([graph.cost, final_cost])).astype(np.float32).view(np.int32)
        order = np.lexsort((label.view(np.uint32), source))
        fsa = k2.Fsa(torch.from_numpy(table[order]))
        # Arc of the graph, or -1 - state for a final arc.
        fsa.graph_arc = torch.from_numpy(
            np.concatenate([np.arange(graph.num_arcs), -1 - states])[order].astype(np.int32)
        )
        return k2.create_fsa_vec([fsa])

    def search(
        self, loglikes: list[np.ndarray], acoustic_scale: float, min_active: int, max_active: int
    ) -> tuple[FrameLattice, np.ndarray]:
        """Search a batch.

        Args:
            loglikes: one (frames, pdfs) matrix an utterance, not scaled.
            acoustic_scale: factor on them.
            min_active, max_active: bounds on the active states of a frame, which k2 keeps approximately.

        Returns:
            the frame-level lattices, pruned to the lattice beam, and per utterance whether no final state was
            reached (its lattice then ends in the states that were alive).
        """
        import k2

        lengths = np.array([len(matrix) for matrix in loglikes])
        order = np.argsort(-lengths, kind="stable")  # k2 wants the longest first
        scores = np.zeros((len(order), int(lengths.max()), loglikes[0].shape[1] + 1), np.float32)
        for row, utterance in enumerate(order):
            scores[row, : lengths[utterance], 1:] = loglikes[utterance]
        segments = np.stack([np.arange(len(order)), np.zeros(len(order)), lengths[order]], 1).astype(np.int32)
        dense = k2.DenseFsaVec(torch.from_numpy(scores) * acoustic_scale, torch.from_numpy(segments))
        # k2 sizes a table by the limit; Kaldi's default, the largest integer, would overflow.
        max_active = int(min(_ACTIVE_FACTOR * max_active, self.graph.num_states + 1, _MOST_STATES // len(order)))
        min_active = min(min_active, max_active - 1)  # k2 insists, even where the graph has fewer states
        lattice = k2.intersect_dense_pruned(
            self.fsa, dense, self.beam, self.lattice_beam, min_active, max_active, frame_idx_name="frame"
        )
        return self._convert(lattice, scores, order)

    def _convert(self, lattice: Any, scores: np.ndarray, order: np.ndarray) -> tuple[FrameLattice, np.ndarray]:
        states_of = lattice.arcs.row_splits(1).numpy()
        offsets = lattice.arcs.row_splits(2).numpy().astype(np.int64)
        arcs = lattice.arcs.values().numpy()
        graph_arc = lattice.graph_arc.numpy()
        frame = lattice.frame.numpy().astype(np.int64)
        row_of_state = np.repeat(np.arange(len(order)), np.diff(states_of))
        row = np.repeat(row_of_state, np.diff(offsets))
        heard = graph_arc >= 0
        acoustic = np.zeros(len(arcs))
        acoustic[heard] = -scores[row[heard], frame[heard], self.pdf[graph_arc[heard]] + 1]
        complete = np.zeros(len(order), bool)
        reached = np.isfinite(self.graph.final[-1 - graph_arc[~heard]])
        complete[order[row[~heard][reached]]] = True
        start = np.full(len(order), -1, np.int64)
        alive = np.diff(states_of) > 0
        start[order[alive]] = states_of[:-1][alive]
        frames = self.pdf_graph.lattice(
            start=start,
            utterance=order[row_of_state],
            offsets=offsets,
            nextstate=arcs[:, 1] + states_of[row].astype(np.int64),
            frame=frame,
            arc=graph_arc,
            score=lattice.scores.numpy().astype(np.float64),
            acoustic_cost=acoustic,
            backward=lattice.get_backward_scores(use_double_scores=True, log_semiring=False).numpy(),
        )
        return frames, ~complete
