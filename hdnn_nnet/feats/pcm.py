"""Samples of sound files as the 16-bit integers that features are computed from."""

from typing import Any

import numpy as np

from hdnn_nnet.errors import HdnnError

_FLOATS = ("FLOAT", "DOUBLE")  # subtypes whose samples lie in [-1, 1]


def read_int16(sound: Any, count: int) -> np.ndarray:
    """The next samples of an open `soundfile.SoundFile`, at most `count` (-1: all), (n, channels) int16.

    libsndfile casts floating-point samples without scaling when asked for integers: all of them would become 0.

    Raises:
        HdnnError: floating-point samples outside [-1, 1], or that are not finite.
    """
    if sound.subtype in _FLOATS:
        samples = sound.read(count, dtype="float64", always_2d=True)
        if not (np.abs(samples) <= 1.0).all():  # also where NaN
            worst = samples[~(np.abs(samples) <= 1.0)][0]
            raise HdnnError(
                f"floating-point sample {worst:g} outside [-1, 1]; scale the file, or store 16-bit integers (sox -b 16)"
            )
        return from_float(samples)
    return sound.read(count, dtype="int16", always_2d=True)


def from_float(samples: np.ndarray) -> np.ndarray:
    """float in [-1, 1] to int16; louder samples are clipped."""
    return np.clip(np.rint(samples * 32768), -32768, 32767).astype(np.int16)


def resample(samples: np.ndarray, given: int, wanted: int) -> np.ndarray:
    """float in [-1, 1] at `given` samples a second to int16 at `wanted`."""
    from scipy.signal import resample_poly

    common = int(np.gcd(given, wanted))
    converted = resample_poly(samples.astype(np.float64), wanted // common, given // common)
    return from_float(converted)
