"""Tensors in safetensors files, with a checksum: a flipped bit is an error when it is read, not a slightly worse model."""

import hashlib
import json
import os
from collections.abc import Mapping
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from hdnn_nnet.atomic import atomic_path
from hdnn_nnet.errors import HdnnError

#: the one entry of a file's metadata: with several their order, and so the file, would differ from run to run
_ENTRY = "hdnn_nnet"


def save_tensors(
    tensors: Mapping[str, torch.Tensor], path: str | os.PathLike[str], about: Mapping[str, Any] | None = None
) -> None:
    """Write a file atomically.

    Args:
        about: JSON types that are kept with the tensors, for `load_annotated`.

    Raises:
        HdnnError: the file cannot be written.
    """
    whole = {name: value.detach().cpu().contiguous() for name, value in tensors.items()}
    text = json.dumps({"sha256": checksum(whole, about or {}), "about": about or {}})
    try:
        with atomic_path(path) as temporary:
            save_file(whole, temporary, {_ENTRY: text})
    except SafetensorError as error:
        raise HdnnError(f"{path}: cannot write it ({error}); is the disk full?") from error


def load_tensors(path: str | os.PathLike[str]) -> dict[str, torch.Tensor]:
    """The tensors of a file; one without a checksum, of another program, is taken as it is.

    Raises:
        HdnnError: a missing or damaged file.
    """
    return load_annotated(path)[0]


def load_annotated(path: str | os.PathLike[str]) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
    """Tensors, and what `save_tensors` was told to keep with them.

    Raises:
        HdnnError: a missing or damaged file.
    """
    try:
        with safe_open(str(path), "pt") as handle:
            tensors = {name: handle.get_tensor(name) for name in handle.keys()}  # noqa: SIM118  # safe_open is no dict
            metadata = handle.metadata() or {}
        content = json.loads(metadata[_ENTRY]) if _ENTRY in metadata else None
    except FileNotFoundError as error:
        raise HdnnError(f"{path} does not exist") from error
    except (SafetensorError, OSError, ValueError, KeyError) as error:
        raise HdnnError(f"{path} is damaged or no safetensors file ({error}); train or copy it again") from error
    if content is None:
        return tensors, {}
    if content.get("sha256") != checksum(tensors, content.get("about", {})):
        raise HdnnError(
            f"{path} is damaged: its content does not have the checksum that was written; train or copy it again"
        )
    return tensors, content["about"]


def checksum(tensors: Mapping[str, torch.Tensor], about: Mapping[str, Any]) -> str:
    """SHA-256, hexadecimal, of names, shapes, types and values."""
    digest = hashlib.sha256(json.dumps(about, sort_keys=True).encode())
    for name, value in sorted(tensors.items()):
        digest.update(f"{name} {value.dtype} {tuple(value.shape)}".encode())
        digest.update(value.reshape(-1).view(torch.uint8).numpy().data if value.numel() else b"")
    return digest.hexdigest()
