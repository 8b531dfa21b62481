"""Triphones over delta features, by the schedule of Kaldi's steps/train_deltas.sh."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from hdnn_nnet.feats.reader import FeatureReader
from hdnn_nnet.gmm.options import TriphoneOptions
from hdnn_nnet.gmm.passes import TrainResult, run_passes
from hdnn_nnet.gmm.shares import speaker_shares
from hdnn_nnet.gmm.team import Workers
from hdnn_nnet.gmm.train import word_numbers
from hdnn_nnet.gmm.triphones import read_source, start_triphones, triphone_schedule


def train_deltas(
    reader: FeatureReader,
    texts: Mapping[str, str],
    lang: Path,
    ali_dir: Path,
    num_leaves: int,
    tot_gauss: int,
    options: TriphoneOptions,
    workers: int = 1,
) -> TrainResult:
    """Train triphones, beginning with the alignments in `ali_dir`.

    Args:
        texts: utterance -> words; utterances without are left out.
        num_leaves: leaves of the tree before clustering, at most.
        tot_gauss: Gaussians in the end, about.
        workers: processes; Kaldi's split_data.sh deals the utterances out to as many jobs alike.

    Raises:
        HdnnError: data, lang and alignments do not fit.
    """
    words = word_numbers(reader, texts, lang)
    source = read_source(ali_dir, lang, reader)
    shares = speaker_shares(reader, words, lang, source.alignments, workers, options.cache_bytes)
    generator = np.random.default_rng(options.seed)
    with Workers(shares) as team:
        start = start_triphones(team, source.transition_model, lang, num_leaves, options, True, generator)
        schedule = triphone_schedule(reader.data_dir, start.system, lang, num_leaves, tot_gauss, options)
        run_passes(team, start.system, schedule, generator)
        result = TrainResult.of(team, start.system)
    result.questions = start.questions
    return result
