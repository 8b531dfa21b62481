"""Utterances that have both features and targets of the same length."""

import logging
from collections.abc import Iterable, Mapping
from typing import Protocol

import numpy as np

from hdnn_nnet.errors import HdnnError
from hdnn_nnet.feats.reader import FeatureReader

log = logging.getLogger(__name__)


class Features(Protocol):
    """Features by utterance: float32 (T, dim)."""

    @property
    def dim(self) -> int: ...

    def __getitem__(self, utt: str, /) -> np.ndarray: ...


def usable_utterances(
    features: FeatureReader, target_frames: Mapping[str, int], what: str, max_lost: float = 0.1
) -> dict[str, int]:
    """Utterances of `features` whose targets have as many frames; id -> frames, in the order of feats.scp.

    Args:
        target_frames: utterance id -> frames of its targets.
        what: the targets' name for messages, for example the alignment directory.
        max_lost: largest share of utterances that may be left out.

    Raises:
        HdnnError: too many utterances without usable targets, or none at all.
    """
    return keep_with_targets(features.num_frames, target_frames, what, max_lost)


def keep_with_targets(
    frames: Mapping[str, int], target_frames: Mapping[str, int], what: str, max_lost: float = 0.1
) -> dict[str, int]:
    """Those of `frames` (utterance -> feature frames) whose targets have as many; see usable_utterances."""
    kept: dict[str, int] = {}
    missing, unequal = [], []
    for utt, length in frames.items():
        if utt not in target_frames or not length:
            missing.append(utt)
        elif target_frames[utt] != length:
            unequal.append(utt)
        else:
            kept[utt] = length
    lost = missing + unequal
    message = f"{what}: {len(kept)} of {len(frames)} utterances usable"
    if missing:
        message += f"; {len(missing)} missing (first {missing[0]})"
    if unequal:
        utt = unequal[0]
        message += f"; {len(unequal)} of another length (first {utt}: {frames[utt]} feature frames, "
        message += f"{target_frames[utt]} target frames)"
    if len(lost) > max_lost * len(frames) or not kept:
        raise HdnnError(f"{message}; they belong to other data or features: regenerate them for this data")
    (log.warning if lost else log.info)(message)
    return kept


def global_statistics(features: Features, utts: Iterable[str]) -> tuple[np.ndarray, np.ndarray]:
    """Mean and variance of the features over all frames of `utts`, each (D,) float64."""
    total = np.zeros(features.dim)
    squares = np.zeros(features.dim)
    frames = 0
    for utt in utts:
        matrix = features[utt].astype(np.float64)
        total += matrix.sum(0)
        squares += (matrix**2).sum(0)
        frames += len(matrix)
    mean = total / frames
    variance = squares / frames - mean**2
    if (variance <= 1e-10).any():
        raise HdnnError(f"feature dimension {int(np.argmin(variance))} never changes; extract the features again")
    return mean, variance
