"""One file from which a training goes on as if it had never stopped."""

import json
import os
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from torch import Tensor

from hdnn_nnet.errors import HdnnError
from hdnn_nnet.nn.model_dir import save_tensors


def save_checkpoint(
    path: str | os.PathLike[str], groups: dict[str, dict[str, Tensor]], progress: dict[str, Any]
) -> None:
    """Write tensors (by group) and JSON-able progress atomically into one safetensors file."""
    tensors = {f"{g}/{k}": v.detach().cpu().contiguous() for g, group in groups.items() for k, v in group.items()}
    save_tensors(tensors, path, {"progress": json.dumps(progress)})


def load_checkpoint(path: str | os.PathLike[str]) -> tuple[dict[str, dict[str, Tensor]], dict[str, Any]] | None:
    """Groups of tensors and progress; None if there is no checkpoint."""
    if not Path(path).is_file():
        return None
    groups: dict[str, dict[str, Tensor]] = {}
    try:
        with safe_open(str(path), "pt") as handle:
            for key in handle.keys():  # noqa: SIM118  # safe_open is no dict
                group, _, name = key.partition("/")
                groups.setdefault(group, {})[name] = handle.get_tensor(key)
            progress = json.loads((handle.metadata() or {})["progress"])
    except (SafetensorError, KeyError, ValueError, OSError) as error:
        raise HdnnError(f"{path} is damaged ({error}); remove it to train from the beginning") from error
    return groups, progress
