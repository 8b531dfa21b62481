"""The matched-pairs sentence-segment word error test (MAPSSWE) of Gillick and Cox, Some Statistical Issues in the Comparison of
Speech Recognition Algorithms (ICASSP 1989), as NIST's sc_stats does it.

An utterance is cut where both systems have two right words in a row. Errors of different segments are then taken as independent,
and the differences of the two systems' errors by segment have a mean that is normal for many segments.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import kaldialign
import numpy as np

from hdnn_nnet.score.wer import GAP, Text

MIN_GOOD = 2  # right words of both systems between segments, as in sc_stats


@dataclass(frozen=True)
class MatchedPairs:
    """The test's result.

    Attributes:
        segments: with an error of either system.
        mean, deviation: of the differences of errors (first minus second system) by segment.
        z: their mean over its standard error; 0 where all are the same.
        p: two-sided, of z under the normal distribution.
    """

    segments: int
    mean: float
    deviation: float
    z: float
    p: float


def _words(reference: Sequence[str], hypothesis: Sequence[str]) -> tuple[list[int], list[bool]]:
    """Insertions before each reference word and after the last one, and whether each word is right; sclite's costs."""
    inserted, right = [0], []
    # Backwards, since of equally good alignments sclite's deletes the first of repeated words, and kaldialign's the last.
    for wanted, given in reversed(kaldialign.align(reference[::-1], hypothesis[::-1], GAP, sclite_mode=True)):
        if wanted == GAP:
            inserted[-1] += 1
        else:
            right.append(wanted == given)
            inserted.append(0)
    return inserted, right


def segments(reference: Sequence[str], first: Sequence[str], second: Sequence[str]) -> Iterator[tuple[int, int]]:
    """Errors of both systems in each segment of one utterance that has any."""
    (ins1, right1), (ins2, right2) = _words(reference, first), _words(reference, second)
    errors = [0, 0]
    good = MIN_GOOD
    for place in range(len(reference) + 1):
        errors[0] += ins1[place]
        errors[1] += ins2[place]
        if ins1[place] or ins2[place]:
            good = 0
        if place == len(reference):
            break
        errors[0] += not right1[place]
        errors[1] += not right2[place]
        good = good + 1 if right1[place] and right2[place] else 0
        if good >= MIN_GOOD and any(errors):
            yield errors[0], errors[1]
            errors = [0, 0]
    if any(errors):
        yield errors[0], errors[1]


def matched_pairs(reference: Text, first: Mapping[str, Sequence[str]], second: Text) -> MatchedPairs:
    """The test over the utterances that both systems have."""
    pairs = [
        pair
        for key, words in reference.items()
        if key in first and key in second
        for pair in segments(words, first[key], second[key])
    ]
    differences = np.array([a - b for a, b in pairs], np.float64)
    count = len(differences)
    mean = float(differences.mean()) if count else 0.0
    deviation = float(differences.std(ddof=1)) if count > 1 else 0.0
    z = mean / (deviation / math.sqrt(count)) if deviation > 0 else 0.0
    return MatchedPairs(count, mean, deviation, z, math.erfc(abs(z) / math.sqrt(2)))
