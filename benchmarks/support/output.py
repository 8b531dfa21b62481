"""What another benchmark prints, run in a process of its own."""

import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from hdnn_nnet.errors import HdnnError

BENCHMARKS = Path(__file__).parents[1]


def output(name: str, *words: object, environment: Mapping[str, str] | None = None) -> list[str]:
    """Lines that a benchmark prints; `environment` is all of its environment, if it is another than this process's."""
    command = [sys.executable, str(BENCHMARKS / f"{name}.py"), *map(str, words)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise HdnnError(f"benchmarks/{name}.py failed: {(done.stderr.strip().splitlines() or ['it said nothing'])[-1]}")
    return done.stdout.splitlines()
