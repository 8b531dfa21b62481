"""Triphones over spliced features, reduced by LDA and decorrelated by MLLT, by the schedule of train_lda_mllt.sh."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from hdnn_nnet.gmm.adapted_set import AdaptedSet
from hdnn_nnet.gmm.features import GmmFeatures
from hdnn_nnet.gmm.lda import Lda, estimate_lda
from hdnn_nnet.gmm.mllt import estimate_mllt, transform_means
from hdnn_nnet.gmm.options import LdaMlltOptions
from hdnn_nnet.gmm.passes import GmmSystem, TrainResult, run_passes
from hdnn_nnet.gmm.shares import speaker_shares
from hdnn_nnet.gmm.team import Workers
from hdnn_nnet.gmm.train import word_numbers
from hdnn_nnet.gmm.triphones import read_source, start_triphones, triphone_schedule
from hdnn_nnet.kaldi.symbols import read_integers

log = logging.getLogger(__name__)


@dataclass
class LdaMlltResult:
    """A trained system and its transform.

    Attributes:
        matrix: (D, spliced dimensions) LDA and all MLLTs: Kaldi's `final.mat`.
        full: (spliced dimensions, spliced dimensions) all directions of LDA: `full.mat`.
    """

    system: TrainResult
    matrix: np.ndarray
    full: np.ndarray


class MlltHook:
    """Estimates MLLT in given passes: the features are transformed, and the model's means with them.

    Attributes:
        matrix: the features' transform so far.
    """

    def __init__(self, options: LdaMlltOptions, silence: list[int], matrix: np.ndarray) -> None:
        self.options = options
        self.silence = silence
        self.matrix = matrix

    def __call__(self, number: int, team: Workers, system: GmmSystem) -> None:
        if number not in self.options.mllt_iters:
            return
        options = self.options
        seed = options.seed * 1000 + number
        first, *others = team.call(
            "accumulate_mllt", system.transition_model, system.gmms, self.silence, options.randprune, seed
        )
        for statistics in others:
            first.add(statistics)
        change, gain = estimate_mllt(first)
        log.info(
            "pass %d: MLLT, gain %.4f a frame over %.0f frames, log-determinant %.4f",
            number, gain, first.beta, np.linalg.slogdet(change)[1],
        )  # fmt: skip
        system.gmms = transform_means(system.gmms, change)
        team.call("apply_matrix", change)
        self.matrix = change @ self.matrix


def train_lda_mllt(
    features: GmmFeatures,
    texts: Mapping[str, str],
    lang: Path,
    ali_dir: Path,
    num_leaves: int,
    tot_gauss: int,
    options: LdaMlltOptions,
    workers: int = 1,
) -> LdaMlltResult:
    """Train triphones, beginning with the alignments in `ali_dir`.

    Args:
        features: spliced, without a matrix.
        texts: utterance -> words; utterances without are left out.
        num_leaves: leaves of the tree before clustering, at most.
        tot_gauss: Gaussians in the end, about.

    Raises:
        HdnnError: data, lang and alignments do not fit.
    """
    words = word_numbers(features, texts, lang)
    source = read_source(ali_dir, lang, features)
    silence = read_integers(lang / "phones" / "silence.csl")
    shares = speaker_shares(features, words, lang, source.alignments, workers, options.cache_bytes)
    generator = np.random.default_rng(options.seed)
    with Workers(shares, AdaptedSet) as team:
        lda = _estimate_lda(team, source.transition_model, silence, options.dim)
        team.call("apply_matrix", lda.matrix)
        start = start_triphones(team, source.transition_model, lang, num_leaves, options, False, generator)
        hook = MlltHook(options, silence, lda.matrix)
        schedule = triphone_schedule(features.data_dir, start.system, lang, num_leaves, tot_gauss, options)
        run_passes(team, start.system, replace(schedule, hooks=[hook]), generator)
        result = TrainResult.of(team, start.system)
    result.questions = start.questions
    return LdaMlltResult(result, hook.matrix, lda.full)


def _estimate_lda(team: Workers, model: object, silence: list[int], dim: int) -> Lda:
    first, *others = team.call("accumulate_lda", model, silence)
    for statistics in others:
        first.add(statistics)
    return estimate_lda(first, dim)
