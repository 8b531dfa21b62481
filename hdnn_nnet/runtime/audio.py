"""Speech from sound files and from stdin, in pieces, as models want it."""

import codecs
import logging
import os
import shlex
import sys
from collections.abc import Iterator
from typing import IO, Any

import numpy as np

from hdnn_nnet.errors import HdnnError
from hdnn_nnet.feats.pcm import read_int16, resample
from hdnn_nnet.feats.sound_file import MP3_LOOK, STREAMS, container, open_bytes, open_sound

log = logging.getLogger(__name__)
#: sound files that libsndfile does not read
_UNREADABLE = ("MP4 (m4a)", "WebM or Matroska", "WavPack", "AMR")


def file_chunks(path: str | os.PathLike[str], rate: int, seconds: float = 0.2) -> Iterator[np.ndarray]:
    """The first channel of a sound file in pieces, each (n,) int16; another sample rate is converted to `rate`.

    Raises:
        HdnnError: missing file, or no sound file.
    """
    if not os.path.exists(path):
        raise HdnnError(f"{path}: no such file")
    if os.path.isdir(path):
        raise HdnnError(f"{path} is a directory; name the sound files in it")
    try:
        source = open_sound(path, str(path))
    except HdnnError as error:
        raise HdnnError(
            f"{str(error).rstrip('. ')}; WAV, FLAC, OGG, Opus, MP3, AIFF and AU work: "
            f"to convert it, ffmpeg -i {shlex.quote(str(path))} -ar {rate} -ac 1 out.wav"
        ) from error
    yield from _sound_chunks(source, str(path), rate, seconds)


def _sound_chunks(source: Any, path: str, rate: int, seconds: float) -> Iterator[np.ndarray]:
    try:
        with source as sound:
            if sound.channels > 1:
                log.warning("%s has %d channels; the first is taken", path, sound.channels)
            if sound.samplerate == rate:
                while len(block := read_int16(sound, int(seconds * rate))):
                    yield block[:, 0]
                return
            log.warning("%s: %d samples a second, converted to %d", path, sound.samplerate, rate)
            whole = resample(read_int16(sound, -1)[:, 0] / np.float32(32768), sound.samplerate, rate)
    except HdnnError as error:
        raise HdnnError(f"{path}: {error}") from error
    except (RuntimeError, OSError) as error:
        raise HdnnError(f"{path}: damaged sound file ({error}); copy it again") from error
    step = int(seconds * rate)
    yield from (whole[first : first + step] for first in range(0, len(whole), step))


def stdin_chunks(rate: int, seconds: float = 0.2, source: IO[bytes] | None = None) -> Iterator[np.ndarray]:
    """Raw 16-bit little-endian samples of one channel from stdin as they come, each piece (n,) int16.

    A WAV header is understood if it says just that; other sound files (FLAC, MP3, AIFF and so on) are read whole first.

    Raises:
        HdnnError: a header of another format, or text.
    """
    stream = sys.stdin.buffer if source is None else source
    head = _read(stream, 12)
    left = None  # bytes of samples to come, where they are known
    if head[:4] == b"RIFF":
        left = _skip_wav_header(stream, head, rate)
        left = None if left in STREAMS else left
    elif head:
        head += _read(stream, max(2 * int(seconds * rate), MP3_LOOK) - len(head))
        kind = container(head)
        if kind or _is_text(head):
            yield from _sound_chunks(_whole_file(kind, head, stream, rate), "stdin", rate, seconds)
            return
        yield np.frombuffer(head[: len(head) // 2 * 2], "<i2")
    while data := _read(stream, 2 * int(seconds * rate) if left is None else min(left, 2 * int(seconds * rate))):
        left = None if left is None else left - len(data)
        yield np.frombuffer(data[: len(data) // 2 * 2], "<i2")
    if left:
        raise HdnnError(f"stdin ends {left} bytes before the end that its WAV header announces; send it again")


def _whole_file(kind: str, head: bytes, stream: IO[bytes], rate: int) -> Any:
    """The sound file that begins with `head` and goes on in the stream; `kind` is empty for text."""
    problem: HdnnError | None = None
    if kind and kind not in _UNREADABLE:
        log.info("stdin is %s: it is read whole", kind)
        try:
            return open_bytes(head + stream.read(), "stdin")
        except HdnnError as error:
            problem = error
    raise HdnnError(
        f"stdin is {kind or 'text'}{f' ({problem})' if problem else ''}; send WAV or raw 16-bit samples of one channel at "
        f"{rate}, for instance through ffmpeg -i - -f s16le -ar {rate} -ac 1 -"
    ) from problem


def _is_text(head: bytes) -> bool:
    """Whether the beginning of a stream is text, which raw samples never are."""
    try:
        # A character may be cut at the end.
        text = codecs.getincrementaldecoder("utf-8")().decode(head)
    except UnicodeDecodeError:
        return False
    return bool(text) and all(c.isprintable() or c.isspace() for c in text)


def _read(stream: IO[bytes], count: int) -> bytes:
    """`count` bytes, fewer at the end only."""
    data = b""
    while len(data) < count and (more := stream.read(count - len(data))):
        data += more
    return data


def _skip_wav_header(stream: IO[bytes], head: bytes, rate: int) -> int:
    """Read up to the samples of a WAV file; gives their bytes as announced."""
    if head[8:12] != b"WAVE":
        raise HdnnError("stdin begins like a RIFF file, but is no WAV; send WAV or raw 16-bit samples")
    while len(chunk := _read(stream, 8)) == 8:
        size = int.from_bytes(chunk[4:], "little")
        if chunk[:4] == b"data":
            return size
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
