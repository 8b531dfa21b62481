"""Masks over frequencies and times of the training features, drawn anew for every utterance and epoch.

After Park et al. 2019, "SpecAugment" (arXiv 1904.08779), without its warping of time.
"""

import zlib
from dataclasses import dataclass

import numpy as np

from hdnn_nnet.train.options import MaskOptions


@dataclass(frozen=True)
class Masks:
    """Hides parts of normalised features: they become 0, the mean of all training frames.

    What is hidden depends on (seed, epoch, utterance) alone: not on blocks, ranks, or where a training was resumed.

    Attributes:
        bands: columns that stand for different frequencies; deltas repeat them and are hidden with them.
    """

    options: MaskOptions
    seed: int
    bands: int

    def __call__(self, utt: str, epoch: int, features: np.ndarray) -> np.ndarray:
        """(T, D) to a masked copy; D is a multiple of `bands`."""
        rng = np.random.default_rng((self.seed, epoch, zlib.crc32(utt.encode())))
        options, frames = self.options, len(features)
        masked = features.reshape(frames, -1, self.bands).copy()
        for _ in range(options.freq_masks):
            first, last = _stretch(rng, options.freq_mask_width, self.bands)
            masked[:, :, first:last] = 0
        widest = min(options.time_mask_width, int(options.time_mask_share * frames))
        for _ in range(options.time_masks):
            first, last = _stretch(rng, widest, frames)
            masked[first:last] = 0
        return masked.reshape(features.shape)


def _stretch(rng: np.random.Generator, widest: int, length: int) -> tuple[int, int]:
    """Begin and end of a mask: its width uniform in 0 to `widest`, then its place uniform in `length`."""
    width = int(rng.integers(min(widest, length) + 1))
    first = int(rng.integers(length - width + 1))
    return first, first + width
