"""Speech made faster or slower, its pitch with it."""

from fractions import Fraction

import numpy as np


def change_speed(samples: np.ndarray, factor: float) -> np.ndarray:
    """(n, channels) at `factor` times the speed, (round(n / factor), channels), as sox's `speed` does it."""
    from scipy.signal import resample_poly

    ratio = Fraction(str(factor)).limit_denominator(1000)
    changed = resample_poly(samples, ratio.denominator, ratio.numerator, axis=0)
    return changed[: round(len(samples) / factor)]
