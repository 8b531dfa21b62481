"""Reading the networks of Kaldi's nnet1 (`final.nnet`, `final.feature_transform`), binary or text."""

import os
from dataclasses import dataclass, field

import numpy as np

from hdnn_nnet.errors import HdnnError
from hdnn_nnet.kaldi.basic_io import KaldiReader

#: components that training tools insert and that do nothing when a network is used
_IDENTITIES = ("Dropout",)
_NUMBERS = (
    "<LearnRateCoef>",
    "<BiasLearnRateCoef>",
    "<MaxNorm>",
    "<DropoutRate>",
    "<DropoutRetention>",
    "<AlphaLearnRateCoef>",
    "<BetaLearnRateCoef>",
)
#: component -> its arrays, in the order of the file
_ARRAYS = {
    "AffineTransform": (("weight", "matrix"), ("bias", "vector")),
    "LinearTransform": (("weight", "matrix"),),
    "Splice": (("offsets", "integers"),),
    "Copy": (("columns", "integers"),),
    "AddShift": (("shift", "vector"),),
    "Rescale": (("scale", "vector"),),
    "ParametricRelu": (("positive", "vector"), ("negative", "vector")),
    "Sigmoid": (),
    "Tanh": (),
    "Softmax": (),
    "Dropout": (),
}


@dataclass(frozen=True)
class Component:
    """One component.

    Attributes:
        kind: Kaldi's name, for example `AffineTransform`.
        input_dim, output_dim: columns in and out.
        arrays: by name: `weight` (output_dim, input_dim) and `bias`; `offsets` (frames) of Splice; `columns` of Copy, from 0;
            `shift`; `scale`; `positive` and `negative` slopes of ParametricRelu.
        numbers: by token, without brackets, what only matters in training: `LearnRateCoef` and `BiasLearnRateCoef` (factors on
            the learning rate, 1 where they are missing), `MaxNorm`.
    """

    kind: str
    input_dim: int
    output_dim: int
    arrays: dict[str, np.ndarray] = field(default_factory=dict)
    numbers: dict[str, float] = field(default_factory=dict)


def read_nnet1(path: str | os.PathLike[str]) -> list[Component]:
    """The components of a network file, without those that do nothing outside training.

    Raises:
        HdnnError: missing or damaged file, a component that is not supported, or dimensions that do not fit.
    """
    reader = KaldiReader.open(path)
    components: list[Component] = []
    if reader.peek_token() == "<Nnet>":
        reader.expect("<Nnet>")
    while True:
        token = reader.token()
        if token == "</Nnet>":
            break
        kind = token.strip("<>")
        if token[0] != "<" or kind not in _ARRAYS:
            raise HdnnError(
                f"{path}: component {token[:40]} is not supported (only {', '.join(sorted(_ARRAYS))}); "
                "write its posteriors with nnet-forward and use the archive instead"
            )
        component = _read_component(reader, kind)
        if components and components[-1].output_dim != component.input_dim:
            raise HdnnError(
                f"{path}: {kind} takes {component.input_dim} inputs, {components[-1].kind} before it gives "
                f"{components[-1].output_dim}; the file is damaged"
            )
        if kind not in _IDENTITIES:
            components.append(component)
    return components


def _read_component(reader: KaldiReader, kind: str) -> Component:
    output_dim, input_dim = reader.int32(), reader.int32()
    arrays: dict[str, np.ndarray] = {}
    numbers: dict[str, float] = {}
    while _next_is_token(reader) and reader.peek_token() in _NUMBERS:
        token = reader.token().strip("<>")
        numbers[token] = reader.float()
        if not np.isfinite(numbers[token]):
            raise reader.fail(f"{kind}: {token} is {numbers[token]}")
    for name, type_ in _ARRAYS[kind]:
        read = {"matrix": reader.matrix, "vector": reader.vector, "integers": reader.int32_vector}[type_]
        arrays[name] = read()
        if not np.isfinite(arrays[name]).all():
            raise reader.fail(f"{kind}: {name} holds NaN or infinity")
    if _next_is_token(reader) and reader.peek_token() == "<!EndOfComponent>":  # older files have none
        reader.token()
    frames = len(arrays["offsets"]) if kind == "Splice" else 1
    wanted = {
        "weight": (output_dim, input_dim),
        "bias": (output_dim,),
        "columns": (output_dim,),
        "shift": (output_dim,),
        "scale": (output_dim,),
        "positive": (output_dim,),
        "negative": (output_dim,),
    }
    for name, shape in wanted.items():
        if name in arrays and arrays[name].shape != shape:
            raise reader.fail(f"{kind}: {name} has shape {arrays[name].shape}, {shape} announced")
    if kind == "Splice" and input_dim * frames != output_dim:
        raise reader.fail(f"Splice of {frames} frames of {input_dim} columns cannot give {output_dim}")
    if kind == "Copy":
        arrays["columns"] = arrays["columns"] - 1  # the file counts from 1
        if arrays["columns"].min() < 0 or arrays["columns"].max() >= input_dim:
            raise reader.fail("Copy takes a column that does not exist")
    if kind not in ("AffineTransform", "LinearTransform", "Splice", "Copy") and input_dim != output_dim:
        raise reader.fail(f"{kind} with {input_dim} inputs and {output_dim} outputs")
    return Component(kind, input_dim, output_dim, arrays, numbers)


def _next_is_token(reader: KaldiReader) -> bool:
    data, position = reader.data, reader.position
    while not reader.binary and data[position : position + 1].isspace():
        position += 1
    return data[position : position + 1] == b"<"
