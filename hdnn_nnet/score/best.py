"""The `wer_N_P` files of a decode directory: reading them and choosing among them."""

import os
import re
from dataclasses import dataclass
from pathlib import Path

from hdnn_nnet.errors import HdnnError

_NAME = re.compile(r"^wer_(\d+)_([0-9.]+)$")
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
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise HdnnError(f"cannot read {path}: {error.strerror}; score again") from error
    for line in text.splitlines():
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
