"""Transcripts as the word numbers of a lang directory."""

from pathlib import Path

from hdnn_nnet.errors import HdnnError
from hdnn_nnet.kaldi.script_table import read_scp
from hdnn_nnet.kaldi.symbols import SymbolTable, read_integers
from hdnn_nnet.text import words


class Transcripts:
    """Words of a lang directory: text to word numbers, unknown words to the one in oov.int.

    Attributes:
        oov: number of the word that stands for unknown ones.
        unknown: how many words of the texts so far were mapped to it, or were it.
    """

    def __init__(self, lang: Path) -> None:
        self.words = SymbolTable.read(lang / "words.txt")
        oov = read_integers(lang / "oov.int")
        if len(oov) != 1:
            raise HdnnError(f"{lang}/oov.int must hold one number; regenerate the lang directory")
        self.oov = oov[0]
        self.unknown = 0

    def numbers(self, text: str) -> list[int]:
        """Word numbers of a line of text; counts unknown words in `unknown`."""
        numbers = [self.words.ids.get(word, self.oov) for word in words(text)]
        self.unknown += numbers.count(self.oov)
        return numbers


def read_transcripts(data_dir: Path) -> dict[str, str]:
    """`text` of a data directory; an utterance without words is kept (it aligns to silence)."""
    return read_scp(data_dir / "text")
