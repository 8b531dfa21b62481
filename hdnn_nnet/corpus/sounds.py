"""Sound files of any format as what Kaldi reads: 16-bit mono WAV at one sample rate; others are decoded once."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from hdnn_nnet.atomic import atomic_path, write_text
from hdnn_nnet.corpus.items import Item
from hdnn_nnet.errors import HdnnError
from hdnn_nnet.feats.pcm import read_int16, resample
from hdnn_nnet.feats.sound_file import TruncatedError, files_of, is_utf8, open_sound, state
from hdnn_nnet.kaldi.script_table import read_scp

SHORTEST = 0.1  # seconds
TOO_SHORT = f"shorter than {SHORTEST} s"
#: beside decoded recordings: what each was made of (rate, channel, sizes and times of files, entry of wav.scp)
DECODED_FROM = "decoded_from"
_NO_SOUND = "file that is no sound (libsndfile cannot read it)"
_TRUNCATED = "sound file that is shorter than its header says"
_TOO_LOUD = "sound file with floating-point samples outside [-1, 1]"


class Sound(NamedTuple):
    """What a sound file says of itself; `problem` says why it cannot be used."""

    rate: int = 0
    seconds: float = 0.0
    channels: int = 0
    plain: bool = False  # 16-bit WAV, as Kaldi reads it
    problem: str = ""


def _open(audio: str) -> Any:
    return open_sound(audio, audio)


def readable_by_kaldi(audio: str) -> bool:
    """Whether wav.scp can hold the name of a file: no blanks, and UTF-8."""
    return not any(map(str.isspace, audio)) and is_utf8(audio)


def look(audio: str) -> Sound:
    """Header of a sound file or of a pipe's output."""
    try:
        if not audio.endswith("|"):
            if not (files := files_of(audio)):
                return Sound(problem="sound file that does not exist")
            if files[0].stat().st_size == 0:
                return Sound(problem="empty sound file")
        with _open(audio) as sound:
            seconds = sound.frames / sound.samplerate
            plain = sound.format in ("WAV", "WAVEX") and sound.subtype == "PCM_16"
            problem = "" if seconds >= SHORTEST else TOO_SHORT
            return Sound(sound.samplerate, seconds, sound.channels, plain, problem)
    except TruncatedError:
        return Sound(problem=_TRUNCATED)
    except (RuntimeError, OSError, HdnnError):
        return Sound(problem=_NO_SOUND)


def look_at_all(audios: Sequence[str], nj: int) -> dict[str, Sound]:
    """Headers of many, read side by side."""
    with ThreadPoolExecutor(nj) as pool:
        return dict(zip(audios, pool.map(look, audios), strict=True))


def samples_of(item: Item) -> tuple[np.ndarray, int]:
    """Samples of an utterance, (n,) int16, and their rate; the first channel where none is named."""
    with _open(item.audio) as sound:
        if item.start is not None:
            sound.seek(min(int(item.start * sound.samplerate), sound.frames))
        count = -1 if item.end is None else max(0, int((item.end - (item.start or 0.0)) * sound.samplerate))
        return read_int16(sound, count)[:, item.channel or 0], sound.samplerate


def keep_decoded(wanted: dict[tuple[str, int], Path], rate: int, folder: Path) -> None:
    """Remove what was decoded into `folder` from other recordings, from an earlier state of these, or at another rate.

    Args:
        wanted: recording (as in wav.scp) and channel -> the file in `folder` that it becomes.
    """
    lines = {path.name: f"{rate} {channel} {state(audio)} {audio!r}" for (audio, channel), path in wanted.items()}
    table = folder / DECODED_FROM
    before = read_scp(table) if table.is_file() else {}
    for path in folder.glob("*.wav"):
        if path.name not in lines or before.get(path.name) != lines[path.name]:
            path.unlink()
    if lines:
        write_text(table, "".join(f"{name} {line}\n" for name, line in sorted(lines.items())))
    else:
        table.unlink(missing_ok=True)


def decode(audio: str, channel: int, rate: int, path: Path) -> str:
    """Write a recording as 16-bit mono WAV at `rate`; what is wrong with it, or nothing.

    A file that is there is kept: `keep_decoded` has removed those that were made some other way.
    """
    if path.is_file():
        return ""
    import soundfile

    try:
        sound = _open(audio)
    except TruncatedError:
        return _TRUNCATED
    except HdnnError:
        return _NO_SOUND
    try:
        with sound:
            given, length = sound.samplerate, sound.frames
            samples = read_int16(sound, -1)[:, channel]
    except HdnnError:
        return _TOO_LOUD
    except RuntimeError:
        return _NO_SOUND
    if len(samples) < length:
        return _TRUNCATED
    if given != rate:
        samples = resample(samples.astype(np.float64) / 32768.0, given, rate)
    with atomic_path(path) as temporary:
        soundfile.write(temporary, samples, rate, format="WAV", subtype="PCM_16")
    return ""
