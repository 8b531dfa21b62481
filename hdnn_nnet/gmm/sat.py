"""Speaker-adaptive training: triphones over features that each speaker's fMLLR transforms, by the schedule of train_sat.sh.

M. J. F. Gales, "Maximum likelihood linear transformations for HMM-based speech recognition", 1998, section on SAT.
"""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from hdnn_nnet.gmm.adapted_set import AdaptedSet
from hdnn_nnet.gmm.em import update_transitions
from hdnn_nnet.gmm.features import GmmFeatures
from hdnn_nnet.gmm.fmllr import FmllrResult
from hdnn_nnet.gmm.model import DiagGmms, read_gmm_model
from hdnn_nnet.gmm.options import SatOptions
from hdnn_nnet.gmm.passes import GmmSystem, TrainResult, run_passes
from hdnn_nnet.gmm.shares import speaker_shares
from hdnn_nnet.gmm.team import Workers, total
from hdnn_nnet.gmm.train import word_numbers
from hdnn_nnet.gmm.triphones import read_source, start_triphones, triphone_schedule
from hdnn_nnet.gmm.two_models import update_two
from hdnn_nnet.kaldi.symbols import read_integers
from hdnn_nnet.kaldi.transitions import TransitionModel

log = logging.getLogger(__name__)


@dataclass
class SatResult:
    """A trained system with what adaptation needs.

    Attributes:
        transforms: for each job, speaker -> (D, D + 1): Kaldi's `trans.JOB`.
        alignment_transitions, alignment_model: Kaldi's `final.alimdl`.
    """

    system: TrainResult
    transforms: list[dict[str, np.ndarray]]
    alignment_transitions: TransitionModel
    alignment_model: DiagGmms


class FmllrHook:
    """Estimates transforms in given passes, on top of those before."""

    def __init__(self, options: SatOptions, silence: Sequence[int]) -> None:
        self.options = options
        self.silence = silence

    def __call__(self, number: int, team: Workers, system: GmmSystem) -> None:
        if number in self.options.fmllr_iters:
            self.estimate(f"pass {number}", team, system.transition_model, system.gmms)

    def estimate(self, when: str, team: Workers, model: TransitionModel, gmms: DiagGmms) -> None:
        """Let the workers estimate transforms for this model."""
        options, result = self.options, FmllrResult.empty()
        for part in team.call(
            "estimate_fmllr", model, gmms, self.silence, options.silence_weight, options.fmllr_min_count
        ):
            result.add(part)
        log.info("%s: %s", when, result.summary())


def train_sat(
    features: GmmFeatures,
    texts: Mapping[str, str],
    lang: Path,
    ali_dir: Path,
    num_leaves: int,
    tot_gauss: int,
    options: SatOptions,
    workers: int = 1,
) -> SatResult:
    """Train triphones, beginning with the alignments in `ali_dir`, and with its transforms if `features` has them.

    Args:
        features: those of the system in `ali_dir`; without transforms, these are estimated first.
        texts: utterance -> words; utterances without are left out.
        num_leaves: leaves of the tree before clustering, at most.
        tot_gauss: Gaussians in the end, about.

    Raises:
        HdnnError: data, lang and alignments do not fit.
    """
    words = word_numbers(features, texts, lang)
    source = read_source(ali_dir, lang, features)
    hook = FmllrHook(options, read_integers(lang / "phones" / "silence.csl"))
    shares = speaker_shares(features, words, lang, source.alignments, workers, options.cache_bytes)
    generator = np.random.default_rng(options.seed)
    with Workers(shares, AdaptedSet) as team:
        if features.transforms is None:
            hook.estimate("at first", team, source.transition_model, read_gmm_model(ali_dir / "final.mdl")[1])
        start = start_triphones(team, source.transition_model, lang, num_leaves, options, False, generator)
        schedule = triphone_schedule(features.data_dir, start.system, lang, num_leaves, tot_gauss, options)
        run_passes(team, start.system, replace(schedule, hooks=[hook]), generator)
        system = start.system
        statistics = total(team.call("accumulate_two", system.transition_model, system.gmms))
        alignment_model = update_two(system.gmms, statistics)
        transitions = update_transitions(system.transition_model, statistics.transitions)
        result = TrainResult.of(team, system)
        transforms = team.call("get_transforms")
    result.questions = start.questions
    return SatResult(result, transforms, transitions, alignment_model)
