"""Shuffled frames: every frame once, with its own context and targets, in any block size and number of processes."""

import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from hdnn_nnet.train.frames import FrameShuffler


def task(lengths: list[int]) -> tuple[dict[str, int], dict[str, np.ndarray]]:
    """Utterances whose features tell utterance and frame."""
    features = {f"u{i}": np.stack([np.full(n, i), np.arange(n)], 1).astype(np.float32) for i, n in enumerate(lengths)}
    return {u: len(f) for u, f in features.items()}, features


def shuffler(lengths: list[int], **options) -> FrameShuffler:
    frames, features = task(lengths)

    def targets(utt: str) -> tuple[np.ndarray, ...]:
        return (1000 * int(utt[1:]) + np.arange(frames[utt]),)

    return FrameShuffler(frames, features.__getitem__, targets, 2, 1, **options)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.integers(1, 12), min_size=1, max_size=9),
    st.integers(1, 7),
    st.integers(1, 40),
    st.integers(1, 3),
    st.integers(-1, 3),
)
def test_every_frame_once_with_its_context(lengths, minibatch, block, world, epoch) -> None:
    seen = []
    steps = []
    for rank in range(world):
        ours = shuffler(lengths, minibatch_size=minibatch, block_frames=block, rank=rank, world=world)
        batches = list(ours.epoch(epoch))
        steps.append(len(batches))
        assert len(batches) == ours.steps_per_epoch(epoch)
        for batch in batches:
            assert len(batch.windows) <= -(-minibatch // world)
            for window, label in zip(batch.windows, *batch.targets, strict=True) if len(batch.windows) else ():
                utt, frame = divmod(int(label), 1000)
                last = lengths[utt] - 1
                wanted = [[utt, min(max(frame + offset, 0), last)] for offset in (-2, -1, 0, 1)]
                assert window.view(4, 2).tolist() == wanted
                seen.append(int(label))
    assert len(set(steps)) == 1  # all ranks take part in every step
    assert sorted(seen) == sorted(1000 * u + t for u, n in enumerate(lengths) for t in range(n))


@settings(max_examples=40, deadline=None)
@given(st.lists(st.integers(1, 12), min_size=1, max_size=9), st.integers(1, 40), st.data())
def test_going_on_inside_an_epoch(lengths, block, data) -> None:
    ours = shuffler(lengths, minibatch_size=4, block_frames=block)
    whole = [b.targets[0] for b in ours.epoch(2)]
    first = data.draw(st.integers(0, len(whole)))
    rest = [b.targets[0] for b in ours.epoch(2, first)]
    assert len(rest) == len(whole) - first
    assert all(torch.equal(a, b) for a, b in zip(rest, whole[first:], strict=True))


def test_epochs_differ_and_repeat() -> None:
    ours = shuffler([10, 7, 9, 30], minibatch_size=56)
    first, second, again = (next(iter(ours.epoch(e))).targets[0] for e in (1, 2, 1))
    assert torch.equal(first, again)
    assert not torch.equal(first, second)
    assert not torch.equal(first, first.sort().values)


def test_shuffling_is_over_the_whole_set() -> None:
    """In blocks far smaller than the set, a minibatch still has frames of utterances from everywhere."""
    ours = shuffler([20] * 200, minibatch_size=100, block_frames=400)
    positions = [float((b.targets[0] // 1000).double().mean()) for b in ours.epoch(1)]
    assert 60 < min(positions) <= max(positions) < 140  # a plain block of neighbours would have means from 10 to 190


def test_memory_is_bounded_by_the_block() -> None:
    loaded: list[str] = []
    frames, features = task([50] * 100)
    held: list[int] = []

    def read(utt: str) -> np.ndarray:
        loaded.append(utt)
        return features[utt]

    ours = FrameShuffler(frames, read, lambda u: (np.zeros(50),), 1, 1, 10, block_frames=200)
    used = 0
    for batch in ours.epoch(1):
        used += len(batch.windows)
        held.append(50 * len(loaded) - used)
    assert max(held) <= 400  # the block in use and the one read ahead
