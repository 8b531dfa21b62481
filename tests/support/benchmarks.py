"""Benchmarks as programs."""

import os
import subprocess
import sys
from pathlib import Path

REPOSITORY = Path(__file__).parents[2]


def run(name: str, *words: str | Path, cwd: Path = REPOSITORY, status: int = 0) -> list[str]:
    """Lines that a benchmark prints, without Kaldi; of stderr where it is to fail."""
    environment = {name: value for name, value in os.environ.items() if name != "KALDI_ROOT"}
    environment |= {"PYTHONPATH": str(REPOSITORY), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, f"{REPOSITORY}/benchmarks/{name}.py", *map(str, words)]
    done = subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == status, done.stderr
    return (done.stderr if status else done.stdout).splitlines()
