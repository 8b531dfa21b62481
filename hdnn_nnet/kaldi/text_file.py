"""Lines of any extended file name (file, `.gz`, `-`, `command |`): the one door for text from outside."""

import os
from collections.abc import Iterator

from hdnn_nnet.errors import HdnnError
from hdnn_nnet.kaldi.rxfile import open_input
from hdnn_nnet.text import decode_lines, to_int


def read_lines(path: str | os.PathLike[str]) -> Iterator[str]:
    """Yield the lines, without their ends.

    Raises:
        HdnnError: a file that is missing or damaged, or not UTF-8; the message names it.
    """
    try:
        with open_input(path) as source:
            yield from decode_lines(source, path)
    except HdnnError as error:
        if isinstance(error.__cause__, FileNotFoundError):
            raise HdnnError(f"{path} does not exist") from error
        raise


def read_word(path: str | os.PathLike[str]) -> str:
    """The text of a file that holds one line (`cmvn_opts`, `num_jobs`), without outer blanks."""
    return " ".join(read_lines(path)).strip()


def read_num_jobs(directory: str | os.PathLike[str], remedy: str) -> int:
    """The number in the `num_jobs` of a directory, 1 or more.

    Raises:
        HdnnError: no such file, or one that holds something else; it ends with the `remedy`.
    """
    path = os.path.join(directory, "num_jobs")
    try:
        return to_int(read_word(path), least=1)
    except ValueError as error:
        raise HdnnError(f"{path} holds no number of jobs ({error}); {remedy}") from error
