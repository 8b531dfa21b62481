"""Networks as ONNX graphs, built from their weights by onnx.helper: the same file from every version of torch.

Two forms. `whole` reads the features of an utterance and repeats its edge frames, as our own networks and Kaldi's decoders do.
`stream` reads a chunk and the frames before it (`context`), and hands on the frames that the next chunk needs
(`next_context`); an output comes `right_context` frames after its input. See `hdnn_nnet.nn.streaming.ContextStream`.
"""

from typing import Any

import numpy as np
import onnx
import torch
from onnx import TensorProto, helper, numpy_helper

from hdnn_nnet import __version__
from hdnn_nnet.errors import HdnnError
from hdnn_nnet.nn.networks import AcousticModel

#: written by default: old enough for runtimes of 2022, and has all that the graphs need
OPSET, IR_VERSION = 17, 8
_END = np.iinfo(np.int64).max
_ACTIVATIONS = {"sigmoid": "Sigmoid", "relu": "Relu"}


def build(model: AcousticModel, log_prior: np.ndarray | None, stream: bool = False) -> onnx.ModelProto:
    """The network as an ONNX model.

    Inputs: `features` (frames, feat_dim) float32; with `stream` also `context` (any number of frames, feat_dim).
    Outputs: `loglikes` (frames, num_pdfs), log-posteriors minus `log_prior`; or `logposteriors` without a prior. With `stream`:
    as many rows as context and features have frames, less the left and right context (none if they are too few), and
    `next_context`, the last left_context + right_context frames.

    Args:
        log_prior: (num_pdfs,) or None.
    """
    config = model.config
    if log_prior is not None and log_prior.shape != (config.num_pdfs,):
        raise HdnnError(f"{len(log_prior)} priors for a network of {config.num_pdfs} pdfs; take the model's own counts")
    graph = _Graph(model)
    left, right = config.left_context, config.right_context
    output = "logposteriors" if log_prior is None else "loglikes"
    inputs = [_tensor("features", "frames", config.feat_dim)]
    outputs = [_tensor(output, "outputs" if stream else "frames", config.num_pdfs)]
    if stream:
        inputs.append(_tensor("context", "context", config.feat_dim))
        outputs.append(_tensor("next_context", "kept", config.feat_dim))
        padded = graph.add("Concat", ["context", "features"], "padded", axis=0)
        graph.rows(padded, -(left + right) if left + right else _END, _END, "next_context")
    else:
        pads = graph.constant("pads", np.array([left, 0, right, 0]))
        padded = graph.add("Pad", ["features", pads], "padded", mode="edge") if left + right else "features"
    shifted = graph.add("Sub", [padded, graph.weight("mean", model.mean)], "shifted")
    scaled = graph.add("Mul", [shifted, graph.weight("inverse_std", model.inverse_std)], "normalised")
    h = graph.add_hidden(graph.splice(scaled, config.window))
    logits = graph.linear(h, "output", model.output.weight, model.output.bias)
    last = graph.add("LogSoftmax", [logits], output if log_prior is None else "logposteriors", axis=1)
    if log_prior is not None:
        graph.add("Sub", [last, graph.constant("log_prior", log_prior.astype(np.float32))], output)
    proto = helper.make_model(
        helper.make_graph(graph.nodes, config.name, inputs, outputs, graph.initialisers),
        opset_imports=[helper.make_opsetid("", OPSET)],
        ir_version=IR_VERSION,
        producer_name="hdnn_nnet",
        producer_version=__version__,
    )
    helper.set_model_props(
        proto,
        {"left_context": str(left), "right_context": str(right), "network": config.name, "stream": str(stream).lower()},
    )
    onnx.checker.check_model(proto)
    return proto


def _tensor(name: str, rows: str, columns: int) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, TensorProto.FLOAT, [rows, columns])


class _Graph:
    def __init__(self, model: AcousticModel) -> None:
        self.model = model
        self.config = model.config
        self.nodes: list[onnx.NodeProto] = []
        self.initialisers: list[onnx.TensorProto] = []

    def add(self, operator: str, inputs: list[str], output: str, **attributes: Any) -> str:
        self.nodes.append(helper.make_node(operator, inputs, [output], name=output, **attributes))
        return output

    def constant(self, name: str, values: np.ndarray) -> str:
        """An initialiser; one that is there already (a tied weight) is taken again."""
        if all(i.name != name for i in self.initialisers):
            self.initialisers.append(numpy_helper.from_array(np.ascontiguousarray(values), name))
        return name

    def weight(self, name: str, tensor: torch.Tensor) -> str:
        return self.constant(name, tensor.detach().cpu().numpy())

    def rows(self, matrix: str, first: int, last: int, output: str) -> str:
        """Rows `first` to `last` (negative: from the end)."""
        ends = [self.constant(f"row {'end' if n == _END else n}", np.array([n])) for n in (first, last)]
        return self.add("Slice", [matrix, *ends, self.constant("row axis", np.array([0]))], output)

    def splice(self, frames: str, window: int) -> str:
        """(n + window - 1, D) to (n, window * D), oldest frame first."""
        if window == 1:
            return frames
        parts = []
        for first in range(window):
            last = first - window + 1
            parts.append(self.rows(frames, first, last if last else _END, f"frame {first}"))
        return self.add("Concat", parts, "spliced", axis=1)

    def linear(self, x: str, name: str, weight: torch.Tensor, bias: torch.Tensor) -> str:
        inputs = [x, self.weight(f"{name}.weight", weight.t()), self.weight(f"{name}.bias", bias)]
        # Not MatMul and Add: ONNX Runtime would join these before it looks for 8-bit products.
        return self.add("Gemm", inputs, f"{name}.affine")

    def add_hidden(self, windows: str) -> str:
        config, model = self.config, self.model
        activation = _ACTIVATIONS[config.activation]
        tensors = model.state_dict()
        h = self.add(
            activation, [self.linear(windows, "layer1", tensors["input.weight"], tensors["input.bias"])], "hidden1"
        )
        for layer in range(2, config.depth + 1):
            index = layer - 2
            if config.arch == "hdnn":
                weight, bias = tensors["weights"][index], tensors["biases"][index]
            else:
                weight, bias = tensors[f"layers.{index}.weight"], tensors[f"layers.{index}.bias"]
            a = self.add(activation, [self.linear(h, f"layer{layer}", weight, bias)], f"hidden{layer}")
            h = self.highway(a, h, layer) if config.arch == "hdnn" else a
        return h

    def highway(self, a: str, h: str, layer: int) -> str:
        """a * T(h) + h * C(h) in the form that the configuration asks for."""
        config = self.config
        index = 0 if config.tied_gates else layer - 2
        stacked = self.model.state_dict()["gates"][index]

        def gate(kind: str, weight: torch.Tensor) -> str:
            product = self.add("MatMul", [h, self.weight(f"{kind}{index}", weight.t())], f"{kind} {layer}.product")
            return self.add("Sigmoid", [product], f"{kind} {layer}")

        output = f"h{layer}"
        if config.gates == "coupled":  # h + T(h) * (a - h)
            difference = self.add("Sub", [a, h], f"difference {layer}")
            opened = self.add("Mul", [gate("transform", stacked), difference], f"opened {layer}")
            return self.add("Add", [h, opened], output)
        if config.gates == "transform":
            return self.add("Mul", [a, gate("transform", stacked)], output)
        if config.gates == "carry":
            return self.add("Add", [a, self.add("Mul", [h, gate("carry", stacked)], f"carried {layer}")], output)
        transformed = self.add("Mul", [a, gate("transform", stacked[: config.width])], f"transformed {layer}")
        carried = self.add("Mul", [h, gate("carry", stacked[config.width :])], f"carried {layer}")
        return self.add("Add", [transformed, carried], output)
