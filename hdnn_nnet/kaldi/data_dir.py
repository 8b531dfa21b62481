"""Subsets of Kaldi data directories."""

import os
from collections.abc import Iterable
from pathlib import Path

from hdnn_nnet.atomic import copy_file, write_text
from hdnn_nnet.errors import HdnnError
from hdnn_nnet.kaldi.copies import UTT2UNIQ, read_originals
from hdnn_nnet.kaldi.script_table import read_scp
from hdnn_nnet.text import BLANKS, first_word

# frames of 10 ms of utterances whose feats.scp has rows of another rate (hdnn_nnet.feats.frame_rate)
ALIGNED_FRAMES = "utt2aligned_frames"
BY_UTTERANCE = (
    *("feats.scp", "text", "vad.scp", "utt2lang", "utt2dur", "utt2num_frames"),
    *(ALIGNED_FRAMES, UTT2UNIQ, "segments"),
)
BY_SPEAKER = ("cmvn.scp", "spk2gender", "spk2warp")
BY_RECORDING = ("wav.scp", "reco2file_and_channel", "reco2dur")
# how the features were computed (hdnn_nnet.feats.description); the same for all utterances
FEAT_OPTS = "feat_opts"
# instead of these: what features were made from that no options describe, such as speaker-adapted ones; one line
FEATS_OF = "feats_of"
# seconds between rows, of Kaldi and of extractors that write no feat_opts
FRAME_SHIFT = "frame_shift"


def byte_order(text: str) -> bytes:
    """Sort key that orders as `LC_ALL=C sort` does."""
    return text.encode("utf-8")


class DataDir:
    """The tables of a data directory, read once.

    Attributes:
        utt2spk: utterance id -> speaker, in file order.
        spk2utts: speaker -> its utterance ids.
        originals: utterance -> what it is a copy of; only of those in `utt2uniq`.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)
        self.utt2spk = read_scp(self.path / "utt2spk")
        self.spk2utts: dict[str, list[str]] = {}
        for utterance, speaker in self.utt2spk.items():
            self.spk2utts.setdefault(speaker, []).append(utterance)
        names = (*BY_UTTERANCE, *BY_SPEAKER, *BY_RECORDING)
        self.tables = {name: read_scp(self.path / name) for name in names if (self.path / name).exists()}
        self.originals = read_originals(self.path)

    def write_subset(self, utterances: Iterable[str], target: str | os.PathLike[str]) -> None:
        """Write the data directory `target` with these utterances only, in this directory's order.

        Files that are right already are left alone, so that nothing looks newer than it is.
        """
        wanted = set(utterances)
        unknown = wanted - self.utt2spk.keys()
        if unknown:
            raise HdnnError(f"{self.path} has no utterance {min(unknown)} ({len(unknown)} unknown ones)")
        speakers = {s: " ".join(u for u in us if u in wanted) for s, us in self.spk2utts.items()}
        speakers = {s: us for s, us in speakers.items() if us}
        # Without segments a recording is an utterance.
        segments = self.tables.get("segments")
        recordings = {first_word(segments[u])[0] for u in wanted if u in segments} if segments else wanted
        target = Path(target)
        _write(target / "utt2spk", self.utt2spk, wanted)
        _write(target / "spk2utt", speakers, speakers)
        for name in (*BY_UTTERANCE, *BY_SPEAKER, *BY_RECORDING):
            if name not in self.tables:  # left by an earlier state of this directory
                (target / name).unlink(missing_ok=True)
        for name, table in self.tables.items():
            keys = speakers if name in BY_SPEAKER else recordings if name in BY_RECORDING else wanted
            _write(target / name, table, keys)
        copy_feat_opts(self.path, target)


def copy_feat_opts(source: str | os.PathLike[str], target: str | os.PathLike[str]) -> None:
    """Copy the `feat_opts` of a data or model directory to another one; without any, an older one there goes.

    So with the `feats_of` of features that have none, and with `frame_shift`.
    """
    for name in (FEATS_OF, FEAT_OPTS, FRAME_SHIFT):
        path, copy = Path(source) / name, Path(target) / name
        if not path.is_file():
            copy.unlink(missing_ok=True)
        elif not copy.is_file() or copy.read_bytes() != path.read_bytes():
            copy_file(path, copy)


def _write(path: Path, table: dict[str, str], keys: Iterable[str]) -> None:
    wanted = set(keys)
    text = "".join(f"{key} {value}".rstrip(BLANKS) + "\n" for key, value in table.items() if key in wanted)
    if not path.exists() or path.read_bytes() != text.encode():
        write_text(path, text)
