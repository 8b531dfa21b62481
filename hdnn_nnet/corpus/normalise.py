"""The one rule by which transcripts become words, with counts of what it changed.

1. Unicode NFKC; typographic apostrophes become `'`; what has no width (soft hyphens, joiners) goes.
2. What stands in `[ ]`, `< >` or `{ }` is a mark of the transcriber and goes.
3. Digits, and signs that are read aloud (`& % $ ...`), have no one reading: they are refused, or numbers are spelled out by
   num2words where they stand for themselves (not in 1/2, 90s, 3-5, 007 or the like).
4. Letters become capitals. An apostrophe stays between two letters; everything else that is no letter (hyphens, punctuation)
   separates words.
"""

import re
import sys
import unicodedata
from collections import Counter
from typing import Any

from hdnn_nnet.errors import HdnnError

_APOSTROPHES = str.maketrans(dict.fromkeys("’‘ʼ`´＇", "'"))
_MARK = re.compile(r"\[[^][]*\]|<[^<>]*>|\{[^{}]*\}")
_READ_ALOUD = re.compile(r"[\d&%$€£¥+=@#°§½¼¾×÷]")
_NUMBER = re.compile(r"(\d+(?:[.,]\d+)*)((?:st|nd|rd|th)\b)?", re.IGNORECASE)
#: what cannot be seen: soft hyphen, joiners, marks of direction, variation selectors; a space of no width does separate
_UNSEEN = re.compile(
    "[\u00ad\u034f\u061c\u180e\u200c-\u200f\u202a-\u202e\u2060-\u2064\u2066-\u2069\ufe00-\ufe0f\ufeff]"
)
_JOINED = "/⁄-‐‑–—−"
_LETTER = r"[^\W\d_]"
#: combining marks (Devanagari's vowels, say) belong to the letter before them, though \w does not say so
_MARKS = "".join(sign for sign in map(chr, range(0x12000)) if unicodedata.category(sign) in ("Mn", "Mc"))
_WORD = re.compile(rf"{_LETTER}(?:[{_MARKS}]|'(?={_LETTER})|{_LETTER})*")


class NotPlain(Exception):
    """A text with digits or signs that may not be there; the first of them is the message."""


def _is_raised(sign: str) -> bool:
    """Whether it is a digit or fraction that is another number without its form: 5², ½."""
    return unicodedata.decomposition(sign).startswith(("<super>", "<sub>", "<fraction>")) and sign.isnumeric()


class Normaliser:
    """Applies the rule and counts.

    Args:
        digits: `refuse`, or `spell` (with num2words, which must be installed).
        language: of num2words, such as `en`.

    Attributes:
        counts: texts changed, by kind of change.

    Raises:
        HdnnError: num2words is not there, or does not know the language.
    """

    def __init__(self, digits: str = "refuse", language: str = "en") -> None:
        self.counts: Counter[str] = Counter()
        self.language = language
        self._spell: Any = _num2words(language) if digits == "spell" else None

    def __call__(self, text: str) -> str:
        """Words with blanks between; empty where none is left.

        Raises:
            NotPlain: digits or signs that are refused.
        """
        seen = _UNSEEN.sub("", text)
        if self._spell and (raised := next(filter(_is_raised, seen), "")):
            raise NotPlain(raised)
        plain = unicodedata.normalize("NFKC", seen).translate(_APOSTROPHES)
        unmarked = _MARK.sub(" ", plain)
        spelled = _NUMBER.sub(self._spelled, unmarked) if self._spell else unmarked
        if found := _READ_ALOUD.search(spelled):
            raise NotPlain(found.group())
        upper = spelled.upper()
        words = _WORD.findall(unicodedata.normalize("NFKC", upper))
        self.counts["texts"] += 1
        self.counts["texts with marks left out"] += unmarked != plain
        self.counts["texts with digits spelled out"] += spelled != unmarked
        self.counts["texts in other than capitals"] += upper != spelled
        self.counts["texts with hyphens taken apart"] += bool(re.search(rf"{_LETTER}[-‐‑–—]+{_LETTER}", upper))
        self.counts["texts with punctuation left out"] += bool(re.search(r"[^\w\s'‐‑–—-]", upper))
        return " ".join(words)

    def _spelled(self, match: re.Match[str]) -> str:
        """A number in words; as it is, and refused then, where it is part of something that is read some other way."""
        number, ordinal = match.groups()
        english = self.language.startswith("en")
        before, after = match.string[: match.start()], match.string[match.end() :]
        joined = before[-1:] in _JOINED and before and not before[-2:-1].isalpha()  # -5, 3-5, 1/2; but COVID-19
        joined = joined or (after[:1] in _JOINED and after[1:2].isdigit())
        unit = after[:1].isalpha() or (ordinal and not english)  # 90s, 5kg
        # 1,000 is a thousand in English, a comma before one, two or more than three digits is none; elsewhere it is one here.
        thousands = re.fullmatch(r"\d{1,3}([.,]\d{3})+", number)
        if thousands and english and "." not in number:
            thousands, number = None, number.replace(",", "")
        unclear = (thousands and not (english and number.count(".") == 1)) or re.search(
            r"^0\d|\.\d*0$", number
        )  # 007, 2.50
        if joined or unit or unclear:
            return match.group()
        try:
            return f" {self._spell(number, lang=self.language, to='ordinal' if ordinal else 'cardinal')} "
        except (ValueError, ArithmeticError, TypeError):
            return match.group()  # such as 1.2.3

    def report(self) -> str:
        """One line: what was changed."""
        changes = [f"{count} {kind}" for kind, count in sorted(self.counts.items()) if kind != "texts" and count]
        return f"{self.counts['texts']} texts normalised: " + (", ".join(changes) or "nothing changed")


def _num2words(language: str) -> Any:
    try:
        import num2words
    except ImportError as error:
        raise HdnnError(
            f"--digits spell needs the library num2words; {sys.executable} -m pip install num2words"
        ) from error
    if language not in num2words.CONVERTER_CLASSES:
        raise HdnnError(f"--language {language}: num2words does not know it; give one such as en, de, fr, es")
    return num2words.num2words
