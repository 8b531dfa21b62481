"""Made-up lattices, and the transition model that they are of."""

from itertools import pairwise

import numpy as np

from hdnn_nnet.kaldi.topology import HmmState, HmmTopology
from hdnn_nnet.kaldi.transitions import TransitionModel
from hdnn_nnet.lattice.types import COMPACT_ARC, CompactLattice
from hdnn_nnet.ragged import cumulative

#: frames of a lattice, and possible times of a border between two words
LENGTH, BORDERS = 500, 3


def one_state_model(pdfs: int) -> TransitionModel:
    """A phone of one state for every pdf."""
    entry = [HmmState(0, 0, ((0, 0.5), (1, 0.5))), HmmState(-1, -1, ())]
    topology = HmmTopology([entry], dict.fromkeys(range(1, pdfs + 1), 0))
    return TransitionModel(topology, np.array([(p, 0, p - 1, p - 1) for p in range(1, pdfs + 1)]))


def sausage(generator: np.random.Generator, ids: int, words: float = 4) -> tuple[CompactLattice, np.ndarray]:
    """Words of 25 frames whose borders have 3 possible times, `words` words between any two of them; and one path.

    Args:
        words: their mean, where it is no whole number; at least 1. Some 9 times as many arcs cross a frame.
    """
    times = [[0], *([25 * slot - 3, 25 * slot, 25 * slot + 3] for slot in range(1, 20)), [LENGTH]]
    numbers = cumulative(np.array([len(slot) for slot in times]))
    # Real lattices of an utterance see a small part of all pdfs.
    used = generator.permutation(np.arange(1, ids + 1))[:400]
    rows: list[tuple] = []
    strings: list[np.ndarray] = []
    counts: list[int] = []
    path: list[int] = []
    for slot, (here, there) in enumerate(pairwise(times)):
        for place, begin in enumerate(here):
            first = len(rows)
            for target, end in enumerate(there):
                if place == len(here) // 2 and target == len(there) // 2:
                    path.append(len(rows))
                for word in range(int(words) + (words % 1 > 0 and generator.random() < words % 1)):
                    string = np.repeat(generator.choice(used, (end - begin) // 3 + 1), 3)[: end - begin]
                    rows.append((word + 1, generator.uniform(0, 5), 0.0, numbers[slot + 1] + target))
                    strings.append(string)
            counts.append(len(rows) - first)
    counts.append(0)
    final = np.full((len(counts), 2), np.inf, np.float32)
    final[-1] = 0.0
    empty = np.zeros(len(counts) + 1, np.int64)
    lattice = CompactLattice(
        0, cumulative(np.array(counts)), np.array(rows, COMPACT_ARC), final, cumulative(np.array([*map(len, strings)])),
        np.concatenate(strings).astype(np.int32), empty, np.zeros(0, np.int32),
    )  # fmt: skip
    return lattice, np.concatenate([strings[i] for i in path])
