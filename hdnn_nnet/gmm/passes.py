"""The passes that all GMM trainings share: align now and then, whatever a kind of training adds, EM, split Gaussians.

Monophones, triphones over deltas, LDA + MLLT and speaker-adaptive training differ in their model to begin with, in their
features and in the hooks between alignment and statistics; the loop is the same.
"""

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from hdnn_nnet.align.options import AlignOptions
from hdnn_nnet.errors import HdnnError
from hdnn_nnet.gmm.em import split_gmms, split_targets, update_gmms, update_transitions
from hdnn_nnet.gmm.model import DiagGmms
from hdnn_nnet.gmm.team import Workers, failures, total
from hdnn_nnet.kaldi.symbols import read_integers
from hdnn_nnet.kaldi.transitions import TransitionModel
from hdnn_nnet.kaldi.tree import ContextDependency

log = logging.getLogger(__name__)


@dataclass
class GmmSystem:
    """A model in training.

    Attributes:
        occupancies: frames of each pdf in the last pass, float64, shape (num_pdfs,).
        failed: utterances without alignment.
    """

    transition_model: TransitionModel
    tree: ContextDependency
    gmms: DiagGmms
    occupancies: np.ndarray
    failed: list[str] = field(default_factory=list)


#: Called in a pass after alignment and before statistics, with the pass's number; may change the system's model and
#: call the workers (for example to set transforms of the features). The system's tree and transition-ids must stay.
Hook = Callable[[int, Workers, GmmSystem], None]


@dataclass(frozen=True, kw_only=True)
class Schedule:
    """What happens in which pass, as in Kaldi's training scripts.

    Attributes:
        where: the data directory, for error messages.
        num_iters: passes are 1 to num_iters - 1.
        max_iter_inc: the last pass that adds Gaussians.
        num_gauss: Gaussians in pass 1; `growth` more after each pass.
        realign: pass -> how to align anew.
        power: exponent of the occupancy when Gaussians are dealt out.
        silence_pdfs: their weights are multiplied by `boost_silence` in alignment.
        hooks: called in order in every pass.
    """

    where: Path
    num_iters: int
    max_iter_inc: int
    num_gauss: float
    growth: float
    realign: Mapping[int, AlignOptions]
    power: float
    silence_pdfs: Sequence[int] = ()
    boost_silence: float = 1.0
    hooks: Sequence[Hook] = ()


def realign_with(options: AlignOptions, passes: Sequence[int]) -> dict[int, AlignOptions]:
    """The same alignment options in all of `passes`: for `Schedule.realign`."""
    return {number: replace(options) for number in passes}


def run_passes(team: Workers, system: GmmSystem, schedule: Schedule, generator: np.random.Generator) -> None:
    """Train `system` in place; `generator` perturbs the Gaussians that are split.

    Raises:
        HdnnError: no utterance could be aligned.
    """
    num_gauss = schedule.num_gauss
    for number in range(1, schedule.num_iters):
        if number in schedule.realign:
            _align(number, team, system, schedule)
        for hook in schedule.hooks:
            hook(number, team, system)
        statistics = total(team.call("accumulate", system.transition_model, system.gmms))
        if statistics.frames == 0:
            raise HdnnError(f"{schedule.where}: no utterance is aligned; do transcripts, audio and alignments fit?")
        system.occupancies = np.add.reduceat(statistics.occupancy, system.gmms.offsets[:-1])
        system.transition_model = update_transitions(system.transition_model, statistics.transitions)
        gmms = update_gmms(system.gmms, statistics)
        targets = split_targets(system.occupancies, int(num_gauss), schedule.power, min_count=20.0)
        system.gmms = split_gmms(gmms, targets, generator)
        log.info(
            "pass %d: log-likelihood %.4f a frame over %d frames, %d Gaussians",
            number, statistics.log_likelihood / statistics.frames, statistics.frames, system.gmms.num_gauss,
        )  # fmt: skip
        if number <= schedule.max_iter_inc:
            num_gauss += schedule.growth


def _align(number: int, team: Workers, system: GmmSystem, schedule: Schedule) -> None:
    options = schedule.realign[number]
    boosted = system.gmms.boosted(schedule.silence_pdfs, schedule.boost_silence)
    results = team.call("align", system.transition_model, boosted, options)
    system.failed = failures(results)
    log.info(
        "pass %d: %d utterances retried with beam %g, %d failed",
        number, sum(r.retried for r in results), options.retry_beam, len(system.failed),
    )  # fmt: skip
    if not any(team.call("has_alignments")):
        raise HdnnError(f"{schedule.where}: no utterance could be aligned; do transcripts and audio fit?")


def silence_pdfs(transition_model: TransitionModel, lang: Path) -> list[int]:
    """The pdfs of the optional silence."""
    phones = read_integers(lang / "phones" / "optional_silence.int")
    return sorted(set(transition_model.tid_to_pdf[np.isin(transition_model.tid_to_phone, phones)].tolist()))


@dataclass
class TrainResult:
    """A trained system: model, tree, alignments by worker, and the utterances that have none.

    Attributes:
        questions: sets of phones that the tree's questions came from; none for monophones.
    """

    transition_model: TransitionModel
    tree: ContextDependency
    gmms: DiagGmms
    occupancies: np.ndarray
    alignments: list[dict[str, np.ndarray]]
    failed: list[str]
    questions: list[list[int]] = field(default_factory=list)

    @classmethod
    def of(cls, team: Workers, system: GmmSystem) -> "TrainResult":
        """What is to be written of a system after its passes."""
        alignments = team.call("get_alignments")
        return cls(
            system.transition_model, system.tree, system.gmms, system.occupancies, alignments, list(system.failed)
        )
