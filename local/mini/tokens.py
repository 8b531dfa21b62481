"""Sentences as AMI transcribes them: words, punctuation, truncations, vocal sounds, disfluency markers."""

import random
from dataclasses import dataclass

from .config import Speech

PUNCTUATION = {".", ",", "?"}

# What the synthesiser reads where it would get the spelling wrong (espeak phoneme mnemonics in double brackets).
SPOKEN = {"mm-hmm": "[[m'mhm]]", "uh-huh": "[['Vh'V]]", "i": "I"}
VOCAL_SOUNDS = {"laugh", "cough", "other"}

# Words that get cut short: what is written (a word of CMUdict with about that sound) and how many phonemes are heard.
TRUNCATIONS = {
    "battery": ("bat", 3),
    "because": ("be", 2),
    "button": ("but", 3),
    "buttons": ("but", 3),
    "channel": ("chan", 3),
    "company": ("come", 3),
    "control": ("con", 3),
    "decide": ("de", 2),
    "design": ("de", 2),
    "function": ("fun", 3),
    "functions": ("fun", 3),
    "important": ("im", 2),
    "interesting": ("in", 2),
    "international": ("in", 2),
    "maybe": ("may", 2),
    "meeting": ("me", 2),
    "menu": ("men", 3),
    "money": ("mon", 3),
    "number": ("numb", 3),
    "people": ("pee", 2),
    "presentation": ("pres", 4),
    "project": ("pro", 3),
    "really": ("re", 2),
    "remote": ("re", 2),
    "simple": ("sim", 3),
    "television": ("tell", 3),
    "think": ("thin", 3),
    "titanium": ("tie", 2),
    "user": ("you", 2),
    "users": ("you", 2),
}
# Short words that speakers repeat while they search for the next one.
REPEATED = {"the", "a", "i", "we", "it", "to", "of", "and", "you", "is", "in", "for", "that", "on", "they"}
FILLERS = ("um", "uh")


@dataclass(frozen=True)
class Token:
    """One element of a words file: `kind` is w, punc, trunc, vocalsound or disfmarker."""

    kind: str
    text: str = ""
    spoken: str = ""  # what the synthesiser reads
    phonemes: int = 0  # of a truncated word: how many are heard


def spoken_form(word: str) -> str:
    """What the synthesiser reads for a word of the grammar."""
    if word.endswith("_"):
        return word.replace("_", " ").strip()  # T_V_ -> T V
    return SPOKEN.get(word.lower(), word)


def disfluent(words: list[str], rng: random.Random, speech: Speech) -> list[Token]:
    """Turn the terminals of a sentence into tokens; add fillers, repetitions and truncated words at random."""
    filler_at = rng.randrange(1, len(words)) if len(words) > 4 and rng.random() < speech.filler else -1
    repeat = rng.random() < speech.repetition
    truncate = rng.random() < speech.truncation
    tokens: list[Token] = []
    for position, word in enumerate(words):
        if word in PUNCTUATION:
            tokens.append(Token("punc", word))
            continue
        if word.startswith("{"):
            tokens.append(Token("vocalsound", word.strip("{}")))
            continue
        if position == filler_at and words[position - 1] not in PUNCTUATION:
            filler = rng.choice(FILLERS)
            tokens.append(Token("w", filler, filler))
        if repeat and position and word.lower() in REPEATED and words[position - 1] not in PUNCTUATION:
            tokens += [Token("w", word, spoken_form(word)), Token("disfmarker")]
            repeat = False
        elif truncate and position and word.lower() in TRUNCATIONS:
            fragment, phonemes = TRUNCATIONS[word.lower()]
            tokens += [Token("trunc", fragment, word, phonemes), Token("disfmarker")]
            truncate = False
        tokens.append(Token("w", word, spoken_form(word)))
    return _capitalised(tokens)


def _capitalised(tokens: list[Token]) -> list[Token]:
    for i, token in enumerate(tokens):
        if token.kind in ("w", "trunc"):
            tokens[i] = Token(token.kind, token.text[0].upper() + token.text[1:], token.spoken, token.phonemes)
            break
    return tokens
