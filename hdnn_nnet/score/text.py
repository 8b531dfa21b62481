"""Reference and hypothesis texts: reading, writing, and the words that scoring leaves out."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from hdnn_nnet.atomic import write_text
from hdnn_nnet.errors import HdnnError
from hdnn_nnet.kaldi.script_table import read_scp


def read_text(path: str | os.PathLike[str]) -> dict[str, list[str]]:
    """A Kaldi `text` file: utterance to its words."""
    return {key: words.split() for key, words in read_scp(path).items()}


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
        try:
            lines = Path(path).read_text(encoding="utf-8").splitlines()
        except OSError as error:
            raise HdnnError(f"cannot read the word filter {path}: {error.strerror}") from error
        rules: dict[str, list[str]] = {}
        for number, line in enumerate(lines, 1):
            words = line.split()
            if not words or line.startswith("#"):
                continue
            if words[0] in rules:
                raise HdnnError(f"{path}, line {number}: a second rule for {words[0]}; remove one")
            rules[words[0]] = words[1:]
        return cls(rules)

    def __call__(self, words: Sequence[str]) -> list[str]:
        if not self.rules:
            return list(words)
        return [other for word in words for other in self.rules.get(word, [word])]
