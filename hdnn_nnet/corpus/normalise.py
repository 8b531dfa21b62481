"""The one rule by which transcripts become words, with counts of what it changed.

1. Unicode NFKC; typographic apostrophes become `'`.
2. What stands in `[ ]`, `< >` or `{ }` is a mark of the transcriber and goes.
3. Digits, and signs that are read aloud (`& % $ ...`), have no one reading: they are refused, or spelled out by num2words.
4. Letters become capitals. An apostrophe stays between two letters; everything else that is no letter (hyphens, punctuation)
   separates words.
"""

import re
import unicodedata
from collections import Counter
from typing import Any

from hdnn_nnet.errors import HdnnError

_APOSTROPHES = str.maketrans(dict.fromkeys("’‘ʼ`´＇", "'"))
_MARK = re.compile(r"\[[^][]*\]|<[^<>]*>|\{[^{}]*\}")
_READ_ALOUD = re.compile(r"[\d&%$€£¥+=@#°§½¼¾×÷]")
_NUMBER = re.compile(r"\d+(?:[.,]\d+)*")
_LETTER = r"[^\W\d_]"
# A combining mark (Devanagari's vowels, say) belongs to the letter before it, though \w does not say so.
_WORD = re.compile(rf"{_LETTER}(?:[\u0300-\u036f\u0900-\u0dff\u0e31-\u0e4e]|'(?={_LETTER})|{_LETTER})*")


class NotPlain(Exception):
    """A text with digits or signs that may not be there; the first of them is the message."""


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
        plain = unicodedata.normalize("NFKC", text).translate(_APOSTROPHES)
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
        number = match.group()
        # 1,000 is a thousand in English; a comma before one, two or more than three digits is not.
        if re.fullmatch(r"\d{1,3}(,\d{3})+", number):
            number = number.replace(",", "")
        try:
            return f" {self._spell(number, lang=self.language)} "
        except (ValueError, ArithmeticError):
            return match.group()  # such as 1.2.3; it is refused then

    def report(self) -> str:
        """One line: what was changed."""
        changes = [f"{count} {kind}" for kind, count in sorted(self.counts.items()) if kind != "texts" and count]
        return f"{self.counts['texts']} texts normalised: " + (", ".join(changes) or "nothing changed")


def _num2words(language: str) -> Any:
    try:
        import num2words
    except ImportError as error:
        raise HdnnError("--digits spell needs the library num2words; pip install num2words") from error
    if language not in num2words.CONVERTER_CLASSES:
        raise HdnnError(f"--language {language}: num2words does not know it; give one such as en, de, fr, es")
    return num2words.num2words
