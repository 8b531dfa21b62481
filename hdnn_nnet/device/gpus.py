"""Which GPU of this machine a job takes where nobody has given it one.

GridEngine counts GPUs but does not say which; several jobs on a machine would all take the first.
"""

import fcntl
import logging
import os
import subprocess
import tempfile
from pathlib import Path

log = logging.getLogger(__name__)

#: The number of a GPU is then the same for CUDA and nvidia-smi.
os.environ.setdefault("CUDA_DEVICE_ORDER", "PCI_BUS_ID")
#: Open as long as this process lives: the lock ends with it, however it ends.
_locks: list[int] = []


def used_memory() -> dict[int, int]:
    """GPU -> MiB in use, as nvidia-smi says; empty where it does not run."""
    command = ["nvidia-smi", "--query-gpu=index,memory.used", "--format=csv,noheader,nounits"]
    try:
        listed = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout
        return {int(index): int(used) for index, used in (line.split(",") for line in listed.splitlines() if line)}
    except (OSError, subprocess.SubprocessError, ValueError):
        return {}


def pick_gpu(count: int) -> int:
    """Number of a GPU for this process: of those that no other such process holds, the one with most memory free.

    Args:
        count: GPUs that CUDA shows. One, or CUDA_VISIBLE_DEVICES set (by run.py, Slurm or the user): the first of them.
    """
    if count <= 1 or os.environ.get("CUDA_VISIBLE_DEVICES"):
        return 0
    used = used_memory()
    order = sorted(range(count), key=lambda index: (used.get(index, 0), index))
    folder = Path(tempfile.gettempdir())
    for index in order:
        # One lock for all users, who may not write each other's files: reading is enough for a lock.
        path = folder / f"hdnn-gpu-{index}.lock"
        try:
            handle = os.open(path, os.O_RDONLY | os.O_CREAT, 0o644)
        except OSError:
            continue
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(handle)
            continue
        _locks.append(handle)
        log.info("GPU %d of %d (%d MiB in use)", index, count, used.get(index, 0))
        return index
    log.warning("all %d GPUs are held by other jobs; sharing GPU %d", count, order[0])
    return order[0]
