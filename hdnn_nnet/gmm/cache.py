"""What a worker keeps in memory between passes, up to a number of bytes."""

from collections.abc import Callable
from typing import Generic, TypeVar

T = TypeVar("T")


class Cache(Generic[T]):
    """Values by key as long as they fit; others are made anew each time they are asked for.

    The first to come stay: passes go over the utterances in the same order, so that throwing out the oldest would throw out
    each just before it is needed.

    Args:
        limit: bytes.
        size: bytes of a value.
    """

    def __init__(self, limit: int, size: Callable[[T], int]) -> None:
        self._left = self._limit = limit
        self._size = size
        self._values: dict[str, T] = {}

    def get(self, key: str, make: Callable[[str], T]) -> T:
        """The value of `key`, by `make` where it is not kept."""
        if key in self._values:
            return self._values[key]
        value = make(key)
        size = self._size(value)
        if size <= self._left:
            self._values[key] = value
            self._left -= size
        return value

    def clear(self) -> None:
        """Forget all values."""
        self._values = {}
        self._left = self._limit

    def change(self, function: Callable[[T], T]) -> None:
        """Replace each value that is kept by the function's; the function may not make it larger."""
        self._values = {key: function(value) for key, value in self._values.items()}

    def __len__(self) -> int:
        return len(self._values)
