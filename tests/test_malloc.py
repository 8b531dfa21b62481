"""Freed memory stays with the process."""

import os
import subprocess
import sys

import pytest

from tests.support.fixture_recipe import REPOSITORY

PROGRAM = """
import resource, sys
import numpy as np
from hdnn_nnet.device.memory import keep_freed_memory
kept = keep_freed_memory() if sys.argv[1] == "keep" else False
for _ in range(3):
    np.ones(4 << 20, dtype=np.float32)
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(20):
    np.ones(4 << 20, dtype=np.float32)
print(kept, resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def faults(mode: str, **environment: str) -> tuple[bool, int]:
    """Was the setting made, and how many pages were fetched anew for 20 blocks of 16 MiB."""
    everything = {**os.environ, "PYTHONPATH": str(REPOSITORY), **environment}
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, mode], env=everything, capture_output=True, text=True, check=True
    )
    kept, count = done.stdout.split()
    return kept == "True", int(count)


def test_large_blocks_are_reused() -> None:
    kept, count = faults("keep")
    if not kept:
        pytest.skip("no glibc here")
    assert count < 1000
    # Without it glibc returns every block. Huge pages, where the system gives them, make few faults of many pages.
    assert faults("leave")[1] >= count


def test_the_users_setting_wins() -> None:
    assert not faults("keep", MALLOC_TRIM_THRESHOLD_="131072")[0]
