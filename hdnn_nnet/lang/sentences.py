"""Sentences of a text: Kaldi's `text` (its first column is dropped) if the file is named so, else one a line, `.gz` or not."""

from collections.abc import Iterator
from pathlib import Path

from hdnn_nnet.kaldi.text_file import read_lines
from hdnn_nnet.text import words

#: files whose lines begin with an utterance id
WITH_IDS = ("text", "text.gz")


def read_sentences(path: Path) -> Iterator[list[str]]:
    """Words of each line that has any.

    Raises:
        HdnnError: a file that cannot be read.
    """
    first = 1 if path.name in WITH_IDS else 0
    for line in read_lines(path):
        if sentence := words(line)[first:]:
            yield sentence
