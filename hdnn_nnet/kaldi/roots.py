"""Roots of a decision tree (`roots.int`): which phones share a tree, and whether it may be split."""

import os
from dataclasses import dataclass

from hdnn_nnet.errors import HdnnError
from hdnn_nnet.kaldi.text_file import read_lines
from hdnn_nnet.text import to_int, words


@dataclass(frozen=True)
class Root:
    """A line of the file.

    Attributes:
        phones: sorted.
        shared: the phones' states share one root, else each pdf-class has its own.
        split: the tree may ask questions below the root.
    """

    phones: tuple[int, ...]
    shared: bool
    split: bool


def read_roots(path: str | os.PathLike[str]) -> list[Root]:
    """Read lines such as `shared split 11 12 13`.

    Raises:
        HdnnError: a line of another form, a phone that stands twice, or an empty file.
    """
    roots = []
    seen: set[int] = set()
    for number, line in enumerate(read_lines(path), 1):
        fields = words(line)
        try:
            phones = tuple(sorted(to_int(word) for word in fields[2:]))
        except ValueError:
            phones = ()
        if not (
            phones and phones[0] > 0 and fields[0] in ("shared", "not-shared") and fields[1] in ("split", "not-split")
        ):
            raise HdnnError(f"{path}, line {number}: expected shared|not-shared split|not-split <phones>, found {line}")
        again = sorted(seen.intersection(phones)) or [a for a in set(phones) if phones.count(a) > 1]
        if again:
            raise HdnnError(f"{path}, line {number}: phone {again[0]} has a root already")
        seen.update(phones)
        roots.append(Root(phones, fields[0] == "shared", fields[1] == "split"))
    if not roots:
        raise HdnnError(f"{path} is empty; make the lang directory again")
    return roots
