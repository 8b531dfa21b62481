"""Speech of a Kaldi data directory: `wav.scp` (paths or `command |`) cut by `segments`, one recording at a time."""

import logging
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from hdnn_nnet.errors import HdnnError
from hdnn_nnet.feats.pcm import read_int16
from hdnn_nnet.feats.sound_file import open_sound
from hdnn_nnet.kaldi.script_table import read_scp
from hdnn_nnet.progress import counted
from hdnn_nnet.text import to_float, to_int, words

log = logging.getLogger(__name__)

MAX_OVERSHOOT = 0.5  # seconds a segment may end after its recording, as in Kaldi's extract-segments


@dataclass(frozen=True)
class Segment:
    """An utterance: its recording, start and end in seconds (end None: to the end of the recording), and channel."""

    utterance: str
    recording: str
    start: float = 0.0
    end: float | None = None
    channel: int | None = None
    in_segments: bool = False

    def times(self) -> str:
        """In words, for messages."""
        return "the whole recording" if self.end is None else f"{self.start:g} to {self.end:g} s"


def read_segments(data_dir: str | os.PathLike[str]) -> list[Segment]:
    """Utterances of a data directory in file order; without a `segments` file each recording is one utterance.

    Raises:
        HdnnError: a line that is no segment, or a recording that is not in wav.scp.
    """
    directory = Path(data_dir)
    recordings = read_scp(directory / "wav.scp")
    path = directory / "segments"
    if not path.exists():
        return [Segment(recording, recording) for recording in recordings]
    segments = []
    for utterance, line in read_scp(path).items():
        fields = words(line)
        try:
            if len(fields) not in (3, 4):
                raise ValueError("three or four columns after the utterance")
            start, end = to_float(fields[1]), to_float(fields[2])
            channel = to_int(fields[3], least=0) if len(fields) > 3 else None
        except ValueError as error:
            raise HdnnError(
                f"{path}: utterance {utterance}: expected recording, start, end and perhaps the number of a channel "
                f"(0, 1 ...), found {line!r} ({error})"
            ) from error
        if fields[0] not in recordings:
            raise HdnnError(f"{path}: utterance {utterance}: recording {fields[0]} is not in wav.scp")
        if not 0 <= start < float("inf") or (end <= start and end != -1):
            raise HdnnError(f"{path}: utterance {utterance}: bad times {start} to {end}")
        segments.append(Segment(utterance, fields[0], start, None if end == -1 else end, channel, True))
    if not segments:
        raise HdnnError(f"{path} is empty; prepare the data again")
    return segments


class _Recording:
    """An open recording from which pieces are read; only the piece asked for is in memory, unless it is a pipe."""

    def __init__(self, rxfilename: str, name: str) -> None:
        self.what = f"{rxfilename} (recording {name})"
        self.file = open_sound(rxfilename, self.what)
        self.rate = self.file.samplerate
        self._warned = False

    def read(self, segment: Segment) -> np.ndarray | None:
        """Samples of a segment; None, with a warning, if it lies outside the recording."""
        total = len(self.file)
        # Kaldi cuts the fraction of a sample off.
        first = int(segment.start * self.rate)
        last = total if segment.end is None else int(segment.end * self.rate)
        if last > total + int(MAX_OVERSHOOT * self.rate) or first >= total:
            log.warning(
                "%s: utterance %s, %s: left out, the recording %s",
                self.what, segment.utterance, segment.times(), f"ends at {total / self.rate:.2f} s" if total else "is empty",
            )  # fmt: skip
            return None
        channel = self._channel(segment)
        try:
            self.file.seek(first)
            samples = read_int16(self.file, min(last, total) - first)
        except HdnnError as error:
            raise HdnnError(f"{self.what}: {error}") from error
        except RuntimeError as error:
            raise HdnnError(f"{self.what}: damaged sound file ({error}); copy it again") from error
        if len(samples) != min(last, total) - first:
            raise HdnnError(f"{self.what}: truncated sound file at utterance {segment.utterance}")
        return samples[:, channel].astype(np.float32)

    def _channel(self, segment: Segment) -> int:
        channels = self.file.channels
        if segment.channel is None and channels > 1:
            advice = f"{self.what}: {channels} channels, but none is named; pick one in wav.scp (sox ... remix 1 |)"
            if segment.in_segments:  # as extract-segments
                raise HdnnError(f"{advice}, or in the fifth column of segments")
            if not self._warned:  # as compute-mfcc-feats
                log.warning("%s: the first is taken", advice)
                self._warned = True
        channel = segment.channel or 0
        if not 0 <= channel < channels:
            raise HdnnError(f"{self.what}: utterance {segment.utterance}: no channel {channel} in the sound file")
        return channel


def read_audio(
    data_dir: str | os.PathLike[str], segments: Sequence[Segment], outside: list[str] | None = None
) -> Iterator[tuple[Segment, int, np.ndarray]]:
    """Yield `(segment, sample rate, samples)`; samples float32 in the range of 16-bit integers, shape (n,).

    Successive segments of one recording share its open file (or the output of its command).

    Args:
        outside: utterances outside their recordings, which are left out with a warning, are added here.
    """
    recordings = read_scp(Path(data_dir) / "wav.scp")
    name, recording = None, None
    for segment in counted(segments, "utterances", len(segments)):
        if segment.recording != name or recording is None:
            name, recording = segment.recording, _Recording(recordings[segment.recording], segment.recording)
        samples = recording.read(segment)
        if samples is not None:
            yield segment, recording.rate, samples
        elif outside is not None:
            outside.append(segment.utterance)
