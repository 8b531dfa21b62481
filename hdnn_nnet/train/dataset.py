"""Utterances that have both features and targets of the same length."""

from collections.abc import Iterable, Mapping
from typing import Protocol

import numpy as np

from hdnn_nnet.errors import HdnnError
from hdnn_nnet.feats.reader import FeatureReader
from hdnn_nnet.kaldi.accounting import Accounting

#: frames that are enough for a mean and a variance
STATISTICS_FRAMES = 1 << 25


class Features(Protocol):
    """Features by utterance: float32 (T, dim)."""

    @property
    def dim(self) -> int: ...

    def __getitem__(self, utt: str, /) -> np.ndarray: ...


def usable_utterances(
    features: FeatureReader, target_frames: Mapping[str, int], what: str, max_lost: float = 0.1
) -> dict[str, int]:
    """Utterances of `features` whose targets have as many frames; id -> frames, in the order of feats.scp.

    Features of another frame rate are fitted to the targets first.

    Args:
        target_frames: utterance id -> frames of its targets.
        what: the targets' name for messages, for example the alignment directory.
        max_lost: largest share of utterances that may be left out.

    Raises:
        HdnnError: too many utterances without usable targets, or none at all.
    """
    features.fit(target_frames)
    remedy = features.remedy(target_frames)
    return keep_with_targets(features.num_frames, target_frames, what, max_lost, features.announced, remedy)


def keep_with_targets(
    frames: Mapping[str, int],
    target_frames: Mapping[str, int],
    what: str,
    max_lost: float = 0.1,
    announced: Iterable[str] | None = None,
    remedy: str = "regenerate features and targets for this data",
) -> dict[str, int]:
    """Those of `frames` (utterance -> feature frames) whose targets have as many; see usable_utterances.

    Args:
        announced: the utterances to account for; default: those of `frames`.
        remedy: what to do when too many are left out.
    """
    account = Accounting(what, frames if announced is None else announced)
    account.require("without features", frames)
    account.leave_out("without frames", (utt for utt, length in frames.items() if not length))
    account.require("without targets", target_frames)
    unequal = [utt for utt, length in frames.items() if target_frames.get(utt, length) != length]
    if unequal:
        lengths = f"{unequal[0]} has {frames[unequal[0]]} frames of features, {target_frames[unequal[0]]} of targets"
        account.leave_out(f"of another length, {lengths}", unequal)
    account.close(max_lost, remedy)
    return {utt: length for utt, length in frames.items() if length and target_frames.get(utt) == length}


def global_statistics(features: Features, frames: Mapping[str, int]) -> tuple[np.ndarray, np.ndarray]:
    """Mean and variance of the features over all frames of the utterances, each (D,) float64.

    Of more than 2^25 frames (93 hours), utterances at even distances with some 2^25 frames must do: to read all of 1,000
    hours would take longer than anything else that a training does before it starts.

    Args:
        frames: utterance -> its number of frames.
    """
    utts = list(frames)[:: max(1, -(-sum(frames.values()) // STATISTICS_FRAMES))]
    total = np.zeros(features.dim)
    squares = np.zeros(features.dim)
    count = 0
    for utt in utts:
        matrix = features[utt].astype(np.float64)
        total += matrix.sum(0)
        squares += (matrix**2).sum(0)
        count += len(matrix)
    mean = total / count
    variance = squares / count - mean**2
    if (variance <= 1e-10).any():
        raise HdnnError(f"feature dimension {int(np.argmin(variance))} never changes; extract the features again")
    return mean, variance
