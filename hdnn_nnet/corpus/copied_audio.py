"""The recordings of augmented data: each is read, changed and written once."""

import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path

import numpy as np

from hdnn_nnet.atomic import atomic_path
from hdnn_nnet.corpus.items import Item
from hdnn_nnet.corpus.noise import Noise, babble, mix, pink, recorded, white
from hdnn_nnet.corpus.options import AugmentOptions
from hdnn_nnet.corpus.room import draw_room, impulse_response, reverberate
from hdnn_nnet.corpus.speed import change_speed
from hdnn_nnet.errors import HdnnError
from hdnn_nnet.feats.pcm import from_float, read_int16
from hdnn_nnet.feats.sound_file import open_sound


@dataclass(frozen=True)
class Speech:
    """A recording. `audio`: as in wav.scp; `spoken`: seconds (start, end or None) of its utterances; `speaker`: of the first."""

    recording: str
    audio: str
    speaker: str
    spoken: tuple[tuple[float, float | None], ...]

    def slices(self, count: int, rate: int) -> list[slice]:
        """Samples of the utterances, in a recording of `count`; all where these lie outside."""
        ends = ((start, count / rate if end is None else end) for start, end in self.spoken)
        found = [slice(min(int(start * rate), count), min(int(end * rate), count)) for start, end in ends]
        return [part for part in found if part.stop > part.start] or [slice(0, count)]


#: generator, samples (n, channels) in [-1, 1], their rate, the recording -> changed samples (m, channels)
Apply = Callable[[np.random.Generator, np.ndarray, int, Speech], np.ndarray]


@dataclass(frozen=True)
class Change:
    """One kind of copy. `prefix`: of its utterances, recordings and speakers; times are divided by `speed`."""

    prefix: str
    apply: Apply
    speed: float = 1.0


def changes(options: AugmentOptions, items: Sequence[Item]) -> list[Change]:
    """The copies that are asked for; `items` are all utterances, of which babble is made."""
    found = [Change(f"sp{f:g}-", partial(_faster, f), f) for f in dict.fromkeys(options.speeds) if f != 1]
    if options.noise_copies:
        known: dict[str, Noise] = {"white": white, "pink": pink, "babble": babble(items)}
        kinds = [recorded(options.noise_dir)] if options.noise_dir else [known[name] for name in options.noise]
        noisy = partial(_noisy, kinds, options.snrs)
        found += [Change(f"noise{n}-", noisy) for n in range(1, options.noise_copies + 1)]
    if options.reverb_copies:
        rooms = partial(_response, options)
        # A room is simulated when it is first drawn, once for each rate.
        roomy = partial(_roomy, options.rooms, lru_cache(maxsize=None)(rooms))
        found += [Change(f"reverb{n}-", roomy) for n in range(1, options.reverb_copies + 1)]
    return found


def _faster(factor: float, rng: np.random.Generator, samples: np.ndarray, rate: int, speech: Speech) -> np.ndarray:
    return change_speed(samples, factor)


def _noisy(
    kinds: Sequence[Noise],
    snrs: Sequence[float],
    rng: np.random.Generator,
    samples: np.ndarray,
    rate: int,
    speech: Speech,
) -> np.ndarray:
    make, snr = kinds[rng.integers(len(kinds))], snrs[rng.integers(len(snrs))]
    noise = make(rng, len(samples), rate, speech.speaker)
    return _fitting(mix(samples, noise, snr, speech.slices(len(samples), rate)))


def _response(options: AugmentOptions, number: int, rate: int) -> np.ndarray:
    rng = np.random.default_rng((options.seed, number))
    return impulse_response(draw_room(rng, options.max_t60), rate)


def _roomy(
    count: int,
    response: Callable[[int, int], np.ndarray],
    rng: np.random.Generator,
    samples: np.ndarray,
    rate: int,
    speech: Speech,
) -> np.ndarray:
    return _fitting(reverberate(samples, response(int(rng.integers(count)), rate), rate))


def _fitting(samples: np.ndarray) -> np.ndarray:
    """Softer as a whole where it would be clipped."""
    loudest = np.abs(samples).max()
    return samples * (0.99 / loudest) if loudest > 0.99 else samples


def write_copy(change: Change, speech: Speech, seed: int, path: Path) -> None:
    """Write the changed recording as 16-bit WAV at its rate; one that is there is kept.

    Raises:
        HdnnError: a recording that cannot be read, or has no samples.
    """
    if path.is_file():
        return
    import soundfile

    what = f"{speech.audio} (recording {speech.recording})"
    try:
        with open_sound(speech.audio, what) as sound:
            rate, samples = sound.samplerate, read_int16(sound, -1) / 32768.0
    except RuntimeError as error:
        raise HdnnError(f"{what}: damaged sound file ({error}); copy it again") from error
    if not len(samples):
        raise HdnnError(f"{what}: no samples; remove its utterances")
    rng = np.random.default_rng((seed, zlib.crc32((change.prefix + speech.recording).encode())))
    changed = change.apply(rng, samples, rate, speech)
    with atomic_path(path) as temporary:
        soundfile.write(temporary, from_float(changed), rate, format="WAV", subtype="PCM_16")
