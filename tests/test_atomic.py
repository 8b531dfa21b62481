"""Files that are whole or absent."""

import os
import stat
import threading
from pathlib import Path

import pytest

from hdnn_nnet.atomic import atomic_path, write_text


def test_whole_or_absent(tmp_path: Path) -> None:
    write_text(tmp_path / "sub/x.txt", "one")

    def fail() -> None:
        with atomic_path(tmp_path / "sub/x.txt") as temporary:
            temporary.write_text("two")
            raise ValueError

    with pytest.raises(ValueError, match=r"^$"):
        fail()
    assert (tmp_path / "sub/x.txt").read_text() == "one"
    assert os.listdir(tmp_path / "sub") == ["x.txt"]


def test_pipes_and_devices_stay_what_they_are(tmp_path: Path) -> None:
    """As root, a rename onto /dev/null would leave the machine without it."""
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    read: list[str] = []
    reader = threading.Thread(target=lambda: read.append(pipe.read_text()), daemon=True)
    reader.start()
    write_text(pipe, "through")
    reader.join(10)
    assert read == ["through"]
    assert stat.S_ISFIFO(pipe.stat().st_mode)
    assert os.listdir(tmp_path) == ["pipe"]
