"""One speaker's frames in memory, and which of them are held back."""

import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor

from hdnn_nnet.adapt.labels import Labels
from hdnn_nnet.nn.networks import AcousticModel
from hdnn_nnet.train.columns import Column, Rows, Targets, Windows, collect


def generator(seed: int, speaker: str, purpose: int) -> np.random.Generator:
    """Random numbers that depend on the speaker's name and not on who is adapted before or beside them."""
    return np.random.default_rng((seed, zlib.crc32(speaker.encode()), purpose))


@dataclass
class SpeakerData:
    """The frames of one speaker.

    Attributes:
        columns: spliced windows, then what the criterion takes.
        train, held: (frames,) int64 rows of `columns` that are adapted on, and that are held back.
        weights: (all frames,) float32.
        utterances: how many have usable targets.
        skipped: reason -> the utterances that have none.
    """

    columns: list[Column]
    train: np.ndarray
    held: np.ndarray
    weights: np.ndarray
    utterances: int = 0
    skipped: dict[str, list[str]] = field(default_factory=dict)

    def minibatches(
        self, order: np.ndarray, size: int, device: torch.device
    ) -> Iterator[tuple[Tensor, tuple[Any, ...]]]:
        """Windows (N, window * D) and targets of the rows `order`, `size` at a time."""
        rows = Rows.make(order, device)
        for begin in range(0, len(order), size):
            windows, *targets = rows.part(begin, size).of(self.columns)
            yield windows, tuple(targets)


def read_speaker(
    speaker: str,
    utts: Sequence[str],
    features: Callable[[str], np.ndarray],
    labels: Labels,
    model: AcousticModel,
    held_out: float,
    seed: int,
) -> SpeakerData:
    """Collect a speaker's usable utterances.

    Args:
        utts: in any order; the result does not depend on it.
        features: utterance -> (T, feat_dim) float32.
        held_out: share of the frames that is held back: whole utterances, drawn at random, and the beginning of one more.
    """
    normalise = model.array_normaliser()
    parts: list[tuple[Targets, ...]] = []
    weights: list[np.ndarray] = []
    skipped: dict[str, list[str]] = {}
    names = sorted(utts)
    for index in generator(seed, speaker, 0).permutation(len(names)):
        utt = names[index]
        labelled = labels.get(utt)
        if labelled is None:
            skipped.setdefault("no labels", []).append(utt)
            continue
        matrix = normalise(features(utt))
        if len(matrix) != len(labelled.weights):
            skipped.setdefault("another length", []).append(utt)
            continue
        parts.append((Windows(matrix, model.left_context, model.right_context), *labelled.columns))
        weights.append(labelled.weights)
    if not parts:
        empty = np.zeros(0, np.int64)
        return SpeakerData([], empty, empty, np.zeros(0, np.float32), 0, skipped)
    weight = np.concatenate(weights)
    usable = np.flatnonzero(weight > 0)
    count = round(held_out * len(usable))
    columns = [collect(column, model.device) for column in zip(*parts, strict=True)]
    return SpeakerData(columns, usable[count:], usable[:count], weight, len(parts), skipped)
