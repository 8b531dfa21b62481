"""Pronunciations of English words that no dictionary has: parts of known words first, spelling rules last.

Simple on purpose: a fallback for names, rare inflections and fragments of words, not a model. In the order tried:

1. `X'S`, `XS`, `XES`, `XED`, `XING`, `XIN'`, `X'D`, `X'LL`, ...: the stem's pronunciation and the suffix's, with
   English assimilation (S is S, Z or IH Z after the stem's last phone, D is D, T or IH D).
2. Words with `-` or digits and compounds of two known words of three letters or more (POWERPOINT), joined.
3. Words without a vowel letter (LCD, HTML) and words of one letter: names of the letters.
4. Longest-match spelling rules, read from left to right.
"""

import re
from collections.abc import Callable, Mapping, Sequence

Pron = tuple[str, ...]

_VOICELESS = {"P", "T", "K", "F", "TH"}
_SIBILANT = {"S", "Z", "SH", "ZH", "CH", "JH"}
_LETTERS = {
    **{"A": "EY", "B": "B IY", "C": "S IY", "D": "D IY", "E": "IY", "F": "EH F", "G": "JH IY", "H": "EY CH"},
    **{"I": "AY", "J": "JH EY", "K": "K EY", "L": "EH L", "M": "EH M", "N": "EH N", "O": "OW", "P": "P IY"},
    **{"Q": "K Y UW", "R": "AA R", "S": "EH S", "T": "T IY", "U": "Y UW", "V": "V IY", "W": "D AH B AH L Y UW"},
    **{"X": "EH K S", "Y": "W AY", "Z": "Z IY"},
    **{"0": "Z IH R OW", "1": "W AH N", "2": "T UW", "3": "TH R IY", "4": "F AO R", "5": "F AY V"},
    **{"6": "S IH K S", "7": "S EH V AH N", "8": "EY T", "9": "N AY N"},
}
_CONTRACTIONS = {"'LL": "AH L", "'VE": "V", "'RE": "ER", "'M": "M", "N'T": "AH N T"}
# Spelling to phones; the longest that fits wins. `^` and `$` are the word's ends, V and C any vowel or consonant
# letter looked at but not consumed (only at the end of a pattern).
_RULES = {
    **{"A": "AE", "AI": "EY", "AY": "EY", "AU": "AO", "AW": "AO", "AR": "AA R", "AIR": "EH R", "ARE$": "EH R"},
    **{"ALL": "AO L", "ALK": "AO K", "A$": "AH", "AGE$": "IH JH", "ATE$": "EY T", "ATION": "EY SH AH N"},
    **{"B": "B", "BB": "B", "MB$": "M", "C": "K", "CC": "K", "CE": "S EH", "CE$": "S", "CI": "S IH", "CY": "S IY"},
    **{"CH": "CH", "CK": "K", "CIAN": "SH AH N", "CIOUS": "SH AH S", "D": "D", "DD": "D", "DGE": "JH"},
    **{"E": "EH", "E$": "", "EA": "IY", "EAR": "IH R", "EE": "IY", "EER": "IH R", "EI": "EY", "EIGH": "EY", "ER": "ER"},
    **{"ERE$": "IH R", "EU": "Y UW", "EW": "UW", "EY$": "IY", "EAU": "OW", "ED$": "D", "EL$": "AH L", "EN$": "AH N"},
    **{"F": "F", "FF": "F", "G": "G", "GG": "G", "GE": "JH EH", "GE$": "JH", "GI": "JH IH", "GH": "G", "GN$": "N"},
    **{"^GN": "N", "^GH": "G", "GHT": "T", "H": "HH", "I": "IH", "IE": "IY", "IE$": "IY", "IGH": "AY", "IR": "ER"},
    **{"IC$": "IH K", "IND$": "AY N D", "IA$": "IY AH", "IO$": "IY OW", "I$": "IY", "ING$": "IH NG", "IVE$": "IH V"},
    **{
        "J": "JH",
        "K": "K",
        "KK": "K",
        "^KN": "N",
        "L": "L",
        "LL": "L",
        "LE$": "AH L",
        "M": "M",
        "MM": "M",
        "^MC": "M AH K",
    },
    **{"N": "N", "NN": "N", "NG": "NG G", "NG$": "NG", "NK": "NG K", "O": "AA", "O$": "OW", "OA": "OW", "OI": "OY"},
    **{
        "OO": "UW",
        "OOK": "UH K",
        "OR": "AO R",
        "ORE$": "AO R",
        "OU": "AW",
        "OUS$": "AH S",
        "OUGH": "AO",
        "OULD": "UH D",
    },
    **{
        "OW": "OW",
        "OW$": "OW",
        "OY": "OY",
        "OL$": "AH L",
        "ON$": "AH N",
        "OLD": "OW L D",
        "OUR": "AO R",
        "^WOR": "W ER",
    },
    **{"P": "P", "PP": "P", "PH": "F", "^PS": "S", "Q": "K", "QU": "K W", "QUE$": "K", "R": "R", "RR": "R", "^RH": "R"},
    **{
        "S": "S",
        "SS": "S",
        "SH": "SH",
        "SCH": "SH",
        "SCI": "S AY",
        "SION": "ZH AH N",
        "SSION": "SH AH N",
        "SM$": "Z AH M",
    },
    **{
        "SURE": "ZH ER",
        "T": "T",
        "TT": "T",
        "TH": "TH",
        "TCH": "CH",
        "TION": "SH AH N",
        "TURE": "CH ER",
        "TIOUS": "SH AH S",
    },
    **{"U": "AH", "UE$": "UW", "UI": "UW", "UR": "ER", "URE$": "Y ER", "UL$": "AH L", "U$": "UW", "V": "V", "W": "W"},
    **{"WH": "W", "WA": "W AA", "^WR": "R", "X": "K S", "^X": "Z", "Y": "IH", "^Y": "Y", "Y$": "IY", "YOU": "Y UW"},
    **{"Z": "Z", "ZZ": "Z", "'": "", "É": "EY"},
}
_LONGEST = max(len(pattern) for pattern in _RULES)
_MAGIC_E = {"A": "EY", "E": "IY", "I": "AY", "O": "OW", "U": "UW"}


def letter_names(word: str) -> Pron:
    """`LCD` letter by letter; characters without a name are passed over."""
    return tuple(" ".join(_LETTERS[c] for c in word if c in _LETTERS).split())


def spell_out(word: str) -> Pron:
    """Pronunciation by the spelling rules alone; names of the letters where no rule yields a phone."""
    text = f"^{word}$"
    phones: list[str] = []
    position = 1
    while position < len(text) - 1:
        letter = text[position]
        # A single vowel before one consonant and a final E is long: MAKE, HOPE.
        if letter in _MAGIC_E and re.match(r"[BCDFGKLMNPTVZS]E\$", text[position + 1 :]):
            phones.append(_MAGIC_E[letter])
            position += 1
            continue
        for length in range(min(_LONGEST, len(text) - position), 0, -1):
            at_start = text[: position + length] if position == 1 else ""
            piece = text[position : position + length]
            rule = _RULES.get(at_start) if at_start in _RULES else _RULES.get(piece)
            if rule is not None:
                phones += rule.split()
                position += length
                break
        else:
            phones += _LETTERS.get(letter, "").split()
            position += 1
    return tuple(phones) or letter_names(word)


def _plural(stem: Pron) -> Pron:
    if stem[-1] in _SIBILANT:
        return (*stem, "IH", "Z")
    return (*stem, "S" if stem[-1] in _VOICELESS else "Z")


def _past(stem: Pron) -> Pron:
    if stem[-1] in ("T", "D"):
        return (*stem, "IH", "D")
    return (*stem, "T" if stem[-1] in _VOICELESS | _SIBILANT - {"Z", "ZH", "JH"} else "D")


_SUFFIXES: tuple[tuple[str, Callable[[Pron], Pron]], ...] = (
    ("'S", _plural),
    ("S'", _plural),
    ("ES", _plural),
    ("S", _plural),
    ("'D", _past),
    ("ED", _past),
    ("ING", lambda stem: (*stem, "IH", "NG")),
    ("IN'", lambda stem: (*stem, "IH", "N")),
    ("ER", lambda stem: (*stem, "ER")),
    ("LY", lambda stem: (*stem, "L", "IY")),
    ("NESS", lambda stem: (*stem, "N", "AH", "S")),
    ("ISH", lambda stem: (*stem, "IH", "SH")),
    ("Y", lambda stem: (*stem, "IY")),
)


def guess(word: str, known: Mapping[str, Sequence[Pron]]) -> Pron | None:
    """One pronunciation of an upper-case word, without stress; None where it has no letter or digit at all.

    Args:
        word: the word, upper case.
        known: pronunciations of known words, to build on.
    """
    if not re.search(r"[A-Z0-9]", word):
        return None
    for suffix, phones in _CONTRACTIONS.items():
        if word.endswith(suffix) and word[: -len(suffix)] in known:
            return (*known[word[: -len(suffix)]][0], *phones.split())
    for suffix, add in _SUFFIXES:
        stem = word.removesuffix(suffix)
        if stem == word or len(stem) < 2:
            continue
        # LOGGED is LOG, MAKING is MAKE.
        candidates = [stem]
        if suffix in ("ED", "ING", "ER", "IN'", "ISH", "Y"):
            candidates += [stem + "E", stem[:-1]] if stem[-1] == stem[-2] else [stem + "E"]
        for candidate in candidates:
            if candidate in known:
                return add(known[candidate][0])
    parts = [part for part in re.split(r"(\d)|[^A-Z0-9']+", word) if part]
    if len(parts) > 1:
        prons = [known[part][0] if part in known else guess(part, known) or () for part in parts]
        return tuple(phone for pron in prons for phone in pron)
    for cut in sorted(range(3, len(word) - 2), key=lambda cut: abs(2 * cut - len(word))):
        if word[:cut] in known and word[cut:] in known:
            return (*known[word[:cut]][0], *known[word[cut:]][0])
    letters = word.replace("'", "")
    if len(letters) == 1 or not re.search("[AEIOUY]", letters):
        return letter_names(letters)
    return spell_out(word)
