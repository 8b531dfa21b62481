"""What a network is made of; the text of `model.json`."""

import dataclasses
import json
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hdnn_nnet.errors import HdnnError

ARCHITECTURES = ("hdnn", "dnn")
ACTIVATIONS = ("sigmoid", "relu")
GATES = ("both", "transform", "carry", "coupled")
#: the paper's groups of parameters: theta_h, theta_g, theta_c
GROUPS = ("hidden", "gates", "softmax")


@dataclass(frozen=True)
class NetworkConfig:
    """Architecture of an acoustic model.

    Attributes:
        arch: `hdnn` or `dnn`.
        feat_dim: features per frame before splicing.
        num_pdfs: outputs S.
        width: hidden units H.
        depth: hidden layers L (the first one is plain in both architectures).
        left_context, right_context: frames spliced on either side; edge frames are repeated, as in nnet1's Splice.
        activation: `sigmoid` or `relu` of the hidden layers.
        gates: `both` (T and C independent), `transform` (act * T), `carry` (act + h * C), `coupled` (C = 1 - T).
        tied_gates: one W_T and one W_C for all layers.
        window_normalisation: a window of frames is normalised, too, each of its inputs on its own (imported networks).
        frame_factor: frames that a row of its features stands for (hdnn_nnet.feats.frame_rate).
    """

    arch: str
    feat_dim: int
    num_pdfs: int
    width: int
    depth: int
    left_context: int = 5
    right_context: int = 5
    activation: str = "sigmoid"
    gates: str = "both"
    tied_gates: bool = True
    window_normalisation: bool = False
    frame_factor: int = 1

    def __post_init__(self) -> None:
        for name, choices in (("arch", ARCHITECTURES), ("activation", ACTIVATIONS), ("gates", GATES)):
            if getattr(self, name) not in choices:
                raise HdnnError(f"{name} is {getattr(self, name)!r}; it must be one of {', '.join(choices)}")
        for name, least in (("feat_dim", 1), ("num_pdfs", 2), ("width", 1), ("depth", 1), ("frame_factor", 1)):
            if getattr(self, name) < least:
                raise HdnnError(f"{name} is {getattr(self, name)}; it must be at least {least}")
        if min(self.left_context, self.right_context) < 0:
            raise HdnnError("left and right context must not be negative")

    @property
    def window(self) -> int:
        """Frames that one output sees."""
        return self.left_context + 1 + self.right_context

    @property
    def input_dim(self) -> int:
        """Inputs D of the first layer."""
        return self.window * self.feat_dim

    @property
    def num_weights(self) -> int:
        """Weights of hidden layers and softmax layer, without gates and biases."""
        return self.width * (self.input_dim + (self.depth - 1) * self.width + self.num_pdfs)

    @property
    def name(self) -> str:
        """The paper's name of the network, for example `HDNN-H128L10`."""
        return f"{self.arch.upper()}-H{self.width}L{self.depth}"

    def to_json(self) -> dict[str, Any]:
        content = dataclasses.asdict(self)
        for name in ("window_normalisation", "frame_factor"):
            # So that descriptions, and their checksums, are what they were before there was one.
            if getattr(self, name) == getattr(NetworkConfig, name):
                del content[name]
        return content

    @classmethod
    def from_json(cls, content: dict[str, Any], path: str | os.PathLike[str]) -> "NetworkConfig":
        """Check and build; `path` is named in errors."""
        try:
            config = cls(**content)
        except (TypeError, HdnnError) as error:
            raise HdnnError(f"{path}: not a network description of this version ({error})") from error
        for field in dataclasses.fields(cls):
            if type(value := getattr(config, field.name)) is not field.type:
                raise HdnnError(f"{path}: {field.name} is {value!r}; train or copy the model again")
        return config


def parse_name(name: str) -> tuple[str, int, int]:
    """`hdnn-h128l10` or `DNN-H2048L6` to (arch, width, depth)."""
    match = re.fullmatch(r"(hdnn|dnn)-h(\d+)l(\d+)", name.lower())
    if not match:
        raise HdnnError(f"{name!r} is not a network name such as hdnn-h128l10 or dnn-h512l4")
    return match[1], int(match[2]), int(match[3])


def chosen_groups(update: Sequence[str]) -> tuple[str, ...]:
    """The groups of parameters that `update` names; `all` alone is every group.

    Raises:
        HdnnError: a name that is no group, or none.
    """
    if tuple(update) == ("all",):
        return GROUPS
    unknown = [name for name in update if name not in GROUPS]
    if unknown or not update:
        raise HdnnError(f"no parameter group {', '.join(unknown) or 'is named'}; there are {', '.join(GROUPS)}")
    return tuple(update)


def read_json(path: str | os.PathLike[str]) -> Any:
    """A JSON file's content; a missing or damaged file is an HdnnError that names it."""
    try:
        return json.loads(Path(path).read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise HdnnError(f"{path} does not exist") from error
    except (ValueError, RecursionError) as error:
        raise HdnnError(f"{path} is not valid JSON ({error})") from error
