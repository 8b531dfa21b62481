"""Opening sound files, wherever they come from, with the checks that libsndfile leaves out.

libsndfile cuts a length that is wrong down to what is there: a copy that was broken off would lose its end without a word,
and a stream whose length was not known when its header was written would be empty.
"""

import io
import os
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple, cast

from hdnn_nnet.errors import HdnnError
from hdnn_nnet.kaldi.rxfile import read_bytes, read_error, split_offset
from hdnn_nnet.text import words

#: data sizes that mean "to the end", as in Kaldi's feat/wave-reader.cc: nothing known, and what sox writes
STREAMS = (0, 0xFFFFFFFF, 0x7FFFF000, 0x7FFFFFFF)
_FIRST = {
    b"fLaC": "FLAC", b"OggS": "Ogg", b"ID3": "MP3", b"FORM": "AIFF", b".snd": "AU", b"NIST_1A": "SPHERE", b"RF64": "RF64",
    b"BW64": "BW64", b"RIFX": "RIFX", b"riff": "W64", b"caff": "CAF", b"\x1aE\xdf\xa3": "WebM or Matroska", b"wvpk": "WavPack",
    b"#!AMR": "AMR",
}  # fmt: skip
_MP3_RATES = (44100, 48000, 32000)
_MP3_KBITS = (
    (0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320),  # MPEG 1
    (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),  # MPEG 2 and 2.5
)
MP3_LOOK = 1500  # bytes that hold the first frame and the begin of the second


class TruncatedError(HdnnError):
    """A sound file that is shorter than its header says."""


class WavLayout(NamedTuple):
    """Where the samples of a WAV file are.

    Attributes:
        size_at: place of the data chunk's size field; -1 in RF64, which has it elsewhere.
        begin: place of the first sample.
        size: bytes of samples as announced.
        byte_order: `little` or `big` (RIFX).
    """

    size_at: int
    begin: int
    size: int
    byte_order: str

    @property
    def is_stream(self) -> bool:
        return self.size in STREAMS


def container(head: bytes) -> str:
    """The name of the kind of sound file that begins with `head` (MP3_LOOK bytes for all kinds); empty if none is known."""
    for mark, name in _FIRST.items():
        if head.startswith(mark):
            return name
    if head[4:8] == b"ftyp":
        return "MP4 (m4a)"
    return "MP3" if _is_mp3(head) else ""


def _is_mp3(head: bytes) -> bool:
    """Two frames in a row: the mark of one alone may be a sample."""
    if len(head) < 4 or head[0] != 0xFF or head[1] & 0xE6 != 0xE2:
        return False
    version = head[1] >> 3 & 3  # 3: MPEG 1, 2: 2, 0: 2.5
    kbits, rate = head[2] >> 4, head[2] >> 2 & 3
    if version == 1 or kbits in (0, 15) or rate == 3:
        return False
    shift = {3: 0, 2: 1, 0: 2}[version]
    samples, table = (144, _MP3_KBITS[0]) if version == 3 else (72, _MP3_KBITS[1])
    length = samples * 1000 * table[kbits] // (_MP3_RATES[rate] >> shift) + (head[2] >> 1 & 1)
    return head[length : length + 2] == head[:2]


def wav_layout(file: BinaryIO) -> WavLayout | None:
    """Layout of a WAV file from its begin on; None if it is none, or has no data chunk."""
    head = file.read(12)
    if head[:4] not in (b"RIFF", b"RIFX", b"RF64") or head[8:12] != b"WAVE":
        return None
    order = "big" if head[:4] == b"RIFX" else "little"
    place, long_size = 12, None
    while len(chunk := file.read(8)) == 8:
        size = int.from_bytes(chunk[4:], cast(Any, order))
        place += 8
        if chunk[:4] == b"data":
            return (
                WavLayout(-1, place, long_size, order)
                if long_size is not None
                else WavLayout(place - 4, place, size, order)
            )
        body = file.read(28) if chunk[:4] == b"ds64" and head[:4] == b"RF64" else b""
        if len(body) == 28:
            long_size = int.from_bytes(body[8:16], "little")
        place += size + size % 2
        file.seek(size + size % 2 - len(body), os.SEEK_CUR)
    return None


def files_of(audio: str) -> list[Path]:
    """The files that an entry of wav.scp names: its own, or those among the words of a command, as far as they are there."""
    if audio.endswith("|"):
        return [Path(word) for word in words(audio) if os.path.isfile(word)]
    path = audio if os.path.exists(audio) else split_offset(audio)[0]
    return [Path(path)] if os.path.isfile(path) else []


def is_utf8(name: str) -> bool:
    """Whether the name of a file is; Python keeps other bytes as surrogates."""
    return not any("\ud800" <= sign <= "\udfff" for sign in name)


def state(audio: str) -> str:
    """What tells whether the files of an entry of wav.scp have changed: their sizes and times."""
    stats = [path.stat() for path in files_of(audio)]
    return " ".join(f"{stat.st_size}@{stat.st_mtime_ns}" for stat in stats) or "-"


def open_sound(rxfilename: str | os.PathLike[str], what: str) -> Any:
    """An open `soundfile.SoundFile` of an extended file name: file, `.gz`, `archive:offset`, `-` or `command |`.

    Args:
        what: the sound's name in errors.

    Raises:
        TruncatedError: it is shorter than its header says.
        HdnnError: no sound file.
    """
    name = str(rxfilename).strip()
    path, offset = split_offset(name)
    if name == "-" or name.endswith(("|", ".gz")):
        return open_bytes(read_bytes(name), what)
    if Path(name).exists():  # a name may end like an offset
        path, offset = name, 0
    try:
        with open(path, "rb") as file:
            file.seek(offset)
            layout = wav_layout(file)
            left = os.fstat(file.fileno()).st_size - offset
            if layout is not None and layout.size_at >= 0 and (layout.is_stream or offset):
                file.seek(offset)
                wanted = -1 if layout.is_stream else layout.begin + layout.size
                return open_bytes(file.read(wanted), what)
            if offset:
                file.seek(offset)
                return open_bytes(file.read(), what)
    except OSError as error:
        raise HdnnError(f"{what}: {read_error(path, error)}") from error
    return _open(path, layout, left, what)


def open_bytes(data: bytes, what: str) -> Any:
    """The same from memory."""
    layout = wav_layout(io.BytesIO(data))
    if layout is not None and layout.is_stream and layout.size_at >= 0:
        size = len(data) - layout.begin
        patched = bytearray(data)
        patched[layout.size_at : layout.begin] = size.to_bytes(4, cast(Any, layout.byte_order))
        patched[4:8] = (len(data) - 8).to_bytes(4, cast(Any, layout.byte_order))
        return _open(io.BytesIO(bytes(patched)), layout._replace(size=size), len(data), what)
    return _open(io.BytesIO(data), layout, len(data), what)


def _open(source: Any, layout: WavLayout | None, length: int, what: str) -> Any:
    import soundfile  # here: programs that only read features do without it

    if layout is not None and layout.begin + layout.size > length:
        raise TruncatedError(
            f"{what}: truncated: the header announces {layout.size} bytes of sound, {max(length - layout.begin, 0)} are "
            "there; copy the file again"
        )
    try:
        # soundfile encodes names itself, and would fail at one that is not UTF-8.
        odd = isinstance(source, str) and not is_utf8(source)
        sound = soundfile.SoundFile(os.fsencode(source) if odd else source)
    except (RuntimeError, OSError, TypeError) as error:
        raise HdnnError(f"{what}: cannot read the sound file ({error})") from error
    return sound
