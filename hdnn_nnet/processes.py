"""How processes end: with the one that started them, and of what."""

import ctypes
import os
import signal

_PR_SET_PDEATHSIG = 1  # prctl(2)


def end_with_parent(parent: int, number: signal.Signals = signal.SIGTERM) -> None:
    """Let a signal come to this process when `parent`, which started it, dies, however it does (Linux only)."""
    try:
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, number)
    except (AttributeError, OSError):  # not Linux
        return
    if os.getppid() != parent:  # it is dead already
        os.kill(os.getpid(), number)


def cause_of_death(status: int | None) -> str:
    """The end of a sentence about a process, from its exit status (negative: a signal)."""
    if status is None or status >= 0:
        return f"ended with status {status}; its own last lines say why"
    name = signal.Signals(-status).name
    more = (
        "; if nobody stopped it, the machine was out of memory (dmesg tells): use fewer processes"
        if name == "SIGKILL"
        else ""
    )
    return f"was killed by {name}{more}"
