"""Speech of a Kaldi data directory: `wav.scp` (paths or `command |`) cut by `segments`, one recording at a time."""

import io
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from hdnn_nnet.errors import HdnnError
from hdnn_nnet.feats.pcm import read_int16
from hdnn_nnet.kaldi.rxfile import read_bytes
from hdnn_nnet.kaldi.script_table import read_scp

MAX_OVERSHOOT = 0.5  # seconds a segment may end after its recording, as in Kaldi's extract-segments


@dataclass(frozen=True)
class Segment:
    """An utterance: its recording, start and end in seconds (end None: to the end of the recording), and channel."""

    utterance: str
    recording: str
    start: float = 0.0
    end: float | None = None
    channel: int | None = None


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
        words = line.split()
        try:
            start, end = float(words[1]), float(words[2])
            channel = int(words[3]) if len(words) > 3 else None
        except (IndexError, ValueError) as error:
            raise HdnnError(
                f"{path}: utterance {utterance}: expected recording, start and end, found {line!r}"
            ) from error
        if words[0] not in recordings:
            raise HdnnError(f"{path}: utterance {utterance}: recording {words[0]} is not in wav.scp")
        if not 0 <= start < float("inf") or (end <= start and end != -1):
            raise HdnnError(f"{path}: utterance {utterance}: bad times {start} to {end}")
        segments.append(Segment(utterance, words[0], start, None if end == -1 else end, channel))
    if not segments:
        raise HdnnError(f"{path} is empty; prepare the data again")
    return segments


class _Recording:
    """An open recording from which pieces are read; only the piece asked for is in memory, unless it is a pipe."""

    def __init__(self, rxfilename: str, name: str) -> None:
        import soundfile  # here: programs that only read features do without it

        self.what = f"{rxfilename.strip()} (recording {name})"
        try:
            source = io.BytesIO(read_bytes(rxfilename)) if rxfilename.strip().endswith("|") else rxfilename.strip()
            self.file = soundfile.SoundFile(source)
        except (RuntimeError, OSError) as error:
            raise HdnnError(f"{self.what}: cannot read the sound file ({error})") from error
        self.rate = self.file.samplerate

    def read(self, segment: Segment) -> np.ndarray:
        total = len(self.file)
        # Kaldi cuts the fraction of a sample off.
        first = int(segment.start * self.rate)
        last = total if segment.end is None else int(segment.end * self.rate)
        if last > total + int(MAX_OVERSHOOT * self.rate) or first >= total:
            raise HdnnError(
                f"{self.what}: utterance {segment.utterance} reaches to {segment.end} s, but the recording ends at "
                f"{total / self.rate:.2f} s; correct the segments"
            )
        channel = segment.channel or 0
        if channel >= self.file.channels:
            raise HdnnError(f"{self.what}: utterance {segment.utterance}: no channel {channel} in the sound file")
        self.file.seek(first)
        samples = read_int16(self.file, min(last, total) - first)
        if len(samples) != min(last, total) - first:
            raise HdnnError(f"{self.what}: truncated sound file at utterance {segment.utterance}")
        return samples[:, channel].astype(np.float32)


def read_audio(
    data_dir: str | os.PathLike[str], segments: Sequence[Segment]
) -> Iterator[tuple[Segment, int, np.ndarray]]:
    """Yield `(segment, sample rate, samples)`; samples float32 in the range of 16-bit integers, shape (n,).

    Successive segments of one recording share its open file (or the output of its command).
    """
    recordings = read_scp(Path(data_dir) / "wav.scp")
    name, recording = None, None
    for segment in segments:
        if segment.recording != name or recording is None:
            name, recording = segment.recording, _Recording(recordings[segment.recording], segment.recording)
        yield segment, recording.rate, recording.read(segment)
