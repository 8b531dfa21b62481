"""Files that are either whole or absent."""

import errno
import os
import re
import shutil
import socket
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from hdnn_nnet.processes import at_work, beginning

_UMASK = os.umask(0)  # it can only be read by being set
os.umask(_UMASK)


def _place() -> str:
    """This host and its process numbers, unlike all others that share the file system: two containers may have one name."""
    try:
        space = os.stat("/proc/self/ns/pid").st_ino
    except OSError:
        space = 0
    return re.sub(r"[^\w-]", "_", f"{socket.gethostname()}-{space}")


_HOST = _place()
#: errors of a disk (or quota, or limit) that is full
FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_LEFTOVER = re.compile(rf"\..*\.{re.escape(_HOST)}-(\d+)-(\d+)\.tmp(\..*)?")
#: of any host; nobody writes a file for so long
_FOREIGN = re.compile(r"\..*\.[\w-]+-\d+-\d+\.tmp(\..*)?")
_MOST_DAYS = 7.0
#: directories in which this process has looked for what killed ones left
_swept: set[Path] = set()


@contextmanager
def atomic_path(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Yield a temporary name beside `path`; rename it to `path` when the block ends without an error.

    The temporary file is flushed to disk before the rename, and removed if the block raises, so a job that
    is killed or runs out of disk never leaves a half-written file under the final name. What a killed job left under a
    temporary name is removed when its directory is next written to. The file gets the mode that the umask gives.

    What is there and no regular file (/dev/null, a named pipe) is written to directly: a rename would put a file in its place.

    Raises:
        OSError: with the final name, whatever the block was writing (disk full, no permission).
    """
    final = Path(path)
    direct = final.exists() and not final.is_file()
    # The suffix is kept: writers such as numpy and gzip look at it.
    writer = f"{_HOST}-{os.getpid()}-{beginning(os.getpid())}"
    temporary = final if direct else final.with_name(f".{final.stem}.{writer}.tmp{final.suffix}")
    try:
        if direct:
            yield final
            return
        final.parent.mkdir(parents=True, exist_ok=True)
        _sweep(final.parent)
        yield temporary
        with open(temporary, "rb") as handle:
            os.fsync(handle.fileno())
        os.chmod(temporary, 0o666 & ~_UMASK)  # some writers give theirs to their owner alone
        os.replace(temporary, final)
    except OSError as error:
        ours = (None, temporary, str(temporary))
        copying_to_us = error.filename2 in ours[1:] and error.errno in FULL  # else the source cannot be read
        if error.errno is None or not (error.filename in ours or copying_to_us):
            raise
        raise type(error)(error.errno, error.strerror, str(final)) from error
    finally:
        if not direct:
            with suppress(OSError):  # of a directory that cannot be written to
                temporary.unlink(missing_ok=True)


def _sweep(directory: Path) -> None:
    """Once a process: remove temporary files of processes of this host that are gone, and old ones of other hosts."""
    if directory in _swept:
        return
    _swept.add(directory)
    for name in os.listdir(directory):
        match = _LEFTOVER.fullmatch(name)
        foreign = None if match else _FOREIGN.fullmatch(name)
        with suppress(OSError):
            if (match and not at_work(int(match[1]), match[2])) or (
                foreign and _age_days(directory / name) > _MOST_DAYS
            ):
                (directory / name).unlink()


def _age_days(path: Path) -> float:
    return (time.time() - path.stat().st_mtime) / 86400


def write_text(path: str | os.PathLike[str], text: str) -> None:
    """Write a UTF-8 text file atomically."""
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def copy_file(source: str | os.PathLike[str], path: str | os.PathLike[str]) -> None:
    """Copy a file's content atomically."""
    with atomic_path(path) as temporary:
        shutil.copyfile(source, temporary)


def copy_files(source: Path, target: Path, names: Iterable[str]) -> None:
    """Copy files that exist, each atomically."""
    for name in names:
        if (source / name).exists() and source.resolve() != target.resolve():
            copy_file(source / name, target / name)
