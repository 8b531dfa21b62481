"""Two systems on one set: is the difference of their word error rates more than chance?"""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from hdnn_nnet.errors import HdnnError
from hdnn_nnet.score.best import WerFile, choose, read_wer_file, read_wer_files
from hdnn_nnet.score.bootstrap import Interval, interval, replicate
from hdnn_nnet.score.errors_by_utterance import Scored, read_scored
from hdnn_nnet.score.matched_pairs import MatchedPairs, matched_pairs
from hdnn_nnet.score.options import ResultOptions

LEVEL = 0.05


@dataclass(frozen=True)
class Drawn:
    """A paired bootstrap: what was drawn, both systems' WERs, their difference (first minus second) and how often, in percent,
    the second had fewer errors."""

    units: str
    wers: tuple[Interval, Interval]
    difference: Interval
    improved: float


@dataclass(frozen=True)
class Comparison:
    """Both systems on the utterances that both have.

    Attributes:
        left_out: utterances that one of them lacks.
        bootstraps: over utterances, and over speakers where these are known.
    """

    utterances: int
    words: int
    left_out: int
    bootstraps: tuple[Drawn, ...]
    pairs: MatchedPairs

    @property
    def difference(self) -> float:
        return self.bootstraps[0].difference.value

    def verdict(self) -> str:
        """Within noise, or which one is better: a difference counts if every test finds it."""
        found = [not drawn.difference.holds_zero for drawn in self.bootstraps] + [self.pairs.p < LEVEL]
        if all(found):
            return f"the {'second' if self.difference > 0 else 'first'} is better"
        return "within noise" if not any(found) else "doubtful: the tests disagree"


def compare(first: Scored, second: Scored, times: int = 10000, seed: int = 0) -> Comparison:
    """All tests of two systems.

    Raises:
        HdnnError: fewer than two common utterances with words, or references that differ.
    """
    common = [key for key in first.reference if key in first.hypothesis and key in second.hypothesis]
    common = [key for key in common if key in second.reference]
    odd = next((key for key in common if first.reference[key] != second.reference[key]), None)
    if odd is not None:
        raise HdnnError(f"the references of {odd} differ; score both with the same data and filter")
    if not any(first.reference[key] for key in common):
        raise HdnnError("the two have no utterance with words in common; compare decodings of one data directory")
    reference = {key: first.reference[key] for key in common}
    if sum(map(bool, reference.values())) < 2:
        raise HdnnError("the two have one utterance with words in common, which says nothing about chance")
    utt2spk = {**second.utt2spk, **first.utt2spk}
    systems = [Scored(reference, utt2spk, scored.hypothesis).errors() for scored in (first, second)]
    units = ["utterance"]
    if len(set(systems[0].speakers)) > 1:
        units.append("speaker")
    drawn = []
    for unit in units:
        count = len(common) if unit == "utterance" else len(set(systems[0].speakers))
        wers = replicate(systems, unit, times, seed)
        apart = wers[:, 0] - wers[:, 1]
        both = interval(systems[0].wer, wers[:, 0]).of_rate(), interval(systems[1].wer, wers[:, 1]).of_rate()
        difference = interval(systems[0].wer - systems[1].wer, apart)
        drawn.append(Drawn(f"{count} {unit}s", both, difference, 100.0 * float(np.mean(apart > 0))))
    keys = first.reference.keys() | second.reference.keys()
    pairs = matched_pairs(reference, first.hypothesis, second.hypothesis)
    return Comparison(len(common), int(systems[0].words.sum()), len(keys) - len(common), tuple(drawn), pairs)


def _choices(directory: Path, results: ResultOptions) -> dict[str, WerFile]:
    """Set -> scored combination of a model directory (eval at dev's choice) or of a decode directory (its own best)."""
    if any(directory.glob("wer_*")) or not (directory / results.dev).is_dir():
        return {"": choose(read_wer_files(directory), results.smooth)}
    dev = choose(read_wer_files(directory / results.dev), results.smooth)
    found = {results.dev: dev}
    if results.eval and (directory / results.eval).is_dir():
        found[results.eval] = read_wer_file(directory / results.eval / dev.path.name)
    return found


def compare_directories(
    directories: tuple[str | os.PathLike[str], str | os.PathLike[str]], results: ResultOptions, times: int, seed: int
) -> Iterator[str]:
    """The report, a paragraph for every set that both have.

    Raises:
        HdnnError: directories without scores, or of different kinds.
    """
    one, two = (_choices(Path(d), results) for d in directories)
    sets = [part for part in one if part in two]
    if not sets:
        raise HdnnError(f"{directories[0]} and {directories[1]}: give two model directories, or two decode directories")
    for part in sets:
        chosen = one[part], two[part]
        first, second = (read_scored(w.path.parent, w.lmwt, w.penalty) for w in chosen)
        yield paragraph(compare(first, second, times, seed), chosen)


def paragraph(found: Comparison, chosen: tuple[WerFile, WerFile]) -> str:
    """A comparison in words."""
    lines = []
    for number, item in enumerate(chosen):
        wer = found.bootstraps[0].wers[number]
        lines.append(f"{wer.value:6.2f} % [{wer}]  {item.path.parent} (LM weight {item.lmwt}, penalty {item.penalty})")
    left_out = f", {found.left_out} left out that one lacks" if found.left_out else ""
    lines.append(
        f"{found.difference:+6.2f}   first minus second, {found.words} words, {found.utterances} utterances{left_out}"
    )
    for drawn in found.bootstraps:
        lines.append(
            f"         paired bootstrap over {drawn.units}: 95 % interval {drawn.difference.low:+.2f} to "
            f"{drawn.difference.high:+.2f}; the second is better in {drawn.improved:.2f} % of the draws"
        )
    pairs = found.pairs
    lines.append(f"         MAPSSWE: {pairs.segments} segments, Z = {pairs.z:.3f}, p = {pairs.p:.4f}")
    lines.append(f"         {found.verdict()}")
    return "\n".join(lines) + "\n"
