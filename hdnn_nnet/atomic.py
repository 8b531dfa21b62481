"""Files that are either whole or absent."""

import os
import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def atomic_path(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Yield a temporary name beside `path`; rename it to `path` when the block ends without an error.

    The temporary file is flushed to disk before the rename, and removed if the block raises, so a job that
    is killed or runs out of disk never leaves a half-written file under the final name.

    What is there and no regular file (/dev/null, a named pipe) is written to directly: a rename would put a file in its place.
    """
    final = Path(path)
    if final.exists() and not final.is_file():
        yield final
        return
    final.parent.mkdir(parents=True, exist_ok=True)
    # The suffix is kept: writers such as numpy and gzip look at it.
    temporary = final.with_name(f".{final.stem}.{os.getpid()}.tmp{final.suffix}")
    try:
        yield temporary
        with open(temporary, "rb") as handle:
            os.fsync(handle.fileno())
        os.replace(temporary, final)
    finally:
        temporary.unlink(missing_ok=True)


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
