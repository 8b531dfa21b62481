"""Decoding graphs without input epsilons, as frame-synchronous searches want them."""

from dataclasses import dataclass

import numpy as np

from hdnn_nnet.errors import HdnnError
from hdnn_nnet.kaldi.automaton import Automaton, group_by_state, reachable
from hdnn_nnet.kaldi.fst import Fst
from hdnn_nnet.ragged import cumulative, ranges

# Real graphs need a handful (back-off depth plus disambiguation symbols); more means a cycle.
_MAX_EPSILON_PATH = 100


@dataclass
class Graph(Automaton):
    """An epsilon-free decoding graph: every arc consumes one frame. Start state is 0.

    Arcs are sorted by source. Attributes:
        offsets: (states + 1,) int64; arcs of state s are those in `offsets[s]:offsets[s + 1]`.
        nextstate: (arcs,) int32.
        transition_id: (arcs,) int32, at least 1.
        cost: (arcs,) float32 graph cost.
        final: (states,) float32 final cost, infinity when not final.
        word_offsets, words: the words of arc a are `words[word_offsets[a]:word_offsets[a + 1]]`.
    """

    offsets: np.ndarray
    nextstate: np.ndarray
    transition_id: np.ndarray
    cost: np.ndarray
    final: np.ndarray
    word_offsets: np.ndarray
    words: np.ndarray


class _Strings:
    """Word sequences as nodes of a prefix tree; node 0 is the empty sequence."""

    def __init__(self) -> None:
        self.parent = np.zeros(1, np.int64)
        self.word = np.zeros(1, np.int64)

    def append(self, node: np.ndarray, word: np.ndarray) -> np.ndarray:
        """Nodes for `node + word`; where the word is 0 the node stays."""
        result = node.copy()
        longer = np.flatnonzero(word)
        if len(longer) == 0:
            return result
        pairs = np.stack([node[longer], word[longer].astype(np.int64)])
        unique, inverse = np.unique(pairs, axis=1, return_inverse=True)
        first = len(self.parent)
        self.parent = np.concatenate([self.parent, unique[0]])
        self.word = np.concatenate([self.word, unique[1]])
        result[longer] = first + inverse.reshape(-1)
        return result

    def spell(self, node: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """(offsets, words) of the sequences `node`."""
        layers, current = [], node
        while current.any():
            layers.append(np.where(current > 0, self.word[current], 0))
            current = self.parent[current]
        table = np.stack(layers[::-1], 1) if layers else np.zeros((len(node), 0), np.int64)
        return cumulative((table > 0).sum(1)), table[table > 0].astype(np.int32)


def _closure(fst: Fst, strings: _Strings) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """All epsilon paths, the empty ones included, as rows (from, to, cost, words) sorted by `from`.

    Of the paths between the same states with the same words only the best is kept.
    """
    epsilon = fst.arcs["ilabel"] == 0
    arcs = fst.arcs[epsilon]
    counts = np.bincount(fst.sources()[epsilon], minlength=fst.num_states)
    begins = cumulative(counts)
    states = np.arange(fst.num_states, dtype=np.int64)
    rows = (states, states, np.zeros(fst.num_states), np.zeros(fst.num_states, np.int64))
    parts, frontier = [rows], rows
    for _ in range(_MAX_EPSILON_PATH):
        origin, here, cost, node = frontier
        which = ranges(begins[here], counts[here])
        if len(which) == 0:
            break
        repeat = np.repeat(np.arange(len(here)), counts[here])
        arc = arcs[which]
        frontier = (
            origin[repeat],
            arc["nextstate"].astype(np.int64),
            cost[repeat] + arc["weight"],
            strings.append(node[repeat], arc["olabel"]),
        )
        parts.append(frontier)
    else:
        raise HdnnError(
            f"the decoding graph has a cycle or a path of {_MAX_EPSILON_PATH} input epsilons; regenerate it"
        )
    origin, here, cost, node = (np.concatenate(column) for column in zip(*parts, strict=True))
    order = np.lexsort((cost, node, here, origin))
    origin, here, cost, node = origin[order], here[order], cost[order], node[order]
    best = np.ones(len(order), bool)
    best[1:] = (np.diff(origin) != 0) | (np.diff(here) != 0) | (np.diff(node) != 0)
    return origin[best], here[best], cost[best], node[best]


def remove_input_epsilons(fst: Fst) -> Graph:
    """Equivalent graph where every arc has an input label.

    Epsilon paths are attached to the end of the arcs that lead to them, not to the front of those that follow:
    an arc into a back-off chain is copied once a link, whereas copying the many arcs that leave the unigram state
    to every history would multiply the graph. The cost of a path and its words stay the same.

    Raises:
        HdnnError: an empty graph or an epsilon cycle.
    """
    if fst.start < 0 or fst.num_arcs == 0:
        raise HdnnError("the decoding graph is empty; regenerate it")
    strings = _Strings()
    origin, here, cost, node = _closure(fst, strings)
    real = fst.arcs["ilabel"] != 0
    degree = np.bincount(fst.sources()[real], minlength=fst.num_states)
    useful = (degree > 0) | np.isfinite(fst.final)
    keep = useful[here]
    origin, here, cost, node = origin[keep], here[keep], cost[keep], node[keep]
    rows = np.bincount(origin, minlength=fst.num_states)
    first_row = cumulative(rows)

    # State 0 is a copy of the start with the arcs of everything its epsilons reach; state s becomes s + 1.
    arcs, sources = fst.arcs[real], fst.sources()[real].astype(np.int64)
    first_arc = cumulative(degree)
    begin, count = first_row[fst.start], rows[fst.start]
    initial = np.arange(begin, begin + count)
    copies = ranges(first_arc[here[initial]], degree[here[initial]])
    copied_row = np.repeat(initial, degree[here[initial]])
    index = np.concatenate([copies, np.arange(len(arcs))])
    new_source = np.concatenate([np.zeros(len(copies), np.int64), sources + 1])
    prefix = np.concatenate([node[copied_row], np.zeros(len(arcs), np.int64)])
    prefix_cost = np.concatenate([cost[copied_row], np.zeros(len(arcs))])
    prefix = strings.append(prefix, arcs["olabel"][index])

    target = arcs["nextstate"][index]
    which = ranges(first_row[target], rows[target])
    repeat = np.repeat(np.arange(len(index)), rows[target])
    words = _concatenate(strings, prefix[repeat], node[which])
    final = np.concatenate([[_start_final(fst, here[initial], cost[initial])], fst.final]).astype(np.float32)
    offsets, nextstate, label, total, words, final = _reachable(
        new_source[repeat],
        here[which] + 1,
        arcs["ilabel"][index][repeat],
        prefix_cost[repeat] + arcs["weight"][index][repeat] + cost[which],
        words,
        final,
    )
    word_offsets, spelled = strings.spell(words)
    return Graph(offsets, nextstate, label, total.astype(np.float32), final, word_offsets, spelled)


def _start_final(fst: Fst, reached: np.ndarray, cost: np.ndarray) -> float:
    return float((fst.final[reached] + cost).min()) if len(reached) else np.inf


def _concatenate(strings: _Strings, left: np.ndarray, right: np.ndarray) -> np.ndarray:
    """Nodes for the sequences `left + right`."""
    offsets, words = strings.spell(right)
    counts = np.diff(offsets)
    for position in range(int(counts.max(initial=0))):
        word = np.zeros(len(right), np.int64)
        has = counts > position
        word[has] = words[offsets[:-1][has] + position]
        left = strings.append(left, word)
    return left


def _reachable(source, nextstate, label, cost, words, final):
    """Number the states reachable from 0 anew, drop the rest, sort arcs by source."""
    order, offsets = group_by_state(source, len(final))
    source, nextstate, label, cost, words = (x[order] for x in (source, nextstate, label, cost, words))
    seen = reachable(offsets, nextstate, np.zeros(1, np.int64))
    number = np.cumsum(seen) - 1
    keep = seen[source]
    return (
        cumulative(np.diff(offsets)[seen]),
        number[nextstate[keep]].astype(np.int32),
        label[keep].astype(np.int32),
        cost[keep],
        words[keep],
        final[seen],
    )
