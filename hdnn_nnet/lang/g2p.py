"""Pronunciations of English words that no dictionary has, learnt from the words that one has.

A joint n-gram model (Bisani and Ney 2008): every letter of a known word is aligned with none, one or two of its phones,
and an n-gram model of these pairs finds the likeliest pairs for the letters of a new word. Digits, letters and the known
parts of words such as TV-SET2 are joined; words without a vowel letter (LCD) are spelt.
"""

import math
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from hdnn_nnet.lang.ngram import BOS, EOS, BackoffModel, Ngram, kneser_ney

Pron = tuple[str, ...]

ORDER = 6  # 72 % of unseen words are right; one point less with 5, which takes 60 % of the memory
BEAM = 16  # 64 is no better
_ROUNDS, _SAMPLE = 4, 4  # alignments are learnt in so many rounds from one word of so many
_UNSEEN = 20.0  # cost of a pair of letter and phones that no alignment has yet
_NAMES = {
    **{"A": "EY", "B": "B IY", "C": "S IY", "D": "D IY", "E": "IY", "F": "EH F", "G": "JH IY", "H": "EY CH"},
    **{"I": "AY", "J": "JH EY", "K": "K EY", "L": "EH L", "M": "EH M", "N": "EH N", "O": "OW", "P": "P IY"},
    **{"Q": "K Y UW", "R": "AA R", "S": "EH S", "T": "T IY", "U": "Y UW", "V": "V IY", "W": "D AH B AH L Y UW"},
    **{"X": "EH K S", "Y": "W AY", "Z": "Z IY"},
    **{"0": "Z IH R OW", "1": "W AH N", "2": "T UW", "3": "TH R IY", "4": "F AO R", "5": "F AY V"},
    **{"6": "S IH K S", "7": "S EH V AH N", "8": "EY T", "9": "N AY N"},
}


@dataclass(frozen=True)
class JointModel:
    """Pairs of a letter and its phones (`X:K_S`), by letter, and their n-grams."""

    pairs: Mapping[str, Sequence[str]]
    ngrams: BackoffModel


def align(word: str, pron: Pron, cost: Mapping[tuple[str, Pron], float]) -> list[Pron] | None:
    """The cheapest split of `pron` into none to two phones for each letter; None where it has too many."""
    best = {0: (0.0, 0)}  # by the number of phones used so far: cost, and phones of the last letter
    steps = []
    for letter in word:
        longer: dict[int, tuple[float, int]] = {}
        for used, (so_far, _) in best.items():
            for count in range(min(2, len(pron) - used) + 1):
                total = so_far + cost.get((letter, pron[used : used + count]), _UNSEEN)
                if used + count not in longer or total < longer[used + count][0]:
                    longer[used + count] = (total, count)
        steps.append(best := longer)
    if len(pron) not in best:
        return None
    split: list[Pron] = []
    end = len(pron)
    for step in reversed(steps):
        start = end - step[end][1]
        split.append(pron[start:end])
        end = start
    return split[::-1]


def train(known: Mapping[str, Sequence[Pron]]) -> JointModel:
    """Learn from a dictionary: about 25 s and 0.8 GB for CMUdict."""
    # First pronunciations only: CMUdict has the usual one first, W before HH W.
    examples = [(word, known[word][0]) for word in sorted(known) if re.fullmatch("[A-Z']+", word)]
    sample = examples[::_SAMPLE]
    # To begin with, phones are spread evenly over the letters.
    counts = Counter(
        (letter, pron[i * len(pron) // len(word) : (i + 1) * len(pron) // len(word)])
        for word, pron in sample
        for i, letter in enumerate(word)
    )
    for _ in range(_ROUNDS):
        counts = Counter(pair for pairs in _aligned(sample, counts) for pair in pairs)
    sentences = [[f"{a}:{'_'.join(b)}" for a, b in pairs] for pairs in _aligned(examples, counts)]
    vocabulary = sorted({pair for sentence in sentences for pair in sentence})
    pairs: dict[str, list[str]] = {}
    for pair in vocabulary:
        pairs.setdefault(pair[0], []).append(pair)
    return JointModel(pairs, kneser_ney(sentences, ORDER, vocabulary))


def _aligned(
    examples: Iterable[tuple[str, Pron]], counts: Mapping[tuple[str, Pron], int]
) -> Iterable[list[tuple[str, Pron]]]:
    """Letters and their phones in every example that can be aligned."""
    letters: Counter[str] = Counter()
    for (letter, _), count in counts.items():
        letters[letter] += count
    cost = {pair: math.log(letters[pair[0]] / count) for pair, count in counts.items()}
    for word, pron in examples:
        split = align(word, pron, cost)
        if split:
            yield list(zip(word, split, strict=True))


def pronounce(word: str, model: JointModel) -> Pron:
    """The likeliest pronunciation of a word of letters and apostrophes; letters that the model lacks are passed over."""
    # The best path to each history that the next pair can still see.
    paths: dict[Ngram, tuple[float, Ngram]] = {(BOS,): (0.0, ())}
    for letter in word:
        longer: dict[Ngram, tuple[float, Ngram]] = {}
        for history, (score, path) in paths.items():
            for pair in model.pairs.get(letter, ()):
                total = score + model.ngrams.log_prob(history, pair)
                following = (*history, pair)[1 - ORDER :]
                if following not in longer or total > longer[following][0]:
                    longer[following] = (total, (*path, pair))
        paths = dict(sorted(longer.items(), key=lambda item: -item[1][0])[:BEAM]) or paths
    _, path = max((score + model.ngrams.log_prob(history, EOS), path) for history, (score, path) in paths.items())
    return tuple(phone for pair in path for phone in pair[2:].split("_") if phone)


def _spelt(word: str) -> Pron:
    return tuple(" ".join(_NAMES.get(letter, "") for letter in word).split())


_last: list[tuple[Mapping[str, Sequence[Pron]], JointModel]] = []  # the dictionary trained on last, and its model


def guess(word: str, known: Mapping[str, Sequence[Pron]]) -> Pron | None:
    """One pronunciation of an upper-case word, without stress; None where it has no letter or digit at all.

    Args:
        word: the word, upper case.
        known: pronunciations of known words. The first word that needs a model trains it on them; it serves as long as
            the same mapping is given.
    """
    if not re.search(r"[A-Z0-9]", word):
        return None
    parts = [part for part in re.split(r"(\d)|[^A-Z0-9']+", word) if part]
    if parts != [word]:
        prons = [known[part][0] if part in known else guess(part, known) or () for part in parts]
        return tuple(phone for pron in prons for phone in pron)
    if len(word.replace("'", "")) == 1 or not re.search("[AEIOUY]", word):
        return (*_spelt(word[:-2]), "Z") if word[1:].endswith("'S") else _spelt(word)
    if not _last or _last[0][0] is not known:
        _last[:] = [(known, train(known))]
    return pronounce(word, _last[0][1]) or _spelt(word)
