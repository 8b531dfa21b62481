"""Tables on stdout arrive whole, however little of it a single write takes."""

import io
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from hdnn_nnet.kaldi.matrix_writer import MatrixWriter
from hdnn_nnet.kaldi.tables import read_matrices

WRITER = """
import numpy as np
from hdnn_nnet.kaldi.matrix_writer import MatrixWriter
with MatrixWriter("ark:-") as writer:
    for number in range(1500):
        writer.write_matrix(f"u{number}", np.full((200 + number % 300, 100), number, np.float32))
"""


class Narrow(io.RawIOBase):
    """Raw stdout of a pipe that is nearly full: takes a part of what it is given."""

    def __init__(self) -> None:
        self.taken = b""

    def writable(self) -> bool:
        return True

    def write(self, data) -> int:
        part = bytes(data[:1000])
        self.taken += part
        return len(part)


def test_a_raw_stdout_gets_all(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    narrow = Narrow()
    monkeypatch.setattr(sys, "stdout", type("Stdout", (), {"buffer": narrow})())
    matrix = np.random.default_rng(0).standard_normal((300, 40)).astype(np.float32)
    for key in ("a", "b"):  # the second shows that stdout is still open
        with MatrixWriter("ark:-") as writer:
            writer.write_matrix(key, matrix)
    (tmp_path / "x.ark").write_bytes(narrow.taken)
    found = dict(read_matrices(tmp_path / "x.ark"))
    assert list(found) == ["a", "b"]
    for value in found.values():
        np.testing.assert_array_equal(value, matrix)


@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_a_writer_that_is_suspended_and_goes_on(unbuffered: str, tmp_path: Path) -> None:
    """Schedulers suspend jobs; a write to a full pipe ends early then."""
    environment = os.environ | {"PYTHONUNBUFFERED": unbuffered}
    with (
        open(tmp_path / "x.ark", "wb") as archive,
        subprocess.Popen([sys.executable, "-c", WRITER], stdout=subprocess.PIPE, env=environment) as process,
    ):
        assert process.stdout is not None
        suspended = 0
        while piece := os.read(process.stdout.fileno(), 1 << 16):
            archive.write(piece)
            if suspended < 40:
                process.send_signal(signal.SIGSTOP)
                time.sleep(0.01)
                process.send_signal(signal.SIGCONT)
                suspended += 1
    assert process.returncode == 0
    found = dict(read_matrices(tmp_path / "x.ark"))
    assert list(found) == [f"u{number}" for number in range(1500)]
    assert all(m.shape == (200 + n % 300, 100) and (m == n).all() for n, m in enumerate(found.values()))
