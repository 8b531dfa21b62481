"""What of a table of results is chance: 95 % intervals, systems within noise of the best, and choices by a coin toss."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from hdnn_nnet.score.best import WerFile, read_wer_file, read_wer_files
from hdnn_nnet.score.bootstrap import Interval, difference_of_means, replicate, seeds_interval
from hdnn_nnet.score.errors_by_utterance import UtteranceErrors, read_scored
from hdnn_nnet.score.options import BootstrapOptions
from hdnn_nnet.score.summary import Result, systems

DEV, EVAL = "dev", "eval"
MARK = "≈"


@dataclass(frozen=True)
class Estimate:
    """A system's mean WER over its seeds on one set.

    Attributes:
        interval: 95 %, from test set and seeds; None where a hypothesis file or the bootstrap is missing.
        tied: not told apart from the lowest WER of the set by the paired bootstrap (with the spread of seeds where there are
            several); the lowest one itself is not marked.
    """

    value: float
    interval: Interval | None
    tied: bool = False


def _file(result: Result, part: str) -> WerFile | None:
    return result.dev if part == DEV else result.eval_file


def _errors(file: WerFile) -> UtteranceErrors | None:
    """None where hypotheses were not kept."""
    if not (file.path.parent / f"scoring_kaldi/penalty_{file.penalty}/{file.lmwt}.txt").is_file():
        return None
    return read_scored(file.path.parent, file.lmwt, file.penalty).errors()


def estimates(results: Sequence[Result], part: str, options: BootstrapOptions) -> dict[str, Estimate]:
    """Estimates of all systems (by name without the seed) that have the set `part`, DEV or EVAL.

    Systems whose utterances are not those of the system with the lowest WER have an interval but are not compared.
    """
    values: dict[str, list[float]] = {}
    drawn: dict[str, np.ndarray] = {}
    keys: dict[str, tuple[str, ...]] = {}
    for name, group in systems(results).items():
        files = [file for result in group if (file := _file(result, part)) is not None]
        if not files:
            continue
        values[name] = [file.wer for file in files]
        errors = [found for file in files if (found := _errors(file)) is not None] if options.replications else []
        usable = len(errors) == len(files) and len({e.utterances for e in errors}) == 1 and errors[0].can_be_drawn
        if usable and (options.by == "utterance" or len(set(errors[0].speakers)) > 1):
            drawn[name] = replicate(errors, options.by, options.replications, options.bootstrap_seed).mean(axis=1)
            keys[name] = errors[0].utterances
    lowest = min(values, key=lambda name: float(np.mean(values[name])), default="")
    result = {}
    for name, wers in values.items():
        tied = False
        if name != lowest and name in drawn and lowest in drawn and keys[name] == keys[lowest]:
            tied = difference_of_means(wers, values[lowest], drawn[name] - drawn[lowest]).holds_zero
        bounds = seeds_interval(wers, drawn[name]).of_rate() if name in drawn else None
        result[name] = Estimate(float(np.mean(wers)), bounds, tied)
    return result


@dataclass(frozen=True)
class Toss:
    """How much hangs on the choice of LM weight and penalty.

    Attributes:
        choices: combinations within one standard error of the best on dev (the rule of Breiman et al. 1984, on paired
            differences).
        low, high: the WERs of the evaluation set over these.
        error: standard error of its WER at the choice.
    """

    choices: int
    low: float
    high: float
    error: float

    @property
    def by_chance(self) -> bool:
        """The choice moves eval by more than its test set's own standard error."""
        return self.choices > 1 and self.high - self.low > self.error

    def sentence(self) -> str:
        return (
            f"the choice of LM weight and penalty is a coin toss: {self.choices} are within one standard error on dev, "
            f"and eval is {self.low:.2f} to {self.high:.2f} over them"
        )


def toss(dev_dir: Path, eval_dir: Path, chosen: WerFile, options: BootstrapOptions) -> Toss | None:
    """Look at the choices that dev hardly tells apart; None where hypotheses or the bootstrap are missing."""
    files = read_wer_files(dev_dir)
    errors = [_errors(file) for file in files]
    evaluated = read_wer_file(eval_dir / chosen.path.name)
    at_choice = _errors(evaluated)
    known = [e for e in errors if e is not None]
    if not options.replications or at_choice is None or len(known) < len(files) or not known[0].can_be_drawn:
        return None
    times, seed = options.replications, options.bootstrap_seed
    by = options.by if known[0].speakers and at_choice.speakers else "utterance"
    wers = replicate(known, by, times, seed)
    number = next(i for i, file in enumerate(files) if file.path.name == chosen.path.name)
    apart = np.nanstd(wers - wers[:, [number]], axis=0)
    near = [file for file, spread in zip(files, apart, strict=True) if file.wer - chosen.wer <= spread]
    over = [read_wer_file(eval_dir / file.path.name).wer for file in near]
    return Toss(len(near), min(over), max(over), float(np.nanstd(replicate([at_choice], by, times, seed))))


def notes(results: Sequence[Result], options: BootstrapOptions) -> list[str]:
    """Lines to stand below a table: what its marks mean, and which choices were tossed."""
    lines = []
    for result in results:
        if result.eval_file is None:
            continue
        found = toss(result.dev.path.parent, result.eval_file.path.parent, result.dev, options)
        if found is not None and found.by_chance:
            lines.append(f"{result.directory.name}: {found.sentence()}")
    return lines


def legend(found: Sequence[Mapping[str, Estimate]], options: BootstrapOptions) -> str:
    """What intervals and marks of a table mean; empty where there are none."""
    if not any(e.interval for estimates_of_set in found for e in estimates_of_set.values()):
        return ""
    return (
        f"95 % intervals: bootstrap over {options.by}s, and the spread over seeds where there are several. "
        f"{MARK}: within noise of the lowest WER of its set (paired bootstrap)."
    )
