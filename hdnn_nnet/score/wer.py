"""Word error counts and their reports, in the formats of Kaldi's compute-wer and utils/scoring."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import kaldialign
import numpy as np

from hdnn_nnet.errors import HdnnError

Text = Mapping[str, Sequence[str]]
GAP = "***"  # stands in an alignment where the other side has a word


@dataclass
class WerStats:
    """Sums over utterances; `missing` are utterances without a hypothesis."""

    words: int = 0
    insertions: int = 0
    deletions: int = 0
    substitutions: int = 0
    sentences: int = 0
    wrong_sentences: int = 0
    missing: int = 0

    @property
    def errors(self) -> int:
        return self.insertions + self.deletions + self.substitutions

    @property
    def wer(self) -> float:
        """Percent; not a number without reference words."""
        return 100.0 * self.errors / self.words if self.words else float("nan")

    def report(self) -> str:
        """The three lines of Kaldi's compute-wer."""
        partial = " [PARTIAL]" if self.missing else ""
        return (
            f"%WER {_percent(self.errors, self.words)} [ {self.errors} / {self.words}, {self.insertions} ins, "
            f"{self.deletions} del, {self.substitutions} sub ]{partial}\n"
            f"%SER {_percent(self.wrong_sentences, self.sentences)} [ {self.wrong_sentences} / {self.sentences} ]\n"
            f"Scored {self.sentences} sentences, {self.missing} not present in hyp.\n"
        )


def _percent(part: int, whole: int) -> str:
    # Kaldi computes in single precision, which shows in the second decimal now and then.
    with np.errstate(divide="ignore", invalid="ignore"):
        return f"{np.float32(np.float64(100.0) * np.float32(part) / np.float64(np.float32(whole))):.2f}"


class UtteranceCount(NamedTuple):
    """Errors of one utterance, and its reference words."""

    words: int
    insertions: int
    deletions: int
    substitutions: int

    @property
    def errors(self) -> int:
        return self.insertions + self.deletions + self.substitutions


def count_utterances(reference: Text, hypothesis: Text) -> dict[str, UtteranceCount]:
    """Errors of every utterance that has both, in the reference's order."""
    result = {}
    for key, words in reference.items():
        if key in hypothesis:
            counts = kaldialign.edit_distance(list(words), list(hypothesis[key]))
            result[key] = UtteranceCount(len(words), *(int(counts[kind]) for kind in ("ins", "del", "sub")))
    return result


def compute_wer(reference: Text, hypothesis: Text, mode: str = "strict") -> WerStats:
    """Count errors over all reference utterances.

    Args:
        mode: what a missing hypothesis means, as compute-wer's: `strict` an error, `present` the utterance is left out
            (the report says PARTIAL), `all` it counts as empty.

    Raises:
        HdnnError: mode `strict` and a hypothesis is missing.
    """
    missing = [key for key in reference if key not in hypothesis]
    if missing and mode == "strict":
        raise HdnnError(f"utterance {missing[0]} has no hypothesis; decode it, or allow missing ones")
    given = {**dict.fromkeys(missing, ()), **hypothesis} if mode == "all" else hypothesis
    return total(count_utterances(reference, given), len(missing))


def total(counts: Mapping[str, UtteranceCount], missing: int = 0) -> WerStats:
    """Sums over utterances; `missing` others have no hypothesis."""
    stats = WerStats(missing=missing)
    for count in counts.values():
        stats.words += count.words
        stats.insertions += count.insertions
        stats.deletions += count.deletions
        stats.substitutions += count.substitutions
        stats.sentences += 1
        stats.wrong_sentences += count.errors > 0
    return stats


@dataclass
class Alignment:
    """Aligned words of one utterance; GAP stands for no word."""

    key: str
    reference: list[str]
    hypothesis: list[str]

    @property
    def operations(self) -> list[str]:
        """C, S, I or D for every pair."""
        pairs = zip(self.reference, self.hypothesis, strict=True)
        return ["D" if h == GAP else "I" if r == GAP else "C" if r == h else "S" for r, h in pairs]


def align(reference: Text, hypothesis: Text) -> list[Alignment]:
    """Align the utterances that have both."""
    result = []
    for key, words in reference.items():
        if key in hypothesis:
            pairs = kaldialign.align(list(words), list(hypothesis[key]), GAP)
            result.append(Alignment(key, [r for r, _ in pairs], [h for _, h in pairs]))
    return result


def per_utterance(alignments: Iterable[Alignment]) -> str:
    """Rows ref, hyp, op, #csid (correct, substituted, inserted, deleted) as Kaldi's wer_per_utt_details.pl."""
    lines = []
    for item in alignments:
        rows = [item.reference, item.hypothesis, item.operations]
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        for name, row in zip(("ref ", "hyp ", "op  "), rows, strict=True):
            lines.append(f"{item.key} {name} " + "  ".join(_centre(w, n) for w, n in zip(row, widths, strict=True)))
        counts = " ".join(str(item.operations.count(kind)) for kind in "CSID")
        lines.append(f"{item.key} #csid {counts}")
    return "".join(line + "\n" for line in lines)


def _centre(text: str, width: int) -> str:
    right = (width - len(text)) // 2
    return " " * (width - len(text) - right) + text + " " * right


def per_speaker(alignments: Iterable[Alignment], utt2spk: Mapping[str, str]) -> str:
    """The table of Kaldi's wer_per_spk_details.pl: counts (raw) and percentages (sys) by speaker, and their sum.

    Raises:
        HdnnError: an utterance without a speaker.
    """
    table: dict[str, np.ndarray] = {}
    for item in alignments:
        if item.key not in utt2spk:
            raise HdnnError(f"utterance {item.key} is not in utt2spk; run fix_data_dir.sh")
        operations = item.operations
        counts = [operations.count(kind) for kind in "CSID"]
        row = np.array([1, *counts, any(counts[1:])], np.int64)
        speaker = utt2spk[item.key]
        table[speaker] = table.get(speaker, np.zeros(6, np.int64)) + row
    width = max([15, *map(len, utt2spk.values())])
    head = ["#SENT", "#WORD", "Corr", "Sub", "Ins", "Del", "Err", "S.Err"]
    lines = [f"{'SPEAKER':<{width}} id  " + " ".join(f"{name:>10}" for name in head)]
    everything = sum(table.values(), np.zeros(6, np.int64))
    for speaker, row in [*sorted(table.items()), ("SUM", everything)]:
        sentences, correct, substituted, inserted, deleted, wrong = row.tolist()
        words = correct + substituted + deleted
        values = [correct, substituted, inserted, deleted, substituted + deleted + inserted]
        raw = [sentences, words, *values, wrong]
        lines.append(f"{speaker:<{width}} raw " + " ".join(f"{value:>10d}" for value in raw))
        if words:
            shares = [100.0 * value / words for value in values] + [100.0 * wrong / sentences]
            cells = [f"{sentences:>10d}", f"{words:>10d}", *(f"{share:>10.2f}" for share in shares)]
            lines.append(f"{speaker:<{width}} sys " + " ".join(cells))
    return "".join(line + "\n" for line in lines)


def operations_table(alignments: Iterable[Alignment]) -> str:
    """How often each word was recognised as each: lines `operation reference hypothesis count`, most frequent first."""
    counts: dict[tuple[str, str, str], int] = {}
    for item in alignments:
        for entry in zip(item.operations, item.reference, item.hypothesis, strict=True):
            counts[entry] = counts.get(entry, 0) + 1
    names = {"C": "correct", "S": "substitution", "I": "insertion", "D": "deletion"}
    ordered = sorted(counts.items(), key=lambda item: (names[item[0][0]], -item[1], item[0]))
    return "".join(f"{names[op]:<13} {ref:<16} {hyp:<16} {count}\n" for (op, ref, hyp), count in ordered)
