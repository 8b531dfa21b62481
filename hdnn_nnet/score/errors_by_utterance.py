"""Word errors of single utterances, as a decode directory's hypotheses have them."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from hdnn_nnet.errors import HdnnError
from hdnn_nnet.kaldi.script_table import read_scp
from hdnn_nnet.score.text import read_text
from hdnn_nnet.score.wer import UtteranceCount, count_utterances


@dataclass(frozen=True)
class UtteranceErrors:
    """Errors of one system on a set.

    Attributes:
        utterances: keys, in the reference's order.
        errors, words: insertions, deletions and substitutions together, and reference words, (U,) int64.
        speakers: of the utterances; empty: not known.
    """

    utterances: tuple[str, ...]
    errors: np.ndarray
    words: np.ndarray
    speakers: tuple[str, ...] = ()

    @property
    def wer(self) -> float:
        """Percent; not a number without reference words."""
        return 100.0 * int(self.errors.sum()) / int(self.words.sum()) if self.words.any() else float("nan")

    @property
    def can_be_drawn(self) -> bool:
        """Whether sets that are drawn from it differ: from one utterance with words they are all the same."""
        return int(np.count_nonzero(self.words)) > 1

    def speaker_numbers(self) -> np.ndarray:
        """(U,) numbers of the speakers from 0 on.

        Raises:
            HdnnError: they are not known.
        """
        if not self.speakers:
            raise HdnnError("no speakers are known here; score again (hdnn score), which writes scoring_kaldi/utt2spk")
        return np.unique(self.speakers, return_inverse=True)[1]


def utterance_errors(counts: Mapping[str, UtteranceCount], utt2spk: Mapping[str, str] | None = None) -> UtteranceErrors:
    """From the counts of `score.wer.count_utterances`; speakers where all utterances have one."""
    speakers = tuple(utt2spk[key] for key in counts) if utt2spk and counts.keys() <= utt2spk.keys() else ()
    errors = np.array([count.errors for count in counts.values()], np.int64)
    return UtteranceErrors(tuple(counts), errors, np.array([c.words for c in counts.values()], np.int64), speakers)


@dataclass(frozen=True)
class Scored:
    """Texts of a decode directory as they were compared: reference, speakers (may be empty), hypotheses."""

    reference: dict[str, list[str]]
    utt2spk: dict[str, str]
    hypothesis: dict[str, list[str]]

    def errors(self) -> UtteranceErrors:
        return utterance_errors(count_utterances(self.reference, self.hypothesis), self.utt2spk)


def read_scored(decode_dir: str | os.PathLike[str], lmwt: int, penalty: str) -> Scored:
    """Texts of one LM weight and word insertion penalty, as `hdnn score` and Kaldi's score_kaldi.sh leave them.

    Raises:
        HdnnError: they are not there.
    """
    scoring = Path(decode_dir) / "scoring_kaldi"
    path = scoring / f"penalty_{penalty}" / f"{lmwt}.txt"
    if not path.is_file() or not (scoring / "test_filt.txt").is_file():
        raise HdnnError(f"{path} or {scoring}/test_filt.txt does not exist; score again (local/score.sh)")
    utt2spk = read_scp(scoring / "utt2spk") if (scoring / "utt2spk").is_file() else {}
    return Scored(read_text(scoring / "test_filt.txt"), utt2spk, read_text(path))
