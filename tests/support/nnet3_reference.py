"""A slow interpreter of nnet3 acoustic models in text form, written from Kaldi's documentation of the format, for tests."""

import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from hdnn_nnet.kaldi.basic_io import KaldiReader
from hdnn_nnet.kaldi.transitions import TransitionModel

_MATRICES = {"LinearParams"}
_VECTORS = {"BiasParams", "Bias", "Scales", "ValueAvg", "DerivAvg", "OderivRms"}


@dataclass
class Model:
    lines: list[dict[str, str]]
    components: dict[str, tuple[str, dict]]
    left: int
    right: int
    priors: np.ndarray


def read(path: Path) -> Model:
    """Parse a whole `final.mdl`; every token must be understood."""
    reader = KaldiReader.open(path)
    TransitionModel.parse(reader)
    reader.expect("<Nnet3>")
    end = reader.data.index(b"\n\n", reader.position)
    text = reader.data[reader.position : end].decode()
    reader.position = end + 2
    lines = []
    for line in text.strip().split("\n"):
        kind, rest = line.split(" ", 1)
        fields = dict(re.findall(r"([\w-]+)=(.*?)(?= [\w-]+=|$)", rest))
        lines.append({"kind": kind, **fields})
    reader.expect("<NumComponents>")
    components = {}
    for _ in range(reader.int32()):
        reader.expect("<ComponentName>")
        name, kind, values = reader.token(), reader.token().strip("<>"), {}
        while (token := reader.token()) != f"</{kind}>":
            key = token.strip("<>")
            values[key] = (
                reader.matrix() if key in _MATRICES else reader.vector() if key in _VECTORS else reader.float()
            )
        components[name] = (kind, values)
    reader.expect("</Nnet3>")
    reader.expect("<LeftContext>")
    left = reader.int32()
    reader.expect("<RightContext>")
    right = reader.int32()
    reader.expect("<Priors>")
    return Model(lines, components, left, right, reader.vector())


def compute(model: Model, features: np.ndarray) -> np.ndarray:
    """(T, D) to the rows of the node `output`, edge frames repeated as Kaldi's decoders do; float64."""
    padded = np.pad(features.astype(np.float64), ((model.left, model.right), (0, 0)), mode="edge")
    nodes: dict[str, np.ndarray] = {}
    for line in model.lines:
        if line["kind"] == "input-node":
            assert int(line["dim"]) == features.shape[1]
            nodes[line["name"]] = padded
            continue
        value = _descriptor(line["input"], nodes)
        if line["kind"] == "output-node":
            return value[model.left : model.left + len(features)]
        kind, values = model.components[line["component"]]
        nodes[line["name"]] = _propagate(kind, values, value)
    raise AssertionError("no output node")


def _propagate(kind: str, values: dict, x: np.ndarray) -> np.ndarray:
    match kind:
        case "AffineComponent":
            return x @ values["LinearParams"].T.astype(np.float64) + values["BiasParams"]
        case "FixedBiasComponent":
            return x + values["Bias"]
        case "FixedScaleComponent":
            return x * values["Scales"]
        case "SigmoidComponent":
            assert x.shape[1] == values["Dim"]
            return 1 / (1 + np.exp(-x))
        case "RectifiedLinearComponent":
            return np.maximum(x, 0)
        case "LogSoftmaxComponent":
            shifted = x - x.max(1, keepdims=True)
            return shifted - np.log(np.exp(shifted).sum(1, keepdims=True))
        case "ElementwiseProductComponent":
            assert x.shape[1] == values["InputDim"] == 2 * values["OutputDim"]
            return x[:, : x.shape[1] // 2] * x[:, x.shape[1] // 2 :]
    raise AssertionError(kind)


def _descriptor(text: str, nodes: dict[str, np.ndarray]) -> np.ndarray:
    """Append(...), Sum(...), Offset(node, n) or the name of an earlier node."""
    match = re.fullmatch(r"(\w+)\((.*)\)", text)
    if not match:
        return nodes[text]
    parts, depth = [""], 0
    for character in match[2]:
        depth += {"(": 1, ")": -1}.get(character, 0)
        if character == "," and depth == 0:
            parts.append("")
        else:
            parts[-1] += character
    parts = [part.strip() for part in parts]
    match match[1]:
        case "Append":
            return np.concatenate([_descriptor(part, nodes) for part in parts], axis=1)
        case "Sum":
            return sum(_descriptor(part, nodes) for part in parts)  # type: ignore[return-value]  # at least one part
        case "Offset":
            return np.roll(_descriptor(parts[0], nodes), -int(parts[1]), axis=0)
    raise AssertionError(text)
