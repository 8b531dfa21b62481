"""Symbol tables (`words.txt`, `phones.txt`) and lists of integers (`*.int`, `*.csl`)."""

import os
import re
from collections.abc import Iterable, Mapping
from pathlib import Path

from hdnn_nnet.atomic import write_text
from hdnn_nnet.errors import HdnnError
from hdnn_nnet.kaldi.text_file import read_lines
from hdnn_nnet.text import to_int, words


class SymbolTable:
    """Symbols and their numbers, both ways, in the order of the file.

    Args:
        ids: symbol -> number.
    """

    def __init__(self, ids: Mapping[str, int]) -> None:
        self.ids = dict(ids)
        self.symbols = {number: symbol for symbol, number in self.ids.items()}
        if len(self.symbols) != len(self.ids):
            raise HdnnError("a symbol table gives the same number to two symbols")

    def __len__(self) -> int:
        return len(self.ids)

    def __contains__(self, symbol: str) -> bool:
        return symbol in self.ids

    def __getitem__(self, symbol: str) -> int:
        try:
            return self.ids[symbol]
        except KeyError as error:
            raise HdnnError(f"symbol {symbol!r} is not in the symbol table") from error

    def symbol(self, number: int) -> str:
        """The symbol of a number."""
        try:
            return self.symbols[number]
        except KeyError as error:
            raise HdnnError(f"number {number} is not in the symbol table") from error

    def names(self) -> list[str]:
        """Symbols by number, from 0; numbers without a symbol give an empty string."""
        return [self.symbols.get(number, "") for number in range(max(self.symbols, default=-1) + 1)]

    @classmethod
    def read(cls, path: str | os.PathLike[str]) -> "SymbolTable":
        """Read a symbol table.

        Raises:
            HdnnError: missing file, a line that is no `symbol number`, a symbol or number that occurs twice.
        """
        ids: dict[str, int] = {}
        seen: set[int] = set()
        for line_number, line in enumerate(read_lines(path), 1):
            if not (fields := words(line)):
                continue
            try:
                symbol, number = fields[0], to_int(fields[1])
                if len(fields) > 2:
                    raise ValueError("more than two words")
            except (IndexError, ValueError) as error:
                raise HdnnError(
                    f"{path}, line {line_number}: expected a symbol and a number, found {line[:60]!r} ({error})"
                ) from error
            if symbol in ids or number in seen:
                raise HdnnError(f"{path}, line {line_number}: {symbol!r} or {number} occurs twice")
            ids[symbol] = number
            seen.add(number)
        if not ids:
            raise HdnnError(f"{path} is empty; regenerate the lang directory")
        return cls(ids)

    def write(self, path: str | os.PathLike[str]) -> None:
        """Write the table atomically."""
        for symbol in self.ids:
            if not symbol or words(symbol) != [symbol]:
                raise HdnnError(f"{path}: symbol {symbol!r} is empty or holds white space")
        write_text(path, "".join(f"{symbol} {number}\n" for symbol, number in self.ids.items()))


def check_phones(lang: str | os.PathLike[str], model_dir: str | os.PathLike[str]) -> None:
    """Check that two directories number their phones alike (Kaldi's check_phones_compatible.sh).

    Disambiguation symbols may differ. A directory without phones.txt is not checked.

    Raises:
        HdnnError: the phone sets differ.
    """
    paths = [Path(directory) / "phones.txt" for directory in (lang, model_dir)]
    if not all(path.is_file() for path in paths):
        return
    phones = [
        {(phone, number) for phone, number in SymbolTable.read(path).ids.items() if not phone.startswith("#")}
        for path in paths
    ]
    if odd := phones[0] ^ phones[1]:
        raise HdnnError(
            f"{paths[0]} and {paths[1]} differ in {len(odd)} entries, such as {min(odd)[0]}; "
            "give the lang directory that the model was trained with"
        )


def check_words(one: str | os.PathLike[str], other: str | os.PathLike[str]) -> None:
    """Check that two directories number their words alike.

    Raises:
        HdnnError: they do not, or have no words.txt.
    """
    paths = [Path(directory) / "words.txt" for directory in (one, other)]
    words = [set(SymbolTable.read(path).ids.items()) for path in paths]
    if odd := words[0] ^ words[1]:
        raise HdnnError(
            f"{paths[0]} and {paths[1]} differ in {len(odd)} entries, such as {min(odd)[0]}; make both from one lang"
        )


def read_integer_lines(path: str | os.PathLike[str]) -> list[list[int]]:
    """Integers of each line (`sets.int`, `word_boundary.int`, `disambig.int`; `1:2:3` as in `.csl` also)."""
    rows = []
    for number, line in enumerate(read_lines(path), 1):
        try:
            row = [to_int(word) for word in words(line.replace(":", " "))]
        except ValueError as error:
            raise HdnnError(f"{path}, line {number}: expected integers, found {line[:60]!r} ({error})") from error
        if row:
            rows.append(row)
    return rows


def read_integers(path: str | os.PathLike[str]) -> list[int]:
    """All integers of a file (`disambig.int`, `silence.csl`, `oov.int`) in order."""
    return [number for row in read_integer_lines(path) for number in row]


def read_phone_list(text: str) -> list[int]:
    """Phones given as `1:2:3` (Kaldi's silence lists on command lines), or as a file of integers.

    Raises:
        HdnnError: neither.
    """
    try:
        return [to_int(word, least=0) for word in words(text.replace(":", " "))]
    except ValueError as error:
        if re.fullmatch(r"[\d:]+", text):
            raise HdnnError(f"phones {text}: {error}") from error
        return read_integers(text)


def write_integers(path: str | os.PathLike[str], numbers: Iterable[int]) -> None:
    """Write one integer a line."""
    write_text(path, "".join(f"{number}\n" for number in numbers))
