"""Whether recordings are what they claim: bandwidth in use, clipping, level, silence; and what follows."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

_FFT = 512
_EDGE_DROP = 15.0  # dB by which everything above an edge is below what is just under it
_EDGE_GAP = 250.0  # Hz that the flank may take
_EDGE_BELOW = 600.0  # Hz below the edge that are compared
_FLOOR = 1e-12  # of the power spectrum: digital silence
_CLIPPED = 32700  # of 16-bit samples
_SILENCE = 35.0  # dB below the loud frames
_FRAME = 0.025  # seconds
_LOWEST = 2500.0  # Hz: lower edges are those of single sounds, not of a recording
_FULL = 0.85  # an edge above this share of the band is that of an ordinary recording


@dataclass(frozen=True)
class Quality:
    """Measures of one piece of audio.

    Attributes:
        speaker: whose it is.
        rate: samples a second.
        edge: Hz above which nothing is left (half the sample rate where the whole band is in use).
        clipped: share of samples at full scale.
        level: dB of full scale, root mean square of the frames that are not silent; -inf for digital silence.
        silence: share of frames more than 35 dB below the loud ones (or digitally silent).
    """

    speaker: str
    rate: int
    edge: float
    clipped: float
    level: float
    silence: float


def measure(samples: np.ndarray, rate: int, speaker: str = "") -> Quality:
    """Measures of samples in the range of 16-bit integers, (n,)."""
    samples = np.asarray(samples, np.float64)
    length = max(1, int(_FRAME * rate))
    frames = samples[: len(samples) // length * length].reshape(-1, length)
    power = (frames**2).mean(1) if len(frames) else np.array([(samples**2).mean() if len(samples) else 0.0])
    loud = np.percentile(power, 95)
    silent = (power <= loud * 10 ** (-_SILENCE / 10)) | (power == 0)
    speech = power[~silent]
    level = 10 * np.log10(speech.mean() / 32768.0**2) if len(speech) and speech.mean() > 0 else -np.inf
    clipped = float((np.abs(samples) >= _CLIPPED).mean()) if len(samples) else 0.0
    return Quality(speaker, rate, band_edge(samples, rate), clipped, float(level), float(silent.mean()))


def band_edge(samples: np.ndarray, rate: int) -> float:
    """Hz above which a low-pass (a codec's, or that of a lower sample rate) has left nothing; rate / 2 without one.

    In the long-term spectrum of the loudest half of the frames, the lowest frequency is looked for above which everything is at
    least 15 dB below what is just under it. The slope of speech itself is much gentler.
    """
    count = len(samples) // _FFT
    nyquist = rate / 2
    if count < 4:
        return nyquist
    frames = samples[: count * _FFT].reshape(count, _FFT) * np.hanning(_FFT)
    energy = (frames**2).sum(1)
    spectrum = np.abs(np.fft.rfft(frames[energy >= np.median(energy)], axis=1)) ** 2
    # Rounding to 16 bits is noise of its own; the scale is that of one sample's square.
    decibels = 10 * np.log10(spectrum.mean(0) / _FFT + _FLOOR)
    step = rate / _FFT
    gap, below = int(_EDGE_GAP / step), int(_EDGE_BELOW / step)
    highest_above = np.maximum.accumulate(decibels[::-1])[::-1]
    best, edge = _EDGE_DROP, nyquist
    for place in range(int(_LOWEST / step), len(decibels) - gap - int(200 / step)):
        under = np.median(decibels[place - below : place])
        drop = under - highest_above[place + gap]
        if drop > best:
            best, edge = drop, place * step
    return float(edge)


def advice(found: Sequence[Quality], rate: int) -> list[str]:
    """What follows from a sample, one line for each observation; `rate` is that of the features.

    What concerns everybody is said once; clipping is said of each speaker.
    """
    if not found:
        return []
    lines = []
    limited = [q for q in found if q.edge < _FULL * min(q.rate, rate) / 2]
    if len(limited) > len(found) / 2:
        edge = common_edge(found, rate)
        what = f"nothing above {edge / 1000:.1f} kHz in {len(limited)} of {len(found)} recordings"
        if rate >= 16000 and edge <= 4500:
            lines.append(f"{what}: 8 kHz (telephone) speech in {rate / 1000:g} kHz files: --rate 8000")
        else:
            lines.append(
                f"{what} (a codec's low-pass): nothing to do; --high-freq {edge:.0f} did harm where it was tried"
            )
    elif limited:
        lines.append(
            f"{len(limited)} of {len(found)} recordings have nothing above {np.median([q.edge for q in limited]) / 1000:.1f} "
            "kHz, the others have: two kinds of recordings, best not split between train and dev by kind"
        )
    by_speaker = defaultdict(list)
    for q in found:
        by_speaker[q.speaker].append(q)
    for speaker, those in sorted(by_speaker.items()):
        share = float(np.mean([q.clipped for q in those]))
        if share > 1e-3:
            lines.append(
                f"{100 * share:.2g} % of speaker {speaker}'s samples clip: record with less gain, or leave them out"
            )
    level = float(np.median([q.level for q in found]))
    if level < -45:
        lines.append(
            f"median level {level:.0f} dB of full scale: very quiet; record with more gain (a factor changes nothing)"
        )
    silence = float(np.median([q.silence for q in found]))
    if silence > 0.5:
        lines.append(f"{100 * silence:.0f} % of the time is silence: cut the recordings closer, or give segments")
    return lines


def common_edge(found: Iterable[Quality], rate: int) -> float:
    """The band edge of most recordings: the median of those that have one, in Hz, rounded up to 100; rate / 2 where few have."""
    edges = [q.edge for q in found]
    limited = [edge for edge in edges if edge < _FULL * rate / 2]
    if 2 * len(limited) <= len(edges):
        return rate / 2
    return float(np.ceil(np.median(limited) / 100) * 100)
