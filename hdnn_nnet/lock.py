"""One run at a time in an output directory, or under a prefix of output files."""

import contextlib
import errno
import fcntl
import logging
import os
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from hdnn_nnet.errors import HdnnError

log = logging.getLogger(__name__)

FILE = ".lock"
#: file systems without locks, as some on a network
_NO_LOCKS = (errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS)
#: a job that ends holds the directory alone for a moment, to remove the lock's file; a job that begins waits so long
_PATIENCE_SECONDS = 1.0


@contextmanager
def locked(directory: str | os.PathLike[str], what: str, job: int | None = None, name: str = FILE) -> Iterator[None]:
    """Hold a directory for this process; the lock ends with the block, or with the process, however it ends.

    A directory that did not exist and in which nothing was written is gone afterwards.

    Args:
        what: is told to a second run, besides process, host and time.
        job: one of several that write to the directory side by side; it excludes the same job, and whoever holds all of it.
        name: of the lock's file; another one for what does not concern all of the directory.

    Raises:
        HdnnError: another process holds it; the message says who, and since when.
    """
    path = Path(directory) / name
    made = [folder for folder in (path.parent, *path.parent.parents) if not folder.exists()]
    path.parent.mkdir(parents=True, exist_ok=True)
    holder = f"{what}, process {os.getpid()} on {socket.gethostname()}, since {time.strftime('%Y-%m-%d %H:%M:%S')}"
    try:
        with ExitStack() as stack:
            if job is None:
                stack.enter_context(_held(path, fcntl.LOCK_EX, holder))
            else:
                stack.enter_context(_held(path, fcntl.LOCK_SH, holder))
                stack.enter_context(_held(path.with_name(f"{name}.{job}"), fcntl.LOCK_EX, f"job {job} of {holder}"))
            yield
    finally:
        with suppress(OSError):  # not empty: something was written
            for folder in made:
                folder.rmdir()


@contextmanager
def _held(path: Path, kind: int, holder: str) -> Iterator[None]:
    """Hold the lock of one file, alone or (LOCK_SH) with others; the last one out removes the file."""
    handle = _acquire(path, kind)
    try:
        with suppress(OSError):  # a full disk is told by whoever writes what counts
            os.truncate(handle, 0)
            os.pwrite(handle, holder.encode(), 0)
        yield
    finally:
        with suppress(OSError):  # others hold it too
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            path.unlink(missing_ok=True)
        os.close(handle)


def _acquire(path: Path, kind: int) -> int:
    deadline = time.monotonic() + (_PATIENCE_SECONDS if kind == fcntl.LOCK_SH else 0)
    while True:
        handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
        try:
            fcntl.flock(handle, kind | fcntl.LOCK_NB)
        except BlockingIOError as error:
            holder = os.pread(handle, 1000, 0).decode("utf-8", "replace") or "another process"
            os.close(handle)
            if time.monotonic() < deadline:
                time.sleep(_PATIENCE_SECONDS / 20)
                continue
            raise HdnnError(
                f"{path.parent} is being written by {holder}; wait until it has ended, or stop it"
            ) from error
        except OSError as error:
            if error.errno not in _NO_LOCKS:
                os.close(handle)
                raise OSError(error.errno, error.strerror, str(path)) from error
            log.warning("%s: this file system has no locks; do not start a second run here", path.parent)
            return handle
        # The one before may have removed the file between our open and its end.
        with contextlib.suppress(FileNotFoundError):
            if os.stat(path).st_ino == os.fstat(handle).st_ino:
                return handle
        os.close(handle)
