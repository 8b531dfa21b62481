"""Noise behind speech: white, pink, babble of other speakers, or from recordings of noise."""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from hdnn_nnet.corpus.folder import SOUNDS, sound_files
from hdnn_nnet.corpus.items import Item
from hdnn_nnet.corpus.sounds import samples_of
from hdnn_nnet.errors import HdnnError
from hdnn_nnet.feats.pcm import resample
from hdnn_nnet.kaldi.data_dir import byte_order
from hdnn_nnet.kaldi.script_table import read_scp

VOICES = 5  # of babble
_LOWEST = 20.0  # Hz: below, pink noise is as strong as here

#: generator, samples wanted, their rate, speaker of the speech -> noise (n,)
Noise = Callable[[np.random.Generator, int, int, str], np.ndarray]


def white(rng: np.random.Generator, count: int, rate: int, speaker: str) -> np.ndarray:
    """Equal power at all frequencies."""
    return rng.standard_normal(count)


def pink(rng: np.random.Generator, count: int, rate: int, speaker: str) -> np.ndarray:
    """Power falls by 3 dB an octave."""
    from scipy.fft import irfft, next_fast_len, rfft

    size = next_fast_len(count, real=True)
    frequency = np.fft.rfftfreq(size, 1 / rate)
    return irfft(rfft(rng.standard_normal(size)) / np.sqrt(np.maximum(frequency, _LOWEST)), size)[:count]


def babble(utterances: Sequence[Item]) -> Noise:
    """Several of these utterances at once, equally loud, by others than the speaker where there are others."""

    def make(rng: np.random.Generator, count: int, rate: int, speaker: str) -> np.ndarray:
        others = [item for item in utterances if item.speaker != speaker] or utterances
        total = np.zeros(count)
        for number in rng.integers(len(others), size=VOICES):
            voice = _repeated(rng, _read(others[number], rate), count)
            power = np.mean(voice**2)
            total += voice / np.sqrt(power) if power > 0 else 0
        return total

    return make


def noise_sounds(directory: Path) -> list[str]:
    """The recordings in a data directory (entries of wav.scp) or folder.

    Raises:
        HdnnError: none there.
    """
    if (directory / "wav.scp").is_file():
        sounds = [sound.strip() for sound in read_scp(directory / "wav.scp").values()]
    else:
        sounds = sorted(map(str, sound_files(directory)), key=byte_order)
    if not sounds:
        raise HdnnError(f"--noise-dir {directory} holds neither a wav.scp nor sound files ({' '.join(sorted(SOUNDS))})")
    return sounds


def recorded(directory: Path) -> Noise:
    """One of the recordings in a data directory or folder, from anywhere in it on; a short one is repeated."""
    sounds = noise_sounds(directory)

    def make(rng: np.random.Generator, count: int, rate: int, speaker: str) -> np.ndarray:
        sound = sounds[rng.integers(len(sounds))]
        noise = _read(Item(sound, "", "", sound, sound), rate)
        if not noise.any():  # copies would be the originals again
            raise HdnnError(f"--noise-dir: {sound} holds nothing but digital silence; remove it")
        return _repeated(rng, noise, count)

    return make


def _read(item: Item, rate: int) -> np.ndarray:
    samples, given = samples_of(item)
    if not len(samples):
        raise HdnnError(f"{item.audio}: no samples of {item.where}; remove it")
    if given != rate:
        samples = resample(samples / 32768.0, given, rate)
    return samples / 32768.0


def _repeated(rng: np.random.Generator, samples: np.ndarray, count: int) -> np.ndarray:
    """`count` samples from a random place on, and round and round."""
    return np.resize(np.roll(samples, -int(rng.integers(len(samples)))), count)


def mix(speech: np.ndarray, noise: np.ndarray, snr: float, spoken: Sequence[slice]) -> np.ndarray:
    """Add noise (n,) to every channel of (n, channels).

    Args:
        snr: decibels between the power of each channel's speech and of the noise.
        spoken: where the speech is; both powers are means over it.
    """
    inside = np.concatenate([np.arange(part.start, part.stop) for part in spoken])
    power, background = np.mean(speech[inside] ** 2, axis=0), np.mean(noise[inside] ** 2)
    if not background > 0:
        return speech
    return speech + noise[:, None] * np.sqrt(power / (background * 10 ** (snr / 10)))
