"""How sure a word error rate is: the bootstrap of Bisani and Ney, Bootstrap Estimates for Confidence Intervals in ASR
Performance Evaluation (ICASSP 2004), as Kaldi's compute-wer-bootci does it.

A replication draws as many units (utterances, or speakers with all of theirs) as the set has, with replacement. The same seed
draws the same units for every system, so that the difference of two systems' replications is the paired bootstrap.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from hdnn_nnet.score.errors_by_utterance import UtteranceErrors

_NORMAL_95 = 1.96  # as in compute-wer-bootci
_BLOCK = 1 << 22  # draws in memory at a time


@dataclass(frozen=True)
class Interval:
    """A value and the bounds of its 95 % confidence interval, all in percent."""

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.low:.2f}-{self.high:.2f}"

    def of_rate(self) -> "Interval":
        """The same for an error rate, which is not negative."""
        return Interval(self.value, max(0.0, self.low), self.high)

    @property
    def holds_zero(self) -> bool:
        return self.low <= 0.0 <= self.high


def grouped(table: np.ndarray, units: np.ndarray | None) -> np.ndarray:
    """Rows of utterances, (U, C), summed by unit, (N, C); `units` are numbers from 0 on, (U,), None: every row is one."""
    if units is None:
        return table
    sums = np.zeros((int(units.max(initial=-1)) + 1, table.shape[1]))
    np.add.at(sums, units, table)
    return sums


def replicate(
    systems: Sequence[UtteranceErrors], by: str = "utterance", times: int = 10000, seed: int = 0
) -> np.ndarray:
    """WERs in percent of systems on drawn sets, (times, S); a replication without a word is not a number.

    Args:
        systems: of the same utterances in the same order.
        by: units that are drawn, `utterance` or `speaker`.
    """
    words = systems[0].words
    table = np.stack([words, *(system.errors for system in systems)], axis=1).astype(np.float64)
    table = grouped(table, systems[0].speaker_numbers() if by == "speaker" else None)
    generator, count = np.random.default_rng(seed), len(table)
    result = np.empty((times, len(systems)))
    step = max(1, _BLOCK // count)
    for first in range(0, times, step):
        rows = min(step, times - first)
        drawn = generator.integers(0, count, (rows, count)) + count * np.arange(rows)[:, None]
        sums = np.bincount(drawn.ravel(), minlength=rows * count).reshape(rows, count) @ table
        with np.errstate(invalid="ignore", divide="ignore"):
            result[first : first + rows] = 100.0 * sums[:, 1:] / sums[:, :1]
    return result


def interval(value: float, replications: np.ndarray) -> Interval:
    """95 % interval of a WER or of a difference: 1.96 standard deviations of its replications, (times,), to both sides."""
    deviation = float(np.nanstd(replications))
    return Interval(value, value - _NORMAL_95 * deviation, value + _NORMAL_95 * deviation)


def seeds_interval(values: Sequence[float], replications: np.ndarray) -> Interval:
    """95 % interval of a mean over trainings with several seeds, from both sources of chance: test set and seeds.

    The variance of the mean's replications (test set) and that of the mean over seeds are added; Student's quantile has the
    degrees of freedom of Welch and Satterthwaite, as the latter is known from few seeds only.

    Args:
        values: WER, or difference, of each seed, (R,).
        replications: of their mean, (times,).
    """
    mean, count = float(np.mean(values)), len(values)
    if count < 2:
        return interval(mean, replications)
    test, seeds = float(np.nanvar(replications)), float(np.var(values, ddof=1)) / count
    return _combined(mean, test, [(seeds, count - 1)])


def difference_of_means(first: Sequence[float], second: Sequence[float], replications: np.ndarray) -> Interval:
    """95 % interval of the difference of two systems' means over their seeds; see `seeds_interval`.

    Args:
        first, second: WER of each seed, (R1,) and (R2,); of a single one the seeds' share is unknown and left out.
        replications: of the difference of the means on the same draws, (times,).
    """
    sources = [(float(np.var(v, ddof=1)) / len(v), len(v) - 1) for v in (first, second) if len(v) > 1]
    return _combined(float(np.mean(first) - np.mean(second)), float(np.nanvar(replications)), sources)


def _combined(value: float, test: float, seeds: Sequence[tuple[float, int]]) -> Interval:
    """Welch and Satterthwaite: `seeds` are (variance, degrees of freedom), those of the test set count as endless."""
    total = test + sum(variance for variance, _ in seeds)
    uncertain = sum(variance**2 / freedom for variance, freedom in seeds)
    quantile = _NORMAL_95
    if uncertain > 0:
        from scipy.special import stdtrit

        quantile = float(stdtrit(min(total**2 / uncertain, 1e9), 0.975))
    half = quantile * total**0.5
    return Interval(value, value - half, value + half)
