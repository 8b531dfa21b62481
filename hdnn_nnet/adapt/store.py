"""A directory of adapted parameters: one small safetensors file a speaker, and `index.json`.

A speaker's file holds the parameters that moved, and no others. The index names the network by a checksum of all its parameters,
so that gates are never put into another one, lists every speaker of the data, and tells why some have no file.
"""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote

import torch
from torch import Tensor

from hdnn_nnet.atomic import write_text
from hdnn_nnet.errors import HdnnError
from hdnn_nnet.nn.config import read_json
from hdnn_nnet.nn.tensor_file import load_annotated, save_tensors

FORMAT = 1
INDEX = "index.json"


def file_name(speaker: str) -> str:
    """The name of a speaker's file; characters that file systems or shells mind are written as %XX."""
    return f"spk-{quote(speaker, safe='')}.safetensors"


def save_speaker(directory: str | os.PathLike[str], speaker: str, tensors: dict[str, Tensor], signature: str) -> str:
    """Write a speaker's parameters; returns the file's name."""
    name = file_name(speaker)
    save_tensors(tensors, Path(directory) / name, {"of": _owner(speaker, signature)})
    return name


def _owner(speaker: str, signature: str) -> str:
    return f"speaker {speaker}, model {signature}"


def write_index(directory: str | os.PathLike[str], content: Mapping[str, Any]) -> None:
    """Write `index.json`; done last, so that a directory that has one is complete."""
    write_text(Path(directory) / INDEX, json.dumps({"format": FORMAT, **content}, indent=1) + "\n")


class AdaptDir:
    """A finished directory of adapted parameters.

    Attributes:
        signature: checksum of the network that was adapted.
        speakers: speaker -> what the index says of him; `file` is there for adapted ones, `reason` for the others.

    Raises (also while reading):
        HdnnError: missing, incomplete or damaged files.
    """

    def __init__(self, directory: str | os.PathLike[str]) -> None:
        self.path = Path(directory)
        if not (self.path / INDEX).is_file():
            raise HdnnError(f"{self.path}/{INDEX} does not exist; adapt with steps_py/adapt.sh (again, if it failed)")
        self.content: dict[str, Any] = read_json(self.path / INDEX)
        wanted = {"signature", "speakers"}
        if not isinstance(self.content, dict) or self.content.get("format") != FORMAT or wanted - self.content.keys():
            raise HdnnError(f"{self.path}/{INDEX}: not an index of format {FORMAT}; adapt again")
        self.signature: str = self.content["signature"]
        self.speakers: dict[str, dict[str, Any]] = self.content["speakers"]

    def check(self, signature: str, model: str | os.PathLike[str]) -> None:
        """Refuse parameters that were adapted from another network than `model`."""
        if signature != self.signature:
            raise HdnnError(
                f"{self.path} was adapted from another network ({self.content.get('model', 'unknown')}) than {model}, or "
                "that one was trained again; take its own adaptation or adapt again"
            )

    def load(self, speaker: str) -> dict[str, Tensor] | None:
        """A speaker's adapted parameters; None for those that have none."""
        name = self.speakers.get(speaker, {}).get("file")
        if name is None:
            return None
        tensors, about = load_annotated(self.path / name)
        owner = about.get("of")
        if owner != _owner(speaker, self.signature):
            raise HdnnError(f"{self.path / name} is not of the run that wrote {INDEX} ({owner}); adapt again")
        for key, value in tensors.items():
            if not torch.isfinite(value).all():
                raise HdnnError(f"{self.path / name}: {key} holds NaN or infinity; adapt again")
        return tensors

    def reason(self, speaker: str) -> str:
        """Why a speaker has no adapted parameters."""
        return self.speakers.get(speaker, {}).get("reason") or f"not in {self.path}"
