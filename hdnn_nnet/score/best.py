"""The `wer_N_P` files of a decode directory: reading them and choosing among them."""

import os
import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from hdnn_nnet.errors import HdnnError
from hdnn_nnet.kaldi.text_file import read_lines

_NAME = re.compile(r"^wer_(\d+)_([+-]?[0-9.]+(?:[eE][+-]?\d+)?)$")
_LINE = re.compile(r"%WER\s+(\S+)\s+\[\s*(\d+)\s*/\s*(\d+),")


@dataclass(frozen=True)
class WerFile:
    """One scored combination."""

    path: Path
    lmwt: int
    penalty: str
    wer: float
    errors: int
    words: int
    line: str


def read_wer_file(path: Path) -> WerFile:
    """Read one `wer_N_P`.

    Raises:
        HdnnError: the file is missing or holds no WER, or its name has another form.
    """
    name = _NAME.match(path.name)
    if not name:
        raise HdnnError(f"{path}: expected a name such as wer_10_0.5")
    if not path.exists():
        raise HdnnError(f"{path} does not exist; score again")
    for line in read_lines(path):
        found = _LINE.search(line)
        if found:
            wer, errors, words = float(found.group(1)), int(found.group(2)), int(found.group(3))
            return WerFile(path, int(name.group(1)), name.group(2), wer, errors, words, line.strip())
    raise HdnnError(f"{path} holds no line with %WER; score again")


def read_wer_files(directory: str | os.PathLike[str]) -> list[WerFile]:
    """All `wer_N_P` of a directory, by penalty, then by weight.

    Raises:
        HdnnError: there is none.
    """
    found = [read_wer_file(path) for path in Path(directory).glob("wer_*") if _NAME.match(path.name)]
    if not found:
        raise HdnnError(f"{directory} holds no wer_N_P; score it first")
    return sorted(found, key=lambda item: (float(item.penalty), item.lmwt))


def best(files: list[WerFile]) -> WerFile:
    """The lowest WER; of equal ones the lowest penalty, then the lowest weight, as Kaldi's best_wer.sh."""
    return min(files, key=lambda item: (item.wer, float(item.penalty), item.lmwt))


def choose(files: list[WerFile], smooth: int = 0) -> WerFile:
    """`best`, or with `smooth` n the one with the lowest mean over its own WER and those of n LM weights on both sides.

    A lucky weight between bad neighbours then does not win. Beyond the edge the last weight counts again, so that fewer
    neighbours are no advantage.
    """
    if not smooth:
        return best(files)
    wers = {(item.penalty, item.lmwt): item.wer for item in files}

    def mean(item: WerFile) -> float:
        weights = [weight for penalty, weight in wers if penalty == item.penalty]
        near = np.clip(np.arange(item.lmwt - smooth, item.lmwt + smooth + 1), min(weights), max(weights)).tolist()
        values = [wers[item.penalty, weight] for weight in near if weight in weights]
        return round(sum(values) / len(values), 9)

    return min(files, key=lambda item: (mean(item), float(item.penalty), item.lmwt))
