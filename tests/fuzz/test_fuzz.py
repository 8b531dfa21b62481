"""Damaged files: every outcome is a result or an HdnnError that names the file, soon and in little memory.

A seed gives the damage, so that a failure can be had again: `pytest "tests/fuzz/test_fuzz.py::test_some_damage[tree]"`.
"""

import gc
import resource
import shutil
import signal
import time
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

from hdnn_nnet.errors import HdnnError
from tests.fuzz.damage import KINDS, truncate
from tests.fuzz.formats import FORMATS, Format

SECONDS = 5.0
MEMORY = 1 << 30
SOME, MANY = 8, 150  # damaged files of every format: in `make test`, in `make test-slow`


class Hang(BaseException):
    """A reader that takes longer than SECONDS."""


@contextmanager
def limits() -> Iterator[None]:
    """Let a reader end after SECONDS, and give it MEMORY beyond what there is."""

    def stop(*_: object) -> None:
        raise Hang

    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    before = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, SECONDS)
    resource.setrlimit(resource.RLIMIT_AS, (used + MEMORY, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


@pytest.fixture(scope="session")
def fixtures(kaldi_fixture: Path, gmm_fixture: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("fixtures")
    for path in (kaldi_fixture, gmm_fixture):
        (folder / path.name).symlink_to(path)
    return folder


def boundaries(data: bytes, keys: object) -> set[int]:
    """Where an archive may end: before each of its keys, and where only blanks are lost."""
    places = {len(data.rstrip())} if data.rstrip() != data else set()
    if isinstance(keys, list):
        for key in keys:
            places.add(data.index(f"{key} ".encode()))
            places.add(data.index(f"{key} ".encode()) - 1)  # without the newline before it
    return places


def outcome(form: Format, path: Path) -> str:
    """`accepted`, or what went wrong: an error that is none of ours, or does not name the file."""
    try:
        with limits():
            form.read(path)
    except HdnnError as error:
        names = form.named or (path.name,)
        message = str(error)
        if not any(name in message for name in names):
            return f"does not name the file: {message}"
        return "" if "\n" not in message and len(message) < 1100 else f"not one line: {message!r}"
    except Hang:
        return f"took more than {SECONDS:g} s"
    except BaseException as error:
        return f"{type(error).__name__}: {error}"
    return "accepted"


def damaged(name: str, data: bytes, number: int) -> tuple[str, bytes]:
    """A kind of damage, and the bytes after it."""
    random = np.random.default_rng((zlib.crc32(name.encode()), number))
    kind = KINDS[number % len(KINDS)] if number < len(KINDS) else KINDS[int(random.integers(len(KINDS)))]
    return kind.__name__, kind(data, random)


def complaints(name: str, fixtures: Path, folder: Path, numbers: range) -> list[str]:
    """What is wrong with how damaged files of a format are read."""
    form = FORMATS[name]
    folder = folder / "data"
    folder.mkdir()
    path = form.make(folder, fixtures)
    keys = form.read(path)
    data = path.read_bytes()
    ends = boundaries(data, keys) if form.whole and path.suffix != ".gz" else set()
    found = []
    for number in numbers:
        kind, bytes_ = damaged(name, data, number)
        path.write_bytes(bytes_)
        result = outcome(form, path)
        shorter = form.whole and kind == truncate.__name__ and len(bytes_) < len(data)
        if result == "accepted" and shorter and len(bytes_) not in ends:
            found.append(f"{number} {kind}: accepted, with {len(bytes_)} of {len(data)} bytes")
        elif result not in ("", "accepted"):
            found.append(f"{number} {kind}: {result}")
    shutil.rmtree(folder)
    return found


@pytest.mark.parametrize("name", FORMATS)
def test_some_damage(name: str, fixtures: Path, tmp_path: Path) -> None:
    assert complaints(name, fixtures, tmp_path, range(SOME)) == []


@pytest.mark.slow
@pytest.mark.parametrize("name", FORMATS)
def test_much_damage(name: str, fixtures: Path, tmp_path: Path) -> None:
    assert complaints(name, fixtures, tmp_path, range(SOME, MANY)) == []


@pytest.mark.parametrize("name", [name for name, form in FORMATS.items() if form.whole])
def test_every_way_of_truncating_the_end_and_the_head(name: str, fixtures: Path, tmp_path: Path) -> None:
    form = FORMATS[name]
    path = form.make(tmp_path, fixtures)
    keys = form.read(path)
    data = path.read_bytes()
    ends = boundaries(data, keys) if form.whole and path.suffix != ".gz" else set()
    step = max(1, len(data) // 12)
    for length in {*range(12), *range(0, len(data), step), *range(len(data) - 12, len(data))}:
        path.write_bytes(data[:length])
        result = outcome(form, path)
        assert result == "" or (result == "accepted" and length in ends), (length, len(data), result)


def test_the_limits_hold(tmp_path: Path) -> None:
    (tmp_path / "x").touch()
    assert "took more" in outcome(Format(lambda *_: tmp_path, lambda _: time.sleep(60)), tmp_path / "x")
    assert "Error" in outcome(Format(lambda *_: tmp_path, lambda _: np.ones(2 * MEMORY, np.uint8)), tmp_path / "x")
    gc.collect()
