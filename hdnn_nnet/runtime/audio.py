"""Speech from sound files and from stdin, in pieces, as models want it."""

import codecs
import logging
import os
import shlex
import sys
from collections.abc import Iterator
from typing import IO

import numpy as np

from hdnn_nnet.errors import HdnnError
from hdnn_nnet.feats.pcm import read_int16, resample

log = logging.getLogger(__name__)
#: how files begin that are no samples: bytes, where, and what it is
_MAGIC = (
    (b"fLaC", 0, "FLAC"),
    (b"OggS", 0, "Ogg"),
    (b"ID3", 0, "MP3"),
    (b"ftyp", 4, "MP4 (m4a)"),
    (b"FORM", 0, "AIFF"),
    (b"\x1aE\xdf\xa3", 0, "WebM or Matroska"),
)


def file_chunks(path: str | os.PathLike[str], rate: int, seconds: float = 0.2) -> Iterator[np.ndarray]:
    """The first channel of a sound file in pieces, each (n,) int16; another sample rate is converted to `rate`.

    Raises:
        HdnnError: missing file, or no sound file.
    """
    import soundfile

    if not os.path.exists(path):
        raise HdnnError(f"{path}: no such file")
    if os.path.isdir(path):
        raise HdnnError(f"{path} is a directory; name the sound files in it")
    try:
        with soundfile.SoundFile(path) as sound:
            if sound.channels > 1:
                log.warning("%s has %d channels; the first is taken", path, sound.channels)
            if sound.samplerate == rate:
                while len(block := read_int16(sound, int(seconds * rate))):
                    yield block[:, 0]
                return
            log.warning("%s: %d samples a second, converted to %d", path, sound.samplerate, rate)
            whole = resample(sound.read(dtype="float32", always_2d=True)[:, 0], sound.samplerate, rate)
    except (RuntimeError, OSError) as error:
        raise HdnnError(
            f"{path}: cannot be read as sound (WAV, FLAC, OGG, Opus, MP3, AIFF, AU work): {str(error).rstrip('. ')}; "
            f"to convert it: ffmpeg -i {shlex.quote(str(path))} -ar {rate} -ac 1 out.wav"
        ) from error
    step = int(seconds * rate)
    yield from (whole[first : first + step] for first in range(0, len(whole), step))


def stdin_chunks(rate: int, seconds: float = 0.2, source: IO[bytes] | None = None) -> Iterator[np.ndarray]:
    """Raw 16-bit little-endian samples of one channel from stdin as they come, each piece (n,) int16.

    A WAV header is understood if it says just that.

    Raises:
        HdnnError: a header of another format, or text.
    """
    stream = sys.stdin.buffer if source is None else source
    head = _read(stream, 12)
    if head[:4] == b"RIFF":
        _skip_wav_header(stream, head, rate)
    elif head:
        head += _read(stream, max(2 * int(seconds * rate), 256) - len(head))
        if kind := _not_samples(head):
            raise HdnnError(
                f"stdin is {kind}; send WAV or raw 16-bit samples of one channel at {rate}, "
                f"for instance through ffmpeg -i - -f s16le -ar {rate} -ac 1 -"
            )
        yield np.frombuffer(head[: len(head) // 2 * 2], "<i2")
    while data := _read(stream, 2 * int(seconds * rate)):
        yield np.frombuffer(data[: len(data) // 2 * 2], "<i2")


def _not_samples(head: bytes) -> str:
    """What the beginning of a stream is that cannot be raw samples; empty if it may be such."""
    for magic, place, name in _MAGIC:
        if head[place : place + len(magic)] == magic:
            return name
    try:
        # A character may be cut at the end.
        text = codecs.getincrementaldecoder("utf-8")().decode(head)
    except UnicodeDecodeError:
        return ""
    return "text" if text and all(c.isprintable() or c.isspace() for c in text) else ""


def _read(stream: IO[bytes], count: int) -> bytes:
    """`count` bytes, fewer at the end only."""
    data = b""
    while len(data) < count and (more := stream.read(count - len(data))):
        data += more
    return data


def _skip_wav_header(stream: IO[bytes], head: bytes, rate: int) -> None:
    """Read up to the samples of a WAV file."""
    if head[8:12] != b"WAVE":
        raise HdnnError("stdin begins like a RIFF file, but is no WAV; send WAV or raw 16-bit samples")
    while len(chunk := _read(stream, 8)) == 8:
        size = int.from_bytes(chunk[4:], "little")
        if chunk[:4] == b"data":
            return
        body = _read(stream, size + size % 2)
        if chunk[:4] == b"fmt ":
            kind, channels = (int.from_bytes(body[i : i + 2], "little") for i in (0, 2))
            given, bits = int.from_bytes(body[4:8], "little"), int.from_bytes(body[14:16], "little")
            if (channels, given, bits) != (1, rate, 16) or kind not in (1, 0xFFFE):
                raise HdnnError(
                    f"stdin is a WAV of {channels} channels, {given} samples a second, {bits} bits; "
                    f"send one channel of 16 bits at {rate}, for instance through sox - -r {rate} -c 1 -b 16 -t wav -"
                )
    raise HdnnError("stdin is a WAV file without samples")
