"""An end for torchrun's agents.

When its own workers are done, an agent waits minutes for those of other machines, inside a call that no Python handler
interrupts: told to end because a worker failed elsewhere, it would not.
"""

import os
import signal
import threading
import time
from pathlib import Path

from hdnn_nnet.processes import end_with_parent

#: environment variable with the process that starts the agents of all machines
LAUNCHER = "HDNN_LAUNCHER"
_MOST_SECONDS = 45.0  # torch gives workers 30 to end before it kills them
_LAST_SECONDS = 3.0  # for an agent without workers to end by itself


def end_with_launcher() -> None:
    """Let this agent end with its launcher, if that is the one that started it on this machine."""
    if os.environ.pop(LAUNCHER, "") == str(os.getppid()):
        end_with_parent(os.getppid())


def end_when_told() -> None:
    """From now on SIGTERM and SIGINT end this process when its children are gone, whatever it waits for."""
    read, write = os.pipe()
    os.set_blocking(write, False)
    signal.set_wakeup_fd(write, warn_on_full_buffer=False)
    threading.Thread(target=_watch, args=(read,), daemon=True).start()


def _watch(pipe: int) -> None:
    number = 0
    while number not in (signal.SIGTERM, signal.SIGINT):
        number = os.read(pipe, 1)[0]
    last = time.monotonic() + _MOST_SECONDS
    while _has_children() and time.monotonic() < last:
        time.sleep(0.2)
    time.sleep(_LAST_SECONDS)
    os._exit(128 + number)


def _has_children() -> bool:
    """True also where Linux does not tell."""
    try:
        return any(path.read_text() for path in Path("/proc/self/task").glob("*/children"))
    except OSError:
        return True
