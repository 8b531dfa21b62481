"""Whether processes are at work, and how they end: with the one that started them, and of what."""

import ctypes
import errno
import os
import signal
from pathlib import Path

_PR_SET_PDEATHSIG = 1  # prctl(2)


def end_with_parent(parent: int, number: signal.Signals = signal.SIGTERM) -> None:
    """Let a signal come to this process when `parent`, which started it, dies, however it does (Linux only)."""
    try:
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, number)
    except (AttributeError, OSError):  # not Linux
        return
    if os.getppid() != parent:  # it is dead already
        os.kill(os.getpid(), number)


def beginning(process: int) -> str:
    """When a process began, in clock ticks since the machine did; "0" where that cannot be known, "ended" for one that has.

    The parent of a killed process may never ask for its status (init of many containers): it stays, as a zombie.
    """
    try:
        status = Path(f"/proc/{process}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return "0"
    fields = status.rpartition(")")[2].split()  # proc(5), from the third on: the second, a name, may hold anything
    return "ended" if fields[0] in "ZX" else fields[19]


def at_work(process: int, began: str) -> bool:
    """Whether the process of this machine with the number `process` still is the one whose `beginning` was `began`."""
    try:
        os.kill(process, 0)
    except OSError as error:
        if error.errno == errno.ESRCH:
            return False
    return beginning(process) in (began, "0")  # those of other users may be hidden


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
