"""What each headset picks up: the wearer, the others more faintly, and the room."""

from dataclasses import dataclass

import numpy as np
from scipy.signal import fftconvolve, lfilter

from .config import SAMPLE_RATE, Acoustics
from .power import sum_of_squares

PEAK = 0.97  # louder headsets are turned down as a whole, so that nothing clips
REVERBERATION_S = 0.12  # of the cross-talk: decay by 60 dB
DELAY_S = (0.002, 0.006)  # of the cross-talk: 0.7 to 2 m
HUM_HZ = 100.0


@dataclass
class Headset:
    """The stems of one headset, float32 (N,) at the levels of the file; the file is their sum."""

    speech: np.ndarray
    crosstalk: np.ndarray
    noise: np.ndarray
    snr_db: float  # as drawn
    crosstalk_db: list[float]  # as drawn, one for each other speaker

    @property
    def mixture(self) -> np.ndarray:
        return self.speech + self.crosstalk + self.noise


def active_rms(samples: np.ndarray, spans: list[tuple[float, float]]) -> float:
    """RMS inside the spans (seconds); the whole signal's if there are none."""
    parts = [samples[int(a * SAMPLE_RATE) : int(b * SAMPLE_RATE)] for a, b in spans]
    active = np.concatenate(parts) if parts else samples
    return float(np.sqrt(np.mean(np.square(active, dtype=np.float64)))) if len(active) else 0.0


def mix_headsets(
    voices: list[np.ndarray], spans: list[list[tuple[float, float]]], acoustics: Acoustics, rng: np.random.Generator
) -> list[Headset]:
    """Turn the dry voices (N,) of a meeting into headset recordings. `spans` say where each one speaks, in seconds.

    SNR, cross-talk attenuation and level are drawn from the ranges of `acoustics`.
    """
    levels = [10 ** (rng.uniform(*acoustics.level_dbfs) / 20) for _ in voices]
    dry = [
        voice * np.float32(level / (active_rms(voice, span) or 1.0))
        for voice, span, level in zip(voices, spans, levels, strict=True)
    ]
    distant = [_through_room(voice, span, rng) for voice, span in zip(dry, spans, strict=True)]  # of unit level
    headsets = []
    for wearer, speech in enumerate(dry):
        attenuations, crosstalk = [], np.zeros_like(speech)
        for other, sound in enumerate(distant):
            if other == wearer:
                continue
            attenuations.append(float(rng.uniform(*acoustics.crosstalk_db)))
            delay = int(rng.uniform(*DELAY_S) * SAMPLE_RATE)
            crosstalk[delay:] += sound[: len(sound) - delay] * np.float32(
                levels[other] * 10 ** (-attenuations[-1] / 20)
            )
        snr = float(rng.uniform(*acoustics.snr_db))
        noise = _room_noise(len(speech), rng) * np.float32(levels[wearer] * 10 ** (-snr / 20))
        headset = Headset(speech, crosstalk, noise, snr, attenuations)
        peak = float(np.abs(headset.mixture).max())
        if peak > PEAK:
            gain = np.float32(PEAK / peak)
            headset = Headset(speech * gain, crosstalk * gain, noise * gain, snr, attenuations)
        headsets.append(headset)
    return headsets


def _through_room(voice: np.ndarray, span: list[tuple[float, float]], rng: np.random.Generator) -> np.ndarray:
    """The voice as heard across the table: a direct sound and a decaying tail; RMS 1 where they speak."""
    length = int(REVERBERATION_S * SAMPLE_RATE)
    response = rng.standard_normal(length, dtype=np.float32) * np.exp(
        -6.9 * np.arange(length, dtype=np.float32) / length
    )
    # In double precision, whatever numpy makes of a float and a float32.
    response *= np.float32(0.7 / float(np.sqrt(sum_of_squares(response))))
    response[0] += 1.0
    heard = fftconvolve(voice, response)[: len(voice)].astype(np.float32)
    return heard / np.float32(active_rms(heard, span) or 1.0)


def _room_noise(length: int, rng: np.random.Generator) -> np.ndarray:
    """Unit-RMS room noise: ventilation that falls towards high frequencies, hiss, a little hum."""
    white = rng.standard_normal(length, dtype=np.float32)
    noise = lfilter([np.float32(1)], [np.float32(1), np.float32(-0.9)], white).astype(np.float32)
    noise += rng.standard_normal(length, dtype=np.float32) * np.float32(0.7)
    phase = np.float32(rng.uniform(0, 2 * np.pi))
    noise += np.float32(0.3) * np.sin(np.arange(length) * (2 * np.pi * HUM_HZ / SAMPLE_RATE) + phase).astype(np.float32)
    return noise / np.float32(np.sqrt(np.mean(np.square(noise, dtype=np.float64))))
