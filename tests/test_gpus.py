"""Choice of a GPU among several; nvidia-smi is a stand-in."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from hdnn_nnet.device import gpus

REPOSITORY = Path(__file__).resolve().parent.parent
HOLD = "import sys; from hdnn_nnet.device.gpus import pick_gpu; print(pick_gpu(3), flush=True); sys.stdin.read()"


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    program = tmp_path / "nvidia-smi"
    program.write_text("#!/bin/sh\necho '0, 500'\necho '1, 20'\necho '2, 7000'\n")
    program.chmod(0o755)
    kept = {k: v for k, v in os.environ.items() if k != "CUDA_VISIBLE_DEVICES"}
    return kept | {"PATH": f"{tmp_path}:{kept['PATH']}", "TMPDIR": str(tmp_path), "PYTHONPATH": str(REPOSITORY)}


def hold(environment: dict[str, str]) -> tuple[subprocess.Popen[str], str]:
    """A process that picks a GPU and keeps it until its stdin is closed."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD], env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    return process, process.stdout.readline().strip()


def test_each_job_takes_the_emptiest_that_no_other_holds(environment: dict[str, str]) -> None:
    jobs = [hold(environment) for _ in range(4)]
    try:
        assert [gpu for _, gpu in jobs] == ["1", "0", "2", "1"]  # the fourth has to share
        jobs[1][0].kill()
        jobs[1][0].wait()
        again = hold(environment)
        jobs.append(again)
        assert again[1] == "0"
    finally:
        for process, _ in jobs:
            process.kill()
            process.wait()


def test_what_the_scheduler_gave_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3,4")
    assert gpus.pick_gpu(2) == 0
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES")
    assert gpus.pick_gpu(1) == 0


def test_without_nvidia_smi_nothing_is_known(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert gpus.used_memory() == {}
