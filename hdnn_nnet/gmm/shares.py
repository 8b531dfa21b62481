"""Utterances dealt out to workers with all of a speaker in one share, as utils/split_data.sh deals them to jobs."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from hdnn_nnet.feats.reader import FeatureReader
from hdnn_nnet.gmm.team import deal
from hdnn_nnet.kaldi.split import split_speakers


def speaker_shares(
    features: FeatureReader,
    words: Mapping[str, Sequence[int]],
    lang: Path,
    alignments: Mapping[str, np.ndarray],
    workers: int,
    cache_bytes: int,
) -> list[tuple[Any, ...]]:
    """Arguments of the UtteranceSet of every worker.

    Args:
        words: utterance -> word numbers; others are left out.
        cache_bytes: memory of all workers for features and training graphs.
    """
    spk2utts: dict[str, list[str]] = {}
    for utterance in features.utts:  # all of them: with fewer, the shares would not be those of Kaldi's split
        spk2utts.setdefault(features.utt2spk[utterance], []).append(utterance)
    groups = split_speakers(spk2utts, min(workers, len(spk2utts)))
    shares = [{u: words[u] for speaker in group for u in spk2utts[speaker] if u in words} for group in groups]
    # A worker is sent what is its own.
    own = [{u: alignments[u] for u in share if u in alignments} for share in shares]
    return [(features, share, lang, cache_bytes // len(shares), a) for share, a in zip(shares, own, strict=True)]


def independent_shares(
    features: FeatureReader, words: Mapping[str, Sequence[int]], lang: Path, workers: int, cache_bytes: int
) -> list[tuple[Any, ...]]:
    """Arguments of the UtteranceSet of every worker where nothing depends on speakers and there is no alignment yet.

    By speaker as in `speaker_shares`, so that `ali.JOB.gz` goes with Kaldi's split; where there are more workers than
    speakers, which Kaldi's scripts refuse, in contiguous parts.
    """
    if len(set(features.utt2spk.values())) >= workers:
        return speaker_shares(features, words, lang, {}, workers, cache_bytes)
    parts = deal(list(words), workers)
    return [(features, {u: words[u] for u in part}, lang, cache_bytes // len(parts)) for part in parts]
