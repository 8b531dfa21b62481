"""Beam search on the decoding graph in numpy: where no k2 fits the torch at hand."""

from dataclasses import dataclass

import numpy as np

from hdnn_nnet.decode.pdf_graph import PdfGraph
from hdnn_nnet.decode.word_graph import FrameLattice
from hdnn_nnet.ragged import cumulative, ranges

#: Frames between two prunings of what the search remembers, as Kaldi's --prune-interval.
_PRUNE_INTERVAL = 25
_LARGEST = np.finfo(np.float64).max


@dataclass
class _Frame:
    """The active states after a frame, called tokens, and the links to them, which are sorted by source.

    Attributes:
        state: (tokens,) their states.
        cost: (tokens,) float64 cost of the best path from the start.
        source: (links,) token of the frame before.
        target: (links,) token of this frame.
        arc: (links,) arc of the graph.
        slack: (links,) float64, by how much the path through this link is worse than the best one to its target.
        extra: (tokens,) by how much the best path through the token is worse than the best one, or less where the search
            went on since; none before the first pruning.
    """

    state: np.ndarray
    cost: np.ndarray
    source: np.ndarray
    target: np.ndarray
    arc: np.ndarray
    slack: np.ndarray
    extra: np.ndarray | None = None

    def keep_links(self, keep: np.ndarray) -> None:
        self.source, self.target, self.arc, self.slack = (
            column[keep] for column in (self.source, self.target, self.arc, self.slack)
        )

    def keep_tokens(self, keep: np.ndarray) -> None:
        """Drop the other tokens and the links to them."""
        place = np.cumsum(keep) - 1
        self.keep_links(keep[self.target])
        self.target = place[self.target]
        self.state, self.cost = self.state[keep], self.cost[keep]


class NumpySearch:
    """Frame-synchronous beam search over pdfs, the utterances of a batch one after the other.

    A frame expands the arcs of all active states at once. A state stays active within the beam of the frame's best, as long
    as there are no more than `max_active`; `min_active` stay in any case. As in Kaldi's lattice-faster-decoder, links that
    no path within the lattice beam can use are dropped while the search goes on.
    """

    def __init__(self, graph: PdfGraph, beam: float, lattice_beam: float) -> None:
        self.pdf_graph = graph
        self.beam = beam
        self.lattice_beam = lattice_beam
        self.offsets = graph.graph.offsets
        self.degree = np.diff(self.offsets)
        self.nextstate = graph.graph.nextstate
        self.cost = graph.graph.cost
        self.pdf = graph.pdf
        # By state, and only used for those of the frame at hand.
        self._least = np.full(graph.graph.num_states, np.inf)
        self._place = np.zeros(graph.graph.num_states, np.int64)

    def search(
        self, loglikes: list[np.ndarray], acoustic_scale: float, min_active: int, max_active: int
    ) -> tuple[FrameLattice, np.ndarray]:
        """Search a batch; arguments and result as those of `K2Search.search`, with exact bounds on the active states."""
        parts: list[dict[str, np.ndarray]] = []
        partial = np.ones(len(loglikes), bool)
        for number, matrix in enumerate(loglikes):
            frames = self._forward(matrix, acoustic_scale, min_active, max_active)
            final = self.pdf_graph.graph.final[frames[-1].state].astype(np.float64)
            if reached := bool(np.isfinite(final).any()):
                partial[number] = False
            total = frames[-1].cost + (final if reached else 0.0)
            best = float(total.min(initial=np.inf))
            self._prune(frames, total - best)
            parts.append(_part(frames, best))
            part = parts[-1]
            inner = part["arc"] >= 0
            pdf = self.pdf[part["arc"][inner]]
            part["acoustic_cost"] = np.zeros(len(inner))
            part["acoustic_cost"][inner] = -matrix[part["frame"][inner], pdf].astype(np.float64)
        return self._join(parts, acoustic_scale), partial

    def _forward(self, matrix: np.ndarray, acoustic_scale: float, min_active: int, max_active: int) -> list[_Frame]:
        none = np.zeros(0, np.int64)
        frames = [_Frame(np.zeros(1, np.int64), np.zeros(1), none, none, none, np.zeros(0))]
        for time, row in enumerate(matrix, 1):
            acoustic = -acoustic_scale * row.astype(np.float64)
            frames.append(self._advance(frames[-1], acoustic, min_active, max_active))
            if time % _PRUNE_INTERVAL == 0:
                self._prune(frames, np.zeros(len(frames[-1].state)))
        return frames

    def _advance(self, before: _Frame, acoustic: np.ndarray, min_active: int, max_active: int) -> _Frame:
        """The next frame; `acoustic` is (pdfs,) costs."""
        counts = self.degree[before.state]
        arc = ranges(self.offsets[before.state], counts)
        source = np.repeat(np.arange(len(counts)), counts)
        cost = before.cost[source] + self.cost[arc] + acoustic[self.pdf[arc]]
        target = self.nextstate[arc]
        limit = min(cost.min(initial=np.inf) + self.beam, _LARGEST)
        near = np.flatnonzero(cost <= limit)
        state, least = self._meet(target[near], cost[near])
        if len(state) < min_active:
            near = np.flatnonzero(cost <= _LARGEST)
            state, least = self._meet(target[near], cost[near])
            limit = max(limit, _nth(least, min_active))
        limit = min(limit, _nth(least, max_active))
        alive = least <= limit
        self._place[state] = np.where(alive, np.cumsum(alive) - 1, -1)
        target = target[near]
        slack = cost[near] - self._least[target]
        place = self._place[target]
        use = np.flatnonzero((place >= 0) & (slack <= self.lattice_beam))
        chosen = near[use]
        return _Frame(state[alive], least[alive], source[chosen], place[use], arc[chosen], slack[use])

    def _meet(self, target: np.ndarray, cost: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The states among `target`, each once, and the least of their costs, which `_least` has by state too."""
        number = np.arange(len(target))
        self._place[target] = number  # the last one stays
        state = target[self._place[target] == number]
        self._least[state] = np.inf
        np.minimum.at(self._least, target, cost)
        return state, self._least[state]

    def _prune(self, frames: list[_Frame], extra: np.ndarray) -> None:
        """Drop links and tokens that lead to no last token within the lattice beam.

        Args:
            extra: (tokens,) by how much ending in each of the last tokens is worse than the best end.
        """
        for time in range(len(frames) - 1, -1, -1):
            frame = frames[time]
            keep = extra <= self.lattice_beam
            if frame.extra is not None and keep.all() and np.array_equal(extra, frame.extra):
                break  # nothing has changed before
            frame.keep_tokens(keep)
            frame.extra = extra[keep]
            if time == 0:
                break
            through = frame.extra[frame.target] + frame.slack
            use = through <= self.lattice_beam
            frame.keep_links(use)
            before = frames[time - 1]
            extra = np.full(len(before.state), np.inf)
            np.minimum.at(extra, frame.source, through[use])
            frame.source = (np.cumsum(np.isfinite(extra)) - 1)[frame.source]

    def _join(self, parts: list[dict[str, np.ndarray]], acoustic_scale: float) -> FrameLattice:
        """The lattices of all utterances as one."""
        states = cumulative(np.array([len(part["backward"]) for part in parts]))
        columns = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
        source, nextstate = (
            np.concatenate([part[name] + first for part, first in zip(parts, states[:-1], strict=True)])
            for name in ("source", "nextstate")
        )
        del columns["source"], columns["nextstate"]
        lattice = self.pdf_graph.lattice(
            start=np.where(np.diff(states) > 0, states[:-1], -1),
            utterance=np.repeat(np.arange(len(parts)), np.diff(states)),
            offsets=cumulative(np.bincount(source, minlength=int(states[-1]))),
            nextstate=nextstate,
            score=np.zeros(len(source)),
            **columns,
        )
        lattice.score = -(lattice.graph_cost + acoustic_scale * lattice.acoustic_cost)
        return lattice


def _part(frames: list[_Frame], best: float) -> dict[str, np.ndarray]:
    """The lattice of one utterance: arcs with `source` and `nextstate`, which count from its start, and states.

    Args:
        best: cost of the best path.
    """
    first = cumulative(np.array([len(frame.state) for frame in frames]))
    end = int(first[-1])
    last = frames[-1]
    lengths = [len(frame.source) for frame in frames[1:]]
    source = [frame.source + first[t] for t, frame in enumerate(frames[1:])]
    target = [frame.target + first[t + 1] for t, frame in enumerate(frames[1:])]
    extra = np.concatenate([frame.extra if frame.extra is not None else np.zeros(0) for frame in frames])
    cost = np.concatenate([frame.cost for frame in frames])
    alive = len(last.state) > 0
    return {
        "source": np.concatenate([*source, np.arange(end - len(last.state), end)]),
        "nextstate": np.concatenate([*target, np.full(len(last.state), end)]),
        "frame": np.repeat(np.arange(len(frames)), [*lengths, len(last.state)]),
        "arc": np.concatenate([*(frame.arc for frame in frames[1:]), -1 - last.state]),
        "backward": np.append(cost - extra - best, 0.0) if alive else np.zeros(0),
    }


def _nth(values: np.ndarray, n: int) -> float:
    """The n-th smallest; infinity if there are fewer."""
    return float(np.partition(values, n - 1)[n - 1]) if 0 < n <= len(values) else np.inf
