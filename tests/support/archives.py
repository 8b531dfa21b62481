"""Unpacking the archives of tests/data."""

import shutil
import tarfile
from pathlib import Path


def unpack(archive: Path, folder: Path) -> None:
    """The filter keeps files inside the folder; Python before 3.11.4 has none, and from 3.12 on its absence is a warning."""
    if hasattr(tarfile, "data_filter"):
        shutil.unpack_archive(archive, folder, filter="data")
    else:
        shutil.unpack_archive(archive, folder)
