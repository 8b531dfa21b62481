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

import numpy as np
import torch
from torch import Tensor

from hdnn_nnet.errors import HdnnError

#: utterance id -> features (T, D) float32
Features = Callable[[str], np.ndarray]
#: utterance id -> one or more targets, each with T rows
Targets = Callable[[str], tuple[np.ndarray, ...]]


@dataclass(frozen=True)
class Minibatch:
    """`windows` (N, window * D): spliced frames; `targets`: tensors with N rows. N may be 0 on some ranks of a job."""

    windows: Tensor
    targets: tuple[Tensor, ...]


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
    """

    num_frames: Mapping[str, int]
    features: Features
    targets: Targets
    left: int
    right: int
    minibatch_size: int = 256
    block_frames: int = 1 << 20
    seed: int = 0
    rank: int = 0
    world: int = 1
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))

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
            pending = reader.submit(self._load, todo[0][1])
            for current, following in pairwise([*todo, None]):
                assert current is not None
                pool, starts, targets = pending.result()
                if following is not None:
                    pending = reader.submit(self._load, following[1])
                yield from self._minibatches(epoch, current, pool, starts, targets)

    def _load(self, block: Sequence[str]) -> tuple[Tensor, np.ndarray, tuple[Tensor, ...]]:
        """Padded features of this rank's share of a block, the row where each frame's window starts, and its targets."""
        padded, starts, targets = [], [], []
        row = 0
        for utt in block[self.rank :: self.world]:
            features, columns = self.features(utt), self.targets(utt)
            lengths = {len(features), self.num_frames[utt], *map(len, columns)}
            if len(lengths) > 1:  # one frame off would give every later frame of the block a wrong target
                raise HdnnError(
                    f"utterance {utt}: {self.num_frames[utt]} frames announced, {len(features)} feature and "
                    f"{len(columns[0])} target frames found; make utt2num_frames again or remove it"
                )
            padded.append(np.pad(features, ((self.left, self.right), (0, 0)), mode="edge"))
            starts.append(np.arange(row, row + len(features)))
            row += len(padded[-1])
            targets.append(columns)
        if not padded:
            return torch.empty(0), np.empty(0, np.int64), ()
        tensors = tuple(torch.from_numpy(np.concatenate(c)).to(self.device) for c in zip(*targets, strict=True))
        pool = torch.from_numpy(np.concatenate(padded)).to(self.device)
        return pool, np.concatenate(starts), tensors

    def _minibatches(
        self,
        epoch: int,
        item: tuple[int, list[str], int],
        pool: Tensor,
        starts: np.ndarray,
        targets: tuple[Tensor, ...],
    ) -> Iterator[Minibatch]:
        number, block, skip = item
        order = np.arange(len(starts))
        if epoch >= 0:
            order = np.random.default_rng((self.seed, epoch, number, self.rank)).permutation(len(starts))
        frames = torch.from_numpy(order).to(self.device)
        rows = torch.from_numpy(starts).to(self.device)
        window = self.left + 1 + self.right
        size = self._local_size()
        spliced = None
        if len(starts):
            dim = pool.shape[1]
            # A view in which row i is the window that starts at padded row i; only the gather copies.
            spliced = pool.as_strided((len(pool) - window + 1, window * dim), (dim, 1))
        for step in range(skip, self._steps(block)):
            chosen = frames[step * size : (step + 1) * size]
            if spliced is None or not len(chosen):
                yield Minibatch(torch.empty(0), ())
            else:
                yield Minibatch(torch.index_select(spliced, 0, rows[chosen]), tuple(t[chosen] for t in targets))
