"""Reverberation by impulse responses of simulated rooms (the image method: Allen and Berkley 1979, JASA 65, 943-950)."""

from dataclasses import dataclass

import numpy as np

SOUND = 343.0  # metres a second
_SMALLEST, _LARGEST = (3.0, 3.0, 2.4), (10.0, 8.0, 4.0)  # rooms, metres
_FROM_WALL = 0.3  # metres between a wall and the source or the microphone
_NEAREST = 0.3  # metres between these two
_LOWEST = 80.0  # Hz: images have one sign, so that they add up to a rumble that no room has
_SHORTEST = 0.1  # seconds of the reverberation time that is drawn


@dataclass(frozen=True)
class Room:
    """A rectangular room. `size`, `source`, `microphone`: x, y, z in metres; `t60`: seconds in which sound decays by 60 dB."""

    size: tuple[float, ...]
    source: tuple[float, ...]
    microphone: tuple[float, ...]
    t60: float

    @property
    def delay(self) -> float:
        """Seconds of the direct path."""
        return float(np.linalg.norm(np.subtract(self.source, self.microphone))) / SOUND

    @property
    def reflection(self) -> float:
        """Share of the sound pressure that a wall reflects, by Eyring's formula for the reverberation time."""
        x, y, z = self.size
        absorbed = 1 - np.exp(-0.161 * x * y * z / (2 * (x * y + y * z + z * x) * self.t60))
        return float(np.sqrt(1 - absorbed))


def draw_room(rng: np.random.Generator, longest: float) -> Room:
    """A room of random size, with source and microphone anywhere in it, and a reverberation time of up to `longest` seconds."""
    size = rng.uniform(_SMALLEST, _LARGEST)
    t60 = float(rng.uniform(min(_SHORTEST, longest), longest))
    while True:
        source, microphone = rng.uniform(_FROM_WALL, size - _FROM_WALL, (2, 3))
        if np.linalg.norm(source - microphone) >= _NEAREST:
            return Room(tuple(size), tuple(source), tuple(microphone), t60)


def impulse_response(room: Room, rate: int) -> np.ndarray:
    """(n,) float64 at `rate` samples a second, from the direct path on (which has the value 1), over the room's t60."""
    reach = SOUND * (room.delay + room.t60)
    along = [_images(*place, reach) for place in zip(room.size, room.source, room.microphone, strict=True)]
    (x, nx), (y, ny), (z, nz) = along
    response = np.zeros(int(room.t60 * rate) + 1)
    direct = SOUND * room.delay
    square = y[:, None] ** 2 + z[None, :] ** 2
    reflections = ny[:, None] + nz[None, :]
    for place, count in zip(x, nx, strict=True):  # one layer at a time: all at once would be some hundred megabytes
        distance = np.sqrt(square + place**2)
        near = distance <= reach
        sample = np.rint((distance[near] - direct) / SOUND * rate).astype(np.int64)
        strength = direct / distance[near] * room.reflection ** (reflections[near] + count)
        inside = sample < len(response)
        response += np.bincount(sample[inside], strength[inside], len(response))
    return response


def _images(length: float, source: float, microphone: float, reach: float) -> tuple[np.ndarray, np.ndarray]:
    """Along one axis: places of the source's images as seen from the microphone, up to `reach`, and reflections of each."""
    most = int(reach / (2 * length)) + 1
    period = np.arange(-most, most + 1)
    places = np.concatenate([2 * period * length + source, 2 * period * length - source]) - microphone
    return places, np.concatenate([np.abs(2 * period), np.abs(2 * period - 1)])


def reverberate(samples: np.ndarray, response: np.ndarray, rate: int) -> np.ndarray:
    """(n, channels) as heard in a room, (n, channels): no later than before, as loud, and cut where they ended."""
    from scipy.signal import butter, oaconvolve, sosfilt

    filtered = sosfilt(butter(2, _LOWEST, "highpass", fs=rate, output="sos"), response)
    heard = oaconvolve(samples, filtered[:, None], axes=0)[: len(samples)]
    before, after = np.mean(samples**2), np.mean(heard**2)
    return heard * np.sqrt(before / after) if after > 0 else heard
