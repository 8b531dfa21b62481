"""Speaker transforms from the lattices of a first pass: the middle of two-pass decoding (Kaldi's steps/decode_fmllr.sh)."""

import logging
from collections.abc import Callable, Iterable, Iterator

import numpy as np

from hdnn_nnet.errors import HdnnError
from hdnn_nnet.gmm.em import BLOCK_FRAMES
from hdnn_nnet.gmm.features import GmmFeatures
from hdnn_nnet.gmm.fmllr import FmllrResult, FmllrStatistics, add_utterances, estimate_fmllr
from hdnn_nnet.gmm.model import DiagGmms
from hdnn_nnet.gmm.posteriors import FrameLabels
from hdnn_nnet.progress import counted

log = logging.getLogger(__name__)
_Utterance = tuple[str, np.ndarray, FrameLabels]


def transforms_from(
    features: GmmFeatures,
    labels: Iterable[tuple[str, Callable[[], tuple[FrameLabels, int]]]],
    gmms: DiagGmms,
    posterior_model: DiagGmms | None = None,
    min_count: float = 500.0,
) -> FmllrResult:
    """Transforms of all speakers of `features`, on top of those that the features have.

    Args:
        labels: utterances in any order, each with what gives its labels and number of frames, and may raise HdnnError.
        posterior_model: gives the posteriors of the Gaussians instead of `gmms`.

    An utterance whose labels cannot be had is left out with a warning, and counted.

    Raises:
        HdnnError: there are labels, but none of an utterance of `features`.
    """
    speakers = dict.fromkeys(features.utt2spk[utterance] for utterance in features.utts)
    statistics = {speaker: FmllrStatistics.zeros(gmms.dim) for speaker in speakers}
    counts = {"done": 0, "failed": 0, "others": 0}
    block: list[_Utterance] = []
    for utterance in _usable(features, labels, counts):
        block.append(utterance)
        if sum(len(matrix) for _, matrix, _ in block) >= BLOCK_FRAMES:
            add_utterances(statistics, gmms, block, posterior_model)
            block = []
    if block:
        add_utterances(statistics, gmms, block, posterior_model)
    if counts["others"] and not counts["done"] + counts["failed"]:
        raise HdnnError(
            f"none of the {counts['others']} utterances with labels is in the data directory; take those of this job"
        )
    result = estimate_fmllr(statistics, min_count)
    missing = len(features) - counts["done"] - counts["failed"]
    log.info(
        "%s; %d utterances, %d failed, %d without labels", result.summary(), counts["done"], counts["failed"], missing
    )
    return result


def _usable(
    features: GmmFeatures, labels: Iterable[tuple[str, Callable[[], tuple[FrameLabels, int]]]], counts: dict[str, int]
) -> Iterator[_Utterance]:
    for utterance, read in counted(labels, "utterances", len(features)):
        if utterance not in features:
            counts["others"] += 1
            continue
        try:
            own, frames = read()
            matrix = features[utterance]
            if frames != len(matrix):
                raise HdnnError(f"{frames} frames, the features have {len(matrix)}")
        except HdnnError as error:
            log.warning("utterance %s is left out: %s", utterance, error)
            counts["failed"] += 1
            continue
        counts["done"] += 1
        yield features.utt2spk[utterance], matrix, own
