"""ARPA files of back-off n-gram models."""

import gzip
import re
from pathlib import Path

from hdnn_nnet.atomic import atomic_path
from hdnn_nnet.errors import HdnnError
from hdnn_nnet.kaldi.text_file import read_lines
from hdnn_nnet.lang.ngram import BackoffModel
from hdnn_nnet.text import BLANKS, to_float, to_int, words

_COUNT = re.compile(r"ngram\s+(\d+)\s*=\s*(\d+)", re.ASCII)
_SECTION = re.compile(r"\\(\d+)-grams:", re.ASCII)


def write_arpa(model: BackoffModel, path: Path) -> None:
    """Write an ARPA file, gzipped if its name ends in .gz; sorted, so that equal models give equal files."""
    # No name and no time in the gzip header, for the same reason.
    with atomic_path(path) as temporary, open(temporary, "wb") as raw:
        if path.suffix == ".gz":
            with gzip.GzipFile("", "wb", fileobj=raw, mtime=0, compresslevel=6) as handle:
                handle.write(_arpa_text(model).encode("utf-8"))
        else:
            raw.write(_arpa_text(model).encode("utf-8"))


def _arpa_text(model: BackoffModel) -> str:
    lines = ["", "\\data\\", *(f"ngram {n}={count}" for n, count in enumerate(model.counts(), 1)), ""]
    for length, table in enumerate(model.prob):
        lines.append(f"\\{length + 1}-grams:")
        for ngram in sorted(table):
            backoff = model.backoff.get(ngram)
            line = f"{table[ngram]:.6f}\t{' '.join(ngram)}"
            lines.append(line if backoff is None else f"{line}\t{backoff:.6f}")
        lines.append("")
    return "\n".join([*lines, "\\end\\"]) + "\n"


def read_arpa(path: Path) -> BackoffModel:
    """Read an ARPA file, gzipped if its name ends in .gz.

    Raises:
        HdnnError: a file that is truncated or of another form, a value that is not finite, or another number of n-grams
            than it announces.
    """
    lines = enumerate((line.strip(BLANKS) for line in read_lines(path)), 1)
    number = 0
    try:
        announced: list[int] = []
        for number, line in lines:  # noqa: B007  # named in errors
            if match := _COUNT.fullmatch(line):
                if to_int(match[1]) != len(announced) + 1:
                    raise ValueError(f"expected ngram {len(announced) + 1}=")
                announced.append(to_int(match[2], 0, 1 << 62))
            elif line.startswith("\\") and line != "\\data\\":
                break
        if not announced:
            raise ValueError("no `ngram 1=N`")
        model = BackoffModel(len(announced), [{} for _ in announced])
        for order in range(1, len(announced) + 1):
            if not (match := _SECTION.fullmatch(line)) or to_int(match[1]) != order:
                raise ValueError(f"expected \\{order}-grams:, found {line[:40]!r}")
            for number, line in lines:  # noqa: B007  # named in errors
                if line.startswith("\\"):
                    break
                if line:
                    _add(model, order, line)
        if line != "\\end\\":
            raise ValueError("no \\end\\ line; the file is truncated")
        for _ in lines:  # to where gzip has its checksum
            pass
    except ValueError as error:
        raise HdnnError(f"{path}, line {number}: not in ARPA format ({error})") from error
    if model.counts() != announced:
        raise HdnnError(f"{path}: holds {model.counts()} n-grams but announces {announced}")
    return model


def _add(model: BackoffModel, order: int, line: str) -> None:
    fields = words(line)
    ngram = tuple(fields[1 : 1 + order])
    if len(fields) not in (order + 1, order + 2):
        raise ValueError(f"expected a probability, {order} words and perhaps a back-off weight, found {line[:60]!r}")
    model.prob[order - 1][ngram] = to_float(fields[0])
    if len(fields) == order + 2:
        model.backoff[ngram] = to_float(fields[-1])
