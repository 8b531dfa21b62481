"""How far a loop is: a bar on a terminal, lines that become rarer in a log. steps_py/follow.py shows both kinds of lines."""

import logging
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any, TypeVar

from tqdm import tqdm

log = logging.getLogger(__name__)
_LINES_FROM, _LINES_TO, _LINES_SHARE = 10, 60, 0.1  # seconds, and the share of the time so far
T = TypeVar("T")


def _every_now_and_then(items: Iterable[T], done: int, say: Callable[[int], None]) -> Iterator[T]:
    begin = last = time.monotonic()
    for number, item in enumerate(items, done + 1):
        yield item
        now = time.monotonic()
        if now - last > min(max(_LINES_FROM, _LINES_SHARE * (now - begin)), _LINES_TO):
            last = now
            say(number)


def show_progress(items: Iterable[Any], what: str, total: int, done: int, visible: bool) -> Iterator[Any]:
    """The steps of an epoch, or of what else the user waits for."""
    if not visible:
        yield from items
    elif sys.stderr.isatty():
        yield from tqdm(items, desc=what, total=total, initial=done, unit="step", file=sys.stderr)
    else:
        yield from _every_now_and_then(items, done, lambda number: log.info("%s: step %d of %d", what, number, total))


def counted(items: Iterable[T], what: str, total: int) -> Iterator[T]:
    """What one job of many works through, utterances or speakers; lines only, since it may be a part of a pipe."""
    return _every_now_and_then(items, 0, lambda number: log.info("%s: %d of %d", what, number, total))
