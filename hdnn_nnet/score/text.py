"""Reference and hypothesis texts: reading, writing, and the words that scoring leaves out."""

import os
from collections.abc import Mapping, Sequence

from hdnn_nnet.atomic import write_text
from hdnn_nnet.errors import HdnnError
from hdnn_nnet.kaldi.script_table import read_scp
from hdnn_nnet.kaldi.text_file import read_lines
from hdnn_nnet.text import first_word, words


def read_text(path: str | os.PathLike[str]) -> dict[str, list[str]]:
    """A Kaldi `text` file: utterance to its words."""
    return {key: words(line) for key, line in read_scp(path).items()}


def write_hypotheses(path: str | os.PathLike[str], text: Mapping[str, Sequence[str]]) -> None:
    """Write a Kaldi `text` file, atomically."""
    write_text(path, "".join(" ".join([key, *words]) + "\n" for key, words in text.items()))


class WordFilter:
    """Rewrites words before they are compared.

    The file has one rule a line: a word alone is left out, a word and others are replaced by these; `#` at the begin of
    a line makes it a comment. Rules apply to references and hypotheses alike, once each, and heed case.
    """

    def __init__(self, rules: Mapping[str, Sequence[str]] | None = None) -> None:
        self.rules = {word: list(others) for word, others in (rules or {}).items()}

    @classmethod
    def read(cls, path: str | os.PathLike[str]) -> "WordFilter":
        """Read the rules.

        Raises:
            HdnnError: missing file, or two rules for a word.
        """
        rules: dict[str, list[str]] = {}
        for number, line in enumerate(read_lines(path), 1):
            word, others = first_word(line)
            if not word or line.startswith("#"):
                continue
            if word in rules:
                raise HdnnError(f"{path}, line {number}: a second rule for {word}; remove one")
            rules[word] = words(others)
        return cls(rules)

    def __call__(self, words: Sequence[str]) -> list[str]:
        if not self.rules:
            return list(words)
        return [other for word in words for other in self.rules.get(word, [word])]
