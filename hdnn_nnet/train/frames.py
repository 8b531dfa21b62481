"""Shuffled frames of a whole training set in bounded memory.

An epoch visits the utterances in random order and collects them into blocks of about `block_frames` frames; inside a block the
frames are shuffled. A block is thus a random sample of the whole set, and only the features of the block in use and of the one
being read ahead are in memory, however large the corpus is. A set that fits into one block is shuffled as a whole.
The order depends on (seed, epoch) alone, so a run that is resumed inside an epoch sees the same minibatches.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from torch import Tensor

from hdnn_nnet.errors import HdnnError
from hdnn_nnet.train.columns import Column, Rows, Targets, Windows, collect

#: utterance id -> features (T, D) float32
Features = Callable[[str], np.ndarray]
#: utterance id -> one or more targets, each of T frames
TargetsOf = Callable[[str], tuple[Targets, ...]]
#: utterance id, epoch and features (T, D) -> what of them is shown to the network (T, D)
Masking = Callable[[str, int, np.ndarray], np.ndarray]


@dataclass(frozen=True)
class Minibatch:
    """`windows` (N, window * D): spliced frames; `targets`: their values by column. N may be 0 on some ranks of a job."""

    windows: Tensor
    targets: tuple[Any, ...]


@dataclass(frozen=True)
class FrameShuffler:
    """Minibatches of shuffled frames.

    Attributes:
        num_frames: utterance id -> frames; its keys are the training set.
        features, targets: how to read one utterance.
        left, right: frames of context; edge frames are repeated.
        minibatch_size: frames of a minibatch over all ranks together.
        block_frames: frames shuffled at a time.
        rank, world: this process's share of a distributed job (every world-th utterance).
        masking: hides parts of the features; what the targets bring of their own is left as it is.
    """

    num_frames: Mapping[str, int]
    features: Features
    targets: TargetsOf
    left: int
    right: int
    minibatch_size: int = 256
    block_frames: int = 1 << 20
    seed: int = 0
    rank: int = 0
    world: int = 1
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))
    masking: Masking | None = None

    def total_frames(self) -> int:
        return sum(self.num_frames.values())

    def _plan(self, epoch: int) -> list[list[str]]:
        """Utterances of every block of an epoch (-1: in the given order)."""
        utts = list(self.num_frames)
        if epoch >= 0:
            order = np.random.default_rng((self.seed, epoch)).permutation(len(utts))
            utts = [utts[i] for i in order]
        blocks: list[list[str]] = [[]]
        size = 0
        for utt in utts:
            if size and size + self.num_frames[utt] > self.block_frames:
                blocks.append([])
                size = 0
            blocks[-1].append(utt)
            size += self.num_frames[utt]
        return blocks

    def _local_size(self) -> int:
        return -(-self.minibatch_size // self.world)

    def _steps(self, block: Sequence[str]) -> int:
        """Minibatches of a block: the same number on all ranks, those that run out contribute empty ones."""
        most = max(sum(self.num_frames[u] for u in block[r :: self.world]) for r in range(self.world))
        return -(-most // self._local_size())

    def steps_per_epoch(self, epoch: int) -> int:
        return sum(self._steps(block) for block in self._plan(epoch))

    def epoch(self, epoch: int, first_step: int = 0) -> Iterator[Minibatch]:
        """Minibatches of epoch `epoch` from step `first_step` on; epoch -1 keeps the given order (cross-validation)."""
        todo: list[tuple[int, list[str], int]] = []  # block number, utterances, steps to skip
        done = 0
        for number, block in enumerate(self._plan(epoch)):
            steps = self._steps(block)
            if done + steps > first_step:
                todo.append((number, block, max(0, first_step - done)))
            done += steps
        if not todo:
            return
        with ThreadPoolExecutor(1) as reader:
            pending = reader.submit(self._load, epoch, *todo[0][:2])
            for current, following in pairwise([*todo, None]):
                assert current is not None
                order, columns = pending.result()
                if following is not None:
                    pending = reader.submit(self._load, epoch, *following[:2])
                yield from self._minibatches(current, order, columns)

    def _load(self, epoch: int, number: int, block: Sequence[str]) -> tuple[Rows, list[Column]]:
        """This rank's share of a block: its frames in the epoch's order, and its columns: the windows, then the targets."""
        parts: list[tuple[Targets, ...]] = []
        for utt in block[self.rank :: self.world]:
            features, targets = self.features(utt), self.targets(utt)
            lengths = {len(features), self.num_frames[utt], *map(len, targets)}
            if len(lengths) > 1:  # one frame off would give every later frame of the block a wrong target
                raise HdnnError(
                    f"utterance {utt}: {self.num_frames[utt]} frames announced, {len(features)} feature and "
                    f"{' and '.join(str(len(t)) for t in targets)} target frames found; make utt2num_frames again or remove it"
                )
            if self.masking is not None:
                features = self.masking(utt, epoch, features)
            parts.append((Windows(features, self.left, self.right), *targets))
        columns = [collect(column, self.device) for column in zip(*parts, strict=True)]
        num_frames = sum(len(part[0]) for part in parts)
        order = np.arange(num_frames)
        if epoch >= 0:
            order = np.random.default_rng((self.seed, epoch, number, self.rank)).permutation(num_frames)
        return Rows.make(order, self.device), columns

    def _minibatches(
        self, item: tuple[int, list[str], int], order: Rows, columns: Sequence[Column]
    ) -> Iterator[Minibatch]:
        _, block, skip = item
        size = self._local_size()
        for step in range(skip, self._steps(block)):
            chosen = order.part(step * size, size)
            if len(chosen):
                windows, *targets = chosen.of(columns)
                yield Minibatch(windows, tuple(targets))
            else:
                yield Minibatch(torch.empty(0), ())
