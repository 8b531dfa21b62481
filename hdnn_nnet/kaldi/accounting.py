"""What became of the utterances that a data directory announces: used, or left out for a reason that is told."""

import logging
import os
from collections.abc import Iterable
from pathlib import Path

from hdnn_nnet.errors import HdnnError
from hdnn_nnet.kaldi.script_table import read_scp

log = logging.getLogger(__name__)

_TABLES = ("utt2spk", "text", "feats.scp")
_NAMED = 5


def announced_utterances(data_dir: str | os.PathLike[str]) -> list[str]:
    """Utterances that utt2spk, text or feats.scp of a data directory name, each once.

    Not feats.scp alone: lines that it lost would be missed by nobody.
    """
    paths = (Path(data_dir) / name for name in _TABLES)
    return list(dict.fromkeys(utt for path in paths if path.exists() for utt in read_scp(path)))


class Accounting:
    """Counts the utterances that are left out, by reason.

    Args:
        where: what is read, for messages.
        announced: all utterances there should be.
    """

    def __init__(self, where: object, announced: Iterable[str]) -> None:
        self.where = where
        self.announced = dict.fromkeys(announced)
        self.left_out: dict[str, list[str]] = {}
        self._lost: set[str] = set()

    def leave_out(self, reason: str, utterances: Iterable[str]) -> None:
        """Utterances that are not used; one that was left out before, or was never announced, keeps its first reason."""
        new = [utt for utt in utterances if utt in self.announced and utt not in self._lost]
        if new:
            self.left_out.setdefault(reason, []).extend(new)
            self._lost.update(new)

    def require(self, reason: str, found: Iterable[str]) -> None:
        """Leave out what is announced but not found."""
        there = set(found)
        self.leave_out(reason, (utt for utt in self.announced if utt not in there))

    @property
    def lost(self) -> int:
        return len(self._lost)

    def __str__(self) -> str:
        parts = [f"{self.where}: {len(self.announced) - self.lost} of {len(self.announced)} utterances usable"]
        for reason, utts in self.left_out.items():
            names = " ".join(utts[:_NAMED]) + (" ..." if len(utts) > _NAMED else "")
            parts.append(f"{len(utts)} {reason} ({names})")
        return "; ".join(parts)

    def close(self, max_lost: float, remedy: str) -> None:
        """Log the sums.

        Args:
            max_lost: the share of the announced utterances that may be left out.
            remedy: what the user can do.

        Raises:
            HdnnError: more are left out, or nothing is left.
        """
        if self.lost > max_lost * len(self.announced) or self.lost == len(self.announced):
            raise HdnnError(f"{self}; more than the allowed share of {max_lost:g}: {remedy}")
        (log.warning if self.lost else log.info)("%s", self)
