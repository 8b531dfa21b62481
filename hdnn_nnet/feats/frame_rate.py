"""Features of another frame rate than alignments: one row stands for a whole number of frames.

A data directory says so in its `feat_opts` (`--frame-factor=2 --frame-tolerance=4`), or, where it has none, by a file
`frame_shift` as Kaldi and ssl-kaldi-feats write it (`0.02`; a frame of 10 ms is 1). Rows are repeated when they are read,
and the end is cut or its last row repeated, within the tolerance, so that whatever comes behind sees frames of 10 ms.
How many an utterance has, `utt2aligned_frames` says; without it the rows times the factor, until the lengths of alignments,
labels or other features are known.
"""

import os
import statistics
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from hdnn_nnet.errors import HdnnError
from hdnn_nnet.kaldi.data_dir import FEAT_OPTS
from hdnn_nnet.kaldi.script_table import read_scp
from hdnn_nnet.kaldi.text_file import read_word
from hdnn_nnet.text import to_float, to_int

#: of a frame of alignments, in seconds
SHIFT = 0.01
_FACTOR, _TOLERANCE = "frame-factor", "frame-tolerance"
#: rows that the end may be off by where no tolerance is stated: an encoder pads by one more or less than Kaldi's windows
_ROWS_OFF = 2


@dataclass(frozen=True)
class FrameRate:
    """How many frames a row of features stands for.

    Attributes:
        factor: frames of 10 ms to a row.
        tolerance: frames that an utterance may be longer or shorter than rows times factor.
    """

    factor: int = 1
    tolerance: int = 0

    @classmethod
    def take(cls, options: dict[str, str]) -> "FrameRate":
        """What options (name -> text) state; those two are taken out of them.

        Raises:
            HdnnError: no whole numbers, or out of range.
        """
        values = {}
        for name, least in ((_FACTOR, 1), (_TOLERANCE, 0)):
            if (text := options.pop(name, None)) is not None:
                try:
                    values[name] = to_int(text, least=least)
                except ValueError as error:
                    raise HdnnError(f"--{name}={text}: must be a whole number from {least}") from error
        factor = values.get(_FACTOR, 1)
        return cls(factor, values.get(_TOLERANCE, _ROWS_OFF * factor if factor > 1 else 0))

    @classmethod
    def of_shift(cls, path: Path) -> "FrameRate":
        """From a file with seconds between rows; one that is not a multiple of 10 ms says nothing about alignments.

        Raises:
            HdnnError: no number.
        """
        text = read_word(path)
        try:
            factor = to_float(text) / SHIFT
        except ValueError as error:
            raise HdnnError(f"{path}: {text!r} is not a number of seconds; correct or remove it") from error
        whole = round(factor) if 0 < factor < 1000 else 0
        return cls.take({_FACTOR: str(whole)}) if whole and abs(factor - whole) < 0.01 else cls()

    @property
    def same(self) -> bool:
        """Rows are frames, to the last one."""
        return self.factor == 1 and self.tolerance == 0

    def words(self) -> list[str]:
        """As options, in the order of a line; none where rows are frames."""
        return [] if self.same else [f"--{_FACTOR}={self.factor}", f"--{_TOLERANCE}={self.tolerance}"]

    def fits(self, rows: int, frames: int) -> bool:
        return abs(rows * self.factor - frames) <= self.tolerance

    def expand(self, features: np.ndarray, frames: int) -> np.ndarray:
        """(rows, D) to (frames, D): each row `factor` times, the end cut or its last row repeated.

        Raises:
            HdnnError: no row.
        """
        if not len(features):
            raise HdnnError(f"no row stands for {frames} frames; remove the utterance")
        row = np.minimum(np.arange(frames) // self.factor, len(features) - 1)
        return features[row]


#: rows are frames
SAME = FrameRate()


def shown(factor: int | None) -> str:
    """The rate in words; None: not known."""
    return "features of an unknown rate" if factor is None else f"features of {100 / factor:g} rows a second"


def require_fit(rate: FrameRate, rows: int, frames: int, data_dir: str | os.PathLike[str], utt: str, who: str) -> None:
    """Check one utterance against a length that somebody states.

    Raises:
        HdnnError: beyond the tolerance.
    """
    if not rate.fits(rows, frames):
        raise HdnnError(
            f"{data_dir}: utterance {utt} has {rows} rows, {rows * rate.factor} frames at --frame-factor={rate.factor}, but "
            f"{frames} by {who} (--frame-tolerance={rate.tolerance}); {remedy(data_dir, rate, {utt: rows}, {utt: frames})}"
        )


def likely_factor(rows: Mapping[str, int], frames: Mapping[str, int]) -> int | None:
    """The whole number of frames to a row that lengths of utterances point to; None if they point to none."""
    ratios = [frames[utt] / count for utt, count in rows.items() if count and frames.get(utt)]
    if not ratios:
        return None
    ratio = statistics.median(ratios)
    factor = round(ratio)
    return factor if factor >= 1 and abs(ratio / factor - 1) < 0.1 else None


def remedy(
    data_dir: str | os.PathLike[str], rate: FrameRate, rows: Mapping[str, int], frames: Mapping[str, int]
) -> str:
    """What to do about lengths that do not fit."""
    factor, path = likely_factor(rows, frames), Path(data_dir) / FEAT_OPTS
    if factor is not None and factor != rate.factor:
        how = f"state --frame-factor={factor} in" if path.is_file() else f"write --type=ssl --frame-factor={factor} to"
        return f"lengths point to another rate: {how} {path}"
    if not rate.same:
        return f"correct --frame-factor and --frame-tolerance in {path}, or make both from the same audio"
    return "regenerate features and targets for this data"


def read_counts(path: Path, utts: Iterable[str], least: int = 0) -> dict[str, int]:
    """Utterance -> frames or rows, of a table such as utt2num_frames.

    Raises:
        HdnnError: an utterance is missing, or has no number.
    """
    lines = read_scp(path)
    try:
        return {utt: to_int(lines[utt], least) for utt in utts}
    except (KeyError, ValueError) as error:
        raise HdnnError(f"{path}: no number of frames for {error}; remove the file, it is out of date") from error
