"""Normalisation, deltas and splicing, as Kaldi's apply-cmvn, add-deltas and splice-feats do them."""

import shlex
from dataclasses import dataclass
from functools import cached_property
from typing import NoReturn

import numpy as np

from hdnn_nnet.errors import HdnnError
from hdnn_nnet.options import kaldi_bool


def _parse(options: str, what: str, known: dict) -> dict:
    """`--name=value` words (or a bare `--name` for a boolean) into a dictionary by the types in `known`."""
    values = {}
    for word in shlex.split(options):
        name, equals, text = word.removeprefix("--").partition("=")
        if not word.startswith("--") or name not in known or not (equals or known[name] is kaldi_bool):
            _bad(options, what, f"{word!r} is not one of " + ", ".join(f"--{k}=" for k in known))
        try:
            values[name.replace("-", "_")] = known[name](text if equals else "true")
        except Exception as error:  # argparse and int raise different types
            raise HdnnError(f"{what} {options!r}: bad value in {word!r}") from error
    return values


def _bad(options: str, what: str, why: str) -> NoReturn:
    raise HdnnError(f"{what} {options!r}: {why}")


def _dimensions(text: str) -> tuple[int, ...]:
    return tuple(int(word) for word in text.split(":") if word)


@dataclass(frozen=True)
class Cmvn:
    """Normalisation by per-speaker statistics (Kaldi's apply-cmvn).

    Attributes:
        norm_means: subtract the speaker's mean.
        norm_vars: also divide by the standard deviation.
        skip_dims: columns left as they are.
    """

    norm_means: bool = True
    norm_vars: bool = False
    skip_dims: tuple[int, ...] = ()

    @classmethod
    def parse(cls, options: str) -> "Cmvn | None":
        """From a `cmvn_opts` string such as `--norm-means=true --norm-vars=false`; None if it asks for nothing."""
        if not options.strip():
            return None
        known = {"norm-means": kaldi_bool, "norm-vars": kaldi_bool, "skip-dims": _dimensions}
        cmvn = cls(**_parse(options, "cmvn_opts", known))
        if cmvn.norm_vars and not cmvn.norm_means:
            _bad(options, "cmvn_opts", "variances cannot be normalised without the means")
        return cmvn if cmvn.norm_means else None

    def offset_and_scale(self, stats: np.ndarray, what: str) -> tuple[np.ndarray, np.ndarray | None]:
        """What to add to the (scaled) features: float32 offset and scale (None without variances), shape (D,).

        Args:
            stats: float64, shape (2, D + 1): sums and count, sums of squares and 0; one row will do without norm_vars.
            what: names file and speaker in errors.
        """
        if stats.ndim != 2 or stats.shape[0] not in (1, 2) or stats.shape[1] < 2:
            raise HdnnError(f"{what}: CMVN statistics of shape {stats.shape}, expected (2, D + 1); compute them again")
        if not np.isfinite(stats).all():
            raise HdnnError(f"{what}: NaN or infinity in the CMVN statistics; compute them again")
        stats = stats.astype(np.float64)
        count = stats[0, -1]
        if count < 1:
            raise HdnnError(f"{what}: CMVN statistics of {count} frames; compute them again")
        skip = list(self.skip_dims)
        if skip and not 0 <= min(skip) <= max(skip) < stats.shape[1] - 1:
            raise HdnnError(f"{what}: --skip-dims names a column outside 0 to {stats.shape[1] - 2}")
        stats[0, skip] = 0.0
        if not self.norm_vars:
            # Kaldi rounds the factor to single precision before it meets the double-precision sums.
            return (np.float64(np.float32(-1.0 / count)) * stats[0, :-1]).astype(np.float32), None
        if stats.shape[0] == 1:
            raise HdnnError(f"{what}: CMVN statistics without variances, but --norm-vars=true")
        stats[1, skip] = count
        mean = stats[0, :-1] / count
        scale = 1.0 / np.sqrt(np.maximum(stats[1, :-1] / count - mean * mean, 1.0e-20))
        return (-mean * scale).astype(np.float32), scale.astype(np.float32)


@dataclass(frozen=True)
class Deltas:
    """Time derivatives appended to the features (Kaldi's add-deltas).

    Attributes:
        delta_order: how many derivatives.
        delta_window: frames on either side in the regression.
    """

    delta_order: int = 2
    delta_window: int = 2

    @classmethod
    def parse(cls, options: str) -> "Deltas | None":
        """From a `delta_opts` string such as `--delta-order=2 --delta-window=2`; None if it is empty."""
        if not options.strip():
            return None
        deltas = cls(**_parse(options, "delta_opts", {"delta-order": int, "delta-window": int}))
        if deltas.delta_order < 0 or deltas.delta_window < 1:
            _bad(options, "delta_opts", "the order must be 0 or more, the window 1 or more")
        return deltas

    @cached_property
    def filters(self) -> list[np.ndarray]:
        """The filter of each order, float64, of length 2 * order * window + 1."""
        slope = np.arange(-self.delta_window, self.delta_window + 1, dtype=np.float64)
        slope /= (slope**2).sum()
        filters = [np.ones(1)]
        for _ in range(self.delta_order):
            filters.append(np.convolve(filters[-1], slope))
        return filters

    def apply(self, features: np.ndarray) -> np.ndarray:
        """(T, D) to (T, D * (delta_order + 1)), float32; beyond the ends the first or last frame is repeated."""
        frames, dim = features.shape
        reach = self.delta_order * self.delta_window
        padded = np.pad(features, ((reach, reach), (0, 0)), mode="edge")
        output = np.zeros((frames, dim * (self.delta_order + 1)), dtype=np.float32)
        output[:, :dim] = features
        for order, taps in enumerate(self.filters[1:], 1):
            block = output[:, order * dim : (order + 1) * dim]
            first = reach - len(taps) // 2
            for shift, tap in enumerate(taps):
                if tap != 0.0:
                    block += np.float32(tap) * padded[first + shift : first + shift + frames]
        return output


@dataclass(frozen=True)
class Splice:
    """Neighbouring frames put side by side (Kaldi's splice-feats).

    Attributes:
        left_context, right_context: frames on either side.
    """

    left_context: int = 4
    right_context: int = 4

    @classmethod
    def parse(cls, options: str) -> "Splice":
        """From a `splice_opts` string such as `--left-context=3 --right-context=3`; what is not said is 4, as in Kaldi."""
        splice = cls(**_parse(options, "splice_opts", {"left-context": int, "right-context": int}))
        if splice.left_context < 0 or splice.right_context < 0:
            _bad(options, "splice_opts", "the contexts must be 0 or more")
        return splice

    @property
    def width(self) -> int:
        """Frames side by side."""
        return self.left_context + 1 + self.right_context

    def apply(self, features: np.ndarray) -> np.ndarray:
        """(T, D) to (T, width * D), from the leftmost frame on; beyond the ends the first or last frame is repeated."""
        padded = np.pad(features, ((self.left_context, self.right_context), (0, 0)), mode="edge")
        windows = np.lib.stride_tricks.sliding_window_view(padded, self.width, axis=0)  # (T, D, width)
        return np.ascontiguousarray(windows.transpose(0, 2, 1)).reshape(len(features), -1)
