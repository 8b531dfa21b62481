"""Text from outside, as Kaldi's programs read it: only a line feed ends a line, only ASCII blanks separate words.

Python's own `splitlines` and `split` also break at U+2028, U+0085, no-break spaces and others, which belong to words of a
transcript. `\\r` before the line feed and a byte-order mark at the begin are dropped.
"""

import math
import os
import re
from collections.abc import Iterable, Iterator
from pathlib import Path

from hdnn_nnet.errors import HdnnError

#: what separates words within a line (SplitStringOnFirstSpace and SplitStringToVector of Kaldi's util/text-utils.cc)
BLANKS = " \t\r\f\v"
INT32 = (-(1 << 31), (1 << 31) - 1)

_WORD = re.compile(f"[^{BLANKS}\n]+")
_INTEGER = re.compile(r"[+-]?\d+", re.ASCII)
_REAL = re.compile(r"[+-]?(?:\d+\.?\d*|\.\d+)(?:e[+-]?\d+)?|[+-]?(?:inf(?:inity)?|nan)", re.ASCII | re.IGNORECASE)
_BOM = b"\xef\xbb\xbf"
_MOST_DIGITS = 40


def words(line: str) -> list[str]:
    """The words of a line."""
    return _WORD.findall(line)


def first_word(line: str) -> tuple[str, str]:
    """The first word of a line and the rest without outer blanks; both empty in an empty line."""
    match = _WORD.search(line)
    return (match.group(), line[match.end() :].strip(BLANKS)) if match else ("", "")


def decode_lines(lines: Iterable[bytes], where: str | os.PathLike[str]) -> Iterator[str]:
    """Lines of UTF-8 as text, without their ends.

    Args:
        lines: as a binary file gives them.
        where: the file's name in errors.

    Raises:
        HdnnError: bytes that are not UTF-8; file and line are named.
    """
    for number, line in enumerate(lines, 1):
        if number == 1:
            line = line.removeprefix(_BOM)
        try:
            yield line.decode("utf-8").removesuffix("\n").removesuffix("\r")
        except UnicodeDecodeError as error:
            kind = (
                "UTF-16"
                if number == 1 and line[:2] in (b"\xff\xfe", b"\xfe\xff")
                else f"byte {error.object[error.start]:#x}"
            )
            raise HdnnError(f"{where}, line {number}: not UTF-8 ({kind}); convert the file with iconv") from error


def split_lines(data: bytes, where: str | os.PathLike[str]) -> list[str]:
    """The lines of a whole text; the last one need not have an end."""
    pieces = data.split(b"\n")
    return list(decode_lines(pieces if pieces[-1] else pieces[:-1], where))


def read_plain(path: str | os.PathLike[str]) -> list[str]:
    """The lines of a plain file (`hdnn_nnet.kaldi.text_file` also reads pipes and `.gz`).

    Raises:
        HdnnError: a file that cannot be read, or that is not UTF-8.
    """
    try:
        data = Path(path).read_bytes()
    except FileNotFoundError as error:
        raise HdnnError(f"{path} does not exist") from error
    except OSError as error:
        raise HdnnError(f"cannot read {path}: {error.strerror}") from error
    return split_lines(data, path)


def to_int(word: str, least: int = INT32[0], most: int = INT32[1]) -> int:
    """A decimal integer; by default of 32 bits, as Kaldi's are.

    Raises:
        ValueError: something else (Python's `int` also takes `1_000` and digits of other scripts), or out of range.
    """
    if not _INTEGER.fullmatch(word) or len(word) > _MOST_DIGITS:
        raise ValueError(f"no integer: {word[:40]!r}")
    value = int(word)
    if not least <= value <= most:
        raise ValueError(f"{value} is not between {least} and {most}")
    return value


def to_float(word: str, finite: bool = True) -> float:
    """A decimal number.

    Raises:
        ValueError: something else, or NaN or infinity unless `finite` is false.
    """
    if not _REAL.fullmatch(word):
        raise ValueError(f"no number: {word[:40]!r}")
    value = float(word)
    if finite and not math.isfinite(value):
        raise ValueError(f"{word[:40]} is not finite")
    return value


def one_line(error: object) -> str:
    """A message of another library on one line."""
    return " ".join(str(error).split())
