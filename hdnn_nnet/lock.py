"""One run at a time in an output directory."""

import fcntl
import os
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from hdnn_nnet.errors import HdnnError

FILE = ".lock"


@contextmanager
def locked(directory: str | os.PathLike[str], what: str) -> Iterator[None]:
    """Hold a directory for this process; the lock ends with the block, or with the process, however it ends.

    Args:
        what: is told to a second run, besides process, host and time.

    Raises:
        HdnnError: another process holds it; the message says who, and since when.
    """
    path = Path(directory) / FILE
    path.parent.mkdir(parents=True, exist_ok=True)
    handle = _acquire(path)
    try:
        since = time.strftime("%Y-%m-%d %H:%M:%S")
        os.truncate(handle, 0)
        os.pwrite(handle, f"{what}, process {os.getpid()} on {socket.gethostname()}, since {since}".encode(), 0)
        yield
    finally:
        path.unlink(missing_ok=True)
        os.close(handle)


def _acquire(path: Path) -> int:
    while True:
        handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            holder = os.pread(handle, 1000, 0).decode("utf-8", "replace") or "another process"
            os.close(handle)
            raise HdnnError(
                f"{path.parent} is being written by {holder}; wait until it has ended, or stop it"
            ) from error
        # The one before may have removed the file between our open and its end.
        try:
            if os.stat(path).st_ino == os.fstat(handle).st_ino:
                return handle
        except FileNotFoundError:
            pass
        os.close(handle)
