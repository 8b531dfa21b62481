"""From frame-level search results to word lattices.

A frame-level lattice holds every alignment within the beam, hundreds of arcs a frame. Recognition needs one alignment,
the best, for every word sequence. The method is that of Ortmanns, Ney and Aubert, "A word graph algorithm for large
vocabulary continuous speech recognition" (1997), with a longer history than their word pair: paths are told apart by
their last `history` words, and where two with the same history meet in a state, only the better survives. Their
different pasts stay, as arcs into the words before. What is left of word beginnings in one state is joined in the end.
The best path is kept exactly; with a history as long as the utterance all word sequences in the beam are.
All utterances of a batch advance together, frame by frame, in array operations.
"""

from dataclasses import dataclass, field, replace

import numpy as np

from hdnn_nnet.lattice.types import COMPACT_ARC, CompactLattice
from hdnn_nnet.ragged import cumulative, ranges

_SLACK = 1.0e-3  # float32 sums of the search against ours
_TOKEN_BYTES = 16  # of a survivor's trace


@dataclass
class FrameLattice:
    """Lattices of a batch of utterances in which every arc consumes one frame, or ends the utterance.

    States are numbered through the batch; arcs are sorted by source and lead to larger numbers.

    Attributes:
        start: (utterances,) start state, -1 where the search failed.
        utterance: (states,) utterance of every state.
        offsets: (states + 1,) the arcs of state s are `offsets[s]:offsets[s + 1]`.
        nextstate: (arcs,) target.
        frame: (arcs,) frame that the arc consumes; for final arcs the number of frames.
        is_final: (arcs,) bool; a final arc ends the utterance.
        score: (arcs,) float64 what the search maximised: minus graph cost plus scaled log-likelihood.
        graph_cost, acoustic_cost: (arcs,) float64; the latter not scaled.
        transition_id: (arcs,) 0 for final arcs.
        words: (arcs,) number of the arc's word sequence in `sequences`; 0 is the empty one.
        backward: (states,) float64 best score from the state to the end.
        sequences: the word sequences.
    """

    start: np.ndarray
    utterance: np.ndarray
    offsets: np.ndarray
    nextstate: np.ndarray
    frame: np.ndarray
    is_final: np.ndarray
    score: np.ndarray
    graph_cost: np.ndarray
    acoustic_cost: np.ndarray
    transition_id: np.ndarray
    words: np.ndarray
    backward: np.ndarray
    sequences: list[tuple[int, ...]]


class _Histories:
    """Numbers for the last words of a path."""

    def __init__(self, length: int, sequences: list[tuple[int, ...]]) -> None:
        self.length = length
        self.sequences = sequences
        self.numbers: dict[tuple[int, ...], int] = {(): 0}
        self.histories: list[tuple[int, ...]] = [()]
        self.after: dict[tuple[int, int], int] = {}

    def extend(self, history: np.ndarray, words: np.ndarray) -> np.ndarray:
        """(n,) histories after appending word sequence `words[i]` to `history[i]`."""
        pairs, inverse = np.unique(history.astype(np.int64) << 32 | words, return_inverse=True)
        numbers = [self._one(int(pair) >> 32, int(pair) & 0xFFFFFFFF) for pair in pairs]
        return np.asarray(numbers, np.int64)[inverse.reshape(-1)]

    def _one(self, history: int, words: int) -> int:
        number = self.after.get((history, words))
        if number is None:
            longer = (self.histories[history] + self.sequences[words])[-self.length :]
            number = self.numbers.setdefault(longer, len(self.histories))
            if number == len(self.histories):
                self.histories.append(longer)
            self.after[history, words] = number
        return number


@dataclass
class _Tokens:
    """Survivors of one frame; `number` counts through all frames."""

    number: int
    state: np.ndarray
    history: np.ndarray
    score: np.ndarray
    node: np.ndarray


@dataclass
class _Links:
    """Arcs of the word graph as found: the last frame arc of each, and the token before it."""

    source: list[np.ndarray] = field(default_factory=list)
    target: list[np.ndarray] = field(default_factory=list)
    token: list[np.ndarray] = field(default_factory=list)
    arc: list[np.ndarray] = field(default_factory=list)

    def add(self, source: np.ndarray, target: np.ndarray, token: np.ndarray, arc: np.ndarray) -> None:
        self.source.append(source)
        self.target.append(target)
        self.token.append(token)
        self.arc.append(arc)


def _best_of(keys: tuple[np.ndarray, ...], score: np.ndarray) -> np.ndarray:
    """Indexes of the entry with the best score for each combination of keys, sorted by keys (the last key first)."""
    order = np.lexsort((-score, *keys))
    first = np.ones(len(order), bool)
    first[1:] = False
    for key in keys:
        ordered = key[order]
        first[1:] |= ordered[1:] != ordered[:-1]
    return order[first]


def word_lattices(
    frames: FrameLattice, beam: float, history: int, max_mem: int
) -> tuple[list[CompactLattice | None], np.ndarray]:
    """Word lattice of every utterance, None where the search failed.

    Args:
        frames: what the search left.
        beam: arcs on paths worse than the best by more than this, in scaled scores, are dropped.
        history: number of words that tell paths apart.
        max_mem: about this many bytes are kept for an utterance. Where more paths are in the beam, as with a network
            that tells little apart, one word tells them apart; if they are still too many, those farthest behind the
            best are dropped (Kaldi's pruned determinisation narrows its beam then). The best path always stays.

    Returns:
        the lattices, and (utterances,) bool where paths were dropped for `max_mem`.
    """
    lattices, crowded = _advance(frames, beam, history, max_mem, give_up=history > 1)
    if history == 1 or not crowded.any():
        return lattices, crowded
    again, cut = _advance(replace(frames, start=np.where(crowded, frames.start, -1)), beam, 1, max_mem, give_up=False)
    return [new or old for new, old in zip(again, lattices, strict=True)], cut


def _advance(
    frames: FrameLattice, beam: float, history: int, max_mem: int, give_up: bool
) -> tuple[list[CompactLattice | None], np.ndarray]:
    """Lattices, and which utterances had too many paths: those are given up (None), or cut."""
    histories = _Histories(history, frames.sequences)
    degree = np.diff(frames.offsets)
    threshold = _thresholds(frames, beam)
    most = _most_tokens(frames, max_mem)
    cut = np.zeros(len(frames.start), bool)
    active = np.flatnonzero(frames.start >= 0)
    starts = frames.start[active]
    # Entering a word makes a node: node u of the word graph is the start of utterance u; node -1 is the end.
    num_nodes = len(frames.start)
    node_states = [frames.start]
    tokens = _Tokens(0, starts, np.zeros(len(starts), np.int64), np.zeros(len(starts)), active)
    previous, via = [np.full(len(starts), -1)], [np.full(len(starts), -1)]
    links, total = _Links(), len(starts)
    while len(tokens.state):
        counts = degree[tokens.state]
        arc = ranges(frames.offsets[:-1][tokens.state], counts)
        origin = np.repeat(np.arange(len(counts)), counts)
        score = tokens.score[origin] + frames.score[arc]
        target = frames.nextstate[arc]
        keep = score + frames.backward[target] >= threshold[target]
        arc, origin, score, target = arc[keep], origin[keep], score[keep], target[keep]
        before = tokens.history[origin]

        ends = np.flatnonzero(frames.is_final[arc])
        if len(ends):
            ends = ends[_best_of((before[ends], target[ends]), score[ends])]
            links.add(tokens.node[origin[ends]], np.full(len(ends), -1), tokens.number + origin[ends], arc[ends])
        goes_on = np.flatnonzero(~frames.is_final[arc])
        arc, origin, score, target, before = (x[goes_on] for x in (arc, origin, score, target, before))

        word = frames.words[arc]
        emits = np.flatnonzero(word)
        after = before.copy()
        node = tokens.node[origin]
        if len(emits):
            after[emits] = histories.extend(before[emits], word[emits])
            place = np.stack([target[emits], after[emits]], 1)
            places, which = np.unique(place[:, 0] << 32 | place[:, 1], return_inverse=True)
            which = which.reshape(-1)
            node_states.append(places >> 32)
            best = _best_of((before[emits], which), score[emits])
            chosen = emits[best]
            links.add(node[chosen], num_nodes + which[best], tokens.number + origin[chosen], arc[chosen])
            node[emits] = num_nodes + which
            num_nodes += len(places)
        winners = _best_of((after, target), score)
        if len(winners) > most.min():
            total_score = score[winners] + frames.backward[target[winners]]
            winners = winners[_within(frames.utterance[target[winners]], total_score, most, cut)]
            if give_up and cut.any():
                winners = winners[~cut[frames.utterance[target[winners]]]]
        starts_word = word[winners] > 0
        # Traces stop where a word begins: what lies before belongs to another arc.
        previous.append(np.where(starts_word, -1, tokens.number + origin[winners]))
        via.append(np.where(starts_word, -1, arc[winners]))
        tokens = _Tokens(total, target[winners], after[winners], score[winners], node[winners])
        total += len(winners)
    return _assemble(frames, links, np.concatenate(node_states), np.concatenate(previous), np.concatenate(via)), cut


def _most_tokens(frames: FrameLattice, max_mem: int) -> np.ndarray:
    """(utterances,) tokens of an utterance that may survive a frame."""
    length = np.zeros(len(frames.start), np.int64)
    np.maximum.at(length, frames.utterance[frames.nextstate], frames.frame)
    return np.maximum(max_mem // (_TOKEN_BYTES * np.maximum(length, 1)), 1)


def _within(utterance: np.ndarray, score: np.ndarray, most: np.ndarray, cut: np.ndarray) -> np.ndarray:
    """Indexes, ascending, of the `most[u]` entries of every utterance u with the best scores; marks `cut` where some go."""
    order = np.lexsort((-score, utterance))
    counts = np.bincount(utterance, minlength=len(most))
    rank = np.arange(len(order)) - np.repeat(cumulative(counts)[:-1], counts)
    cut |= counts > most
    return np.sort(order[rank < most[utterance[order]]])


def _thresholds(frames: FrameLattice, beam: float) -> np.ndarray:
    best = np.full(len(frames.start), np.inf)
    has = frames.start >= 0
    best[has] = frames.backward[frames.start[has]]
    return best[frames.utterance] - beam - _SLACK


def _trace(token: np.ndarray, arc: np.ndarray, previous: np.ndarray, via: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(offsets, frame arcs) of links from their last frame arc back to the begin of the word, in order of time."""
    rows, steps = [np.arange(len(token))], [arc]
    row, current = rows[0], token
    while True:
        on = via[current] >= 0
        row, current = row[on], current[on]
        if len(row) == 0:
            break
        rows.append(row)
        steps.append(via[current])
        current = previous[current]
    depth = np.repeat(-np.arange(len(rows)), [len(r) for r in rows])
    owner = np.concatenate(rows)
    order = np.lexsort((depth, owner))
    return cumulative(np.bincount(owner, minlength=len(token))), np.concatenate(steps)[order]


def _assemble(
    frames: FrameLattice, links: _Links, node_states: np.ndarray, previous: np.ndarray, via: np.ndarray
) -> list[CompactLattice | None]:
    lattices: list[CompactLattice | None] = [None] * len(frames.start)
    useful = np.zeros(len(node_states) + 1, bool)
    useful[-1] = True  # the end
    kept = []
    for source, target, token, arc in zip(
        links.source[::-1], links.target[::-1], links.token[::-1], links.arc[::-1], strict=True
    ):
        on = useful[target]
        useful[source[on]] = True
        kept.append((source[on], target[on], token[on], arc[on]))
    if not kept:
        return lattices
    source, target, token, arc = (np.concatenate(column) for column in zip(*kept[::-1], strict=True))
    # Whatever their history, paths have the same future from a frame state on: its nodes become one.
    states = np.append(node_states, -1)
    source, target = states[source], states[target]
    offsets, path = _trace(token, arc, previous, via)
    sums = [np.add.reduceat(cost[path], offsets[:-1]) for cost in (frames.graph_cost, frames.acoustic_cost)]
    words = frames.words[arc]
    keep = _best_of((words, target, source), -np.add.reduceat(-frames.score[path], offsets[:-1]))
    utterance = frames.utterance[source[keep]]
    for number in np.unique(utterance):
        mine = keep[utterance == number]
        lattices[number] = _one_lattice(frames, mine, source, target, sums, offsets, path, words)
    return lattices


def _one_lattice(frames, mine, source, target, sums, offsets, path, words) -> CompactLattice:
    """Compact lattice of one utterance; frame states are in order of time, so it is topologically sorted."""
    nodes, inverse = np.unique(np.concatenate([source[mine], target[mine]]), return_inverse=True)
    inverse = inverse.reshape(-1) - (nodes[0] == -1)
    num_states = len(nodes) - int(nodes[0] == -1)
    begin, end = inverse[: len(mine)], inverse[len(mine) :]
    arcs, strings = [], []
    final = np.full((num_states, 2), np.inf, np.float32)
    final_strings: list[np.ndarray] = [np.zeros(0, np.int32)] * num_states
    for link, here, there in zip(mine.tolist(), begin.tolist(), end.tolist(), strict=True):
        string = frames.transition_id[path[offsets[link] : offsets[link + 1]]]
        weight = (sums[0][link], sums[1][link])
        if there < 0:
            final[here] = weight
            final_strings[here] = string[string > 0]
            continue
        sequence = frames.sequences[words[link]]
        # An arc with several words becomes a chain: costs and transition-ids on its first arc.
        for position, word in enumerate(sequence):
            goal = there if position == len(sequence) - 1 else num_states + position
            arcs.append((here, word, *(weight if position == 0 else (0.0, 0.0)), goal))
            strings.append(string if position == 0 else string[:0])
            here = goal
        extra = len(sequence) - 1
        num_states += extra
        final = np.concatenate([final, np.full((extra, 2), np.inf, np.float32)])
        final_strings += [string[:0]] * extra
    order = sorted(range(len(arcs)), key=lambda a: arcs[a][0])
    table = np.array([arcs[a][1:] for a in order], COMPACT_ARC)
    ordered = [strings[a] for a in order]
    counts = np.bincount([arc[0] for arc in arcs], minlength=num_states)
    return CompactLattice(
        start=0,
        offsets=cumulative(counts),
        arcs=table,
        final=final,
        string_offsets=cumulative(np.array([len(s) for s in ordered], np.int64)),
        strings=np.concatenate([*ordered, np.zeros(0, np.int32)]).astype(np.int32),
        final_string_offsets=cumulative(np.array([len(s) for s in final_strings], np.int64)),
        final_strings=np.concatenate([*final_strings, np.zeros(0, np.int32)]).astype(np.int32),
    )
