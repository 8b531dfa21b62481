"""Groups of different sizes, one after the other in an array."""

from collections.abc import Callable, Iterable, Iterator, Mapping

import numpy as np

#: values of a `Vectors` that are converted and kept together
_TOGETHER = 1 << 24


def ranges(begins: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """Concatenate `arange(b, b + c)` for all pairs of `begins` and `counts`; int64."""
    ends = np.cumsum(counts)
    total = int(ends[-1]) if len(ends) else 0
    return np.arange(total) + np.repeat(begins - (ends - counts), counts)


def cumulative(counts: np.ndarray) -> np.ndarray:
    """(n + 1,) int64 offsets for groups of `counts` entries."""
    offsets = np.zeros(len(counts) + 1, np.int64)
    np.cumsum(counts, out=offsets[1:])
    return offsets


class Vectors(Mapping[str, np.ndarray]):
    """Vectors by key, of which millions cost little more than their values: a few long arrays hold them all.

    `vectors[key]` is a new array of int32, whatever type they are kept in.

    Args:
        items: keys, each once, and vectors of int32.
        convert: what is kept of the values: the keys and offsets of a stretch of vectors, and its values, to as many values.
    """

    def __init__(
        self,
        items: Iterable[tuple[str, np.ndarray]],
        convert: Callable[[list[str], np.ndarray, np.ndarray], np.ndarray] = lambda keys, offsets, values: values,
    ) -> None:
        self._parts: list[np.ndarray] = []
        self._offsets: list[np.ndarray] = []
        self._place: dict[str, int] = {}  # the number of the part above 32 bits, that in the part below
        keys: list[str] = []
        pieces: list[np.ndarray] = []
        size = 0
        for key, values in items:
            self._place[key] = len(self._parts) << 32 | len(keys)
            keys.append(key)
            pieces.append(values)
            size += len(values)
            if size >= _TOGETHER:
                self._keep(keys, pieces, convert)
                keys, pieces, size = [], [], 0
        if keys:
            self._keep(keys, pieces, convert)

    def _keep(self, keys: list[str], pieces: list[np.ndarray], convert: Callable) -> None:
        offsets = cumulative(np.array([len(piece) for piece in pieces]))
        self._parts.append(convert(keys, offsets, np.concatenate(pieces)))
        self._offsets.append(offsets)

    def __getitem__(self, key: str) -> np.ndarray:
        place = self._place[key]
        offsets, number = self._offsets[place >> 32], place & 0xFFFFFFFF
        return self._parts[place >> 32][offsets[number] : offsets[number + 1]].astype(np.int32)

    def __contains__(self, key: object) -> bool:
        return key in self._place

    def __iter__(self) -> Iterator[str]:
        return iter(self._place)

    def __len__(self) -> int:
        return len(self._place)

    def lengths(self) -> dict[str, int]:
        """Values of each vector."""
        counts = [np.diff(offsets).tolist() for offsets in self._offsets]
        return {key: counts[place >> 32][place & 0xFFFFFFFF] for key, place in self._place.items()}

    def occurrences(self, number: int) -> np.ndarray:
        """(number,) int64: how often each of 0 to number - 1 is in the vectors, also in those that `only` left out."""
        return sum((np.bincount(part, minlength=number) for part in self._parts), np.zeros(number, np.int64))

    def only(self, keys: Iterable[str], taken: Mapping[str, str] | None = None) -> "Vectors":
        """Some of the vectors, with the same values in memory; those that `taken` names have the vector of another key."""
        chosen = object.__new__(Vectors)
        chosen._parts, chosen._offsets = self._parts, self._offsets
        chosen._place = {key: self._place[(taken or {}).get(key, key)] for key in keys}
        return chosen
