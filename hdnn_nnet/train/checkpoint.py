"""One file from which a training goes on as if it had never stopped."""

import os
from pathlib import Path
from typing import Any

from torch import Tensor

from hdnn_nnet.errors import HdnnError
from hdnn_nnet.nn.tensor_file import load_annotated, save_tensors


def save_checkpoint(
    path: str | os.PathLike[str], groups: dict[str, dict[str, Tensor]], progress: dict[str, Any]
) -> None:
    """Write tensors (by group) and JSON-able progress atomically into one safetensors file."""
    tensors = {f"{group}/{name}": value for group, content in groups.items() for name, value in content.items()}
    save_tensors(tensors, path, progress)


def load_checkpoint(path: str | os.PathLike[str]) -> tuple[dict[str, dict[str, Tensor]], dict[str, Any]] | None:
    """Groups of tensors and progress; None if there is no checkpoint.

    Raises:
        HdnnError: a damaged file, or one of an earlier version.
    """
    if not Path(path).is_file():
        return None
    try:
        tensors, progress = load_annotated(path)
    except HdnnError as error:
        raise HdnnError(f"{error}; remove it to train from the beginning") from error
    if not progress:
        raise HdnnError(
            f"{path} was written by an earlier version of this package; remove it to train from the beginning"
        )
    groups: dict[str, dict[str, Tensor]] = {}
    for key, value in tensors.items():
        group, _, name = key.partition("/")
        groups.setdefault(group, {})[name] = value
    return groups, progress
