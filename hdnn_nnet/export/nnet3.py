"""Networks as Kaldi's nnet3 models, for nnet3-latgen-faster, nnet3-compute and Vosk.

The normalisation of the features and the log-softmax are components of their own; splicing is a list of frame offsets in a
node's input. Tied gates are two affine components that all layers' nodes name, so they stay tied and are stored once. The
sum of a highway layer, act(a) * T(h) + h * C(h), is a `Sum` in the inputs of the nodes behind it.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from hdnn_nnet.errors import HdnnError
from hdnn_nnet.kaldi.basic_io import KaldiReader, KaldiWriter
from hdnn_nnet.kaldi.transitions import TransitionModel
from hdnn_nnet.nn.config import NetworkConfig
from hdnn_nnet.nn.prior import UNSEEN_LOG_PRIOR

if TYPE_CHECKING:  # runtimes that check an export need no torch
    from hdnn_nnet.nn.networks import AcousticModel

#: log-posterior of a pdf that training never saw. nnet3 stores priors, not log-priors, in single precision, where the huge
#: prior that bars such a pdf in nnet1 does not fit.
UNSEEN_LOG_POSTERIOR = -1.0e10


@dataclass(frozen=True)
class Component:
    """One component: its name, Kaldi's type, and what the type stores, in the order of the file."""

    name: str
    type: str
    values: dict[str, np.ndarray | int] = field(default_factory=dict)


@dataclass
class Nnet3:
    """A network: the lines of its configuration and its components.

    Attributes:
        priors: (num_pdfs,) prior of each pdf; the decoder subtracts their logarithm.
        left_context, right_context: frames that one output sees on either side.
    """

    lines: list[str]
    components: list[Component]
    priors: np.ndarray
    left_context: int
    right_context: int


def convert(model: AcousticModel, log_prior: np.ndarray) -> Nnet3:
    """A network of ours as an nnet3 network.

    Its output is log-posteriors, (T, num_pdfs), of raw features, (T, feat_dim): those of `model`, but for pdfs that the prior
    bars (`hdnn_nnet.nn.prior`), which get UNSEEN_LOG_POSTERIOR.

    Args:
        log_prior: (num_pdfs,) as `read_log_prior` gives it.
    """
    config = model.config
    if log_prior.shape != (config.num_pdfs,):
        raise HdnnError(f"{len(log_prior)} priors for a network of {config.num_pdfs} pdfs; take the model's own counts")
    seen = log_prior < UNSEEN_LOG_PRIOR / 2
    graph = _Graph(model)
    graph.add_input()
    h = graph.add_layer("1", graph.spliced())
    highway = {"hdnn": graph.add_highway_layer, "dnn": graph.add_layer}[config.arch]
    for layer in range(2, config.depth + 1):
        h = highway(str(layer), h)
    last = graph.node("softmax", graph.affine("softmax", "output.weight", "output.bias"), h)
    last = graph.node(
        "log-posteriors", graph.add(Component("log-softmax", "LogSoftmaxComponent", {"Dim": config.num_pdfs})), last
    )
    if not seen.all():
        bias = np.where(seen, 0.0, UNSEEN_LOG_POSTERIOR)
        last = graph.node("seen", graph.add(Component("seen", "FixedBiasComponent", {"Bias": bias})), last)
    graph.lines.append(f"output-node name=output input={last} objective=linear")
    priors = np.where(seen, np.exp(np.where(seen, log_prior, 0.0)), 1.0)
    return Nnet3(graph.lines, graph.components, priors, config.left_context, config.right_context)


class _Graph:
    """Collects nodes and components; node inputs are descriptors of nnet3 (text)."""

    def __init__(self, model: AcousticModel) -> None:
        self.config: NetworkConfig = model.config
        self.tensors = {k: v.detach().cpu().double().numpy() for k, v in model.state_dict().items()}
        self.lines: list[str] = []
        self.components: list[Component] = []

    def add(self, component: Component) -> str:
        """Store a component, once; gives its name."""
        if all(c.name != component.name for c in self.components):
            self.components.append(component)
        return component.name

    def node(self, name: str, component: str, input_: str) -> str:
        self.lines.append(f"component-node name={name} component={component} input={input_}")
        return name

    def affine(self, name: str, weight: str | np.ndarray, bias: str | np.ndarray) -> str:
        weight, bias = (self.tensors[x] if isinstance(x, str) else x for x in (weight, bias))
        return self.add(Component(name, "AffineComponent", {"LinearParams": weight, "BiasParams": bias}))

    def add_input(self) -> None:
        """(features - mean) * inverse standard deviation, frame by frame."""
        self.lines.append(f"input-node name=input dim={self.config.feat_dim}")
        shift = self.add(Component("shift", "FixedBiasComponent", {"Bias": -self.tensors["mean"]}))
        scale = self.add(Component("scale", "FixedScaleComponent", {"Scales": self.tensors["inverse_std"]}))
        self.node("scale", scale, self.node("shift", shift, "input"))

    def spliced(self) -> str:
        offsets = range(-self.config.left_context, self.config.right_context + 1)
        if len(offsets) == 1:
            return "scale"
        return f"Append({', '.join(f'Offset(scale, {o})' if o else 'scale' for o in offsets)})"

    def activation(self, sigmoid: bool = False) -> str:
        width = {"Dim": self.config.width}
        if sigmoid or self.config.activation == "sigmoid":
            return self.add(Component("sigmoid", "SigmoidComponent", dict(width)))
        return self.add(Component("relu", "RectifiedLinearComponent", dict(width)))

    def hidden_parameters(self, layer: str) -> tuple[np.ndarray, np.ndarray]:
        """Weight and bias of hidden layer `layer` (from 1)."""
        if layer == "1":
            return self.tensors["input.weight"], self.tensors["input.bias"]
        index = int(layer) - 2
        if self.config.arch == "hdnn":
            return self.tensors["weights"][index], self.tensors["biases"][index]
        return self.tensors[f"layers.{index}.weight"], self.tensors[f"layers.{index}.bias"]

    def add_layer(self, layer: str, h: str) -> str:
        """A plain layer; gives the descriptor of its output."""
        affine = self.node(f"affine{layer}", self.affine(f"affine{layer}", *self.hidden_parameters(layer)), h)
        return self.node(f"hidden{layer}", self.activation(), affine)

    def add_highway_layer(self, layer: str, h: str) -> str:
        """A highway layer; gives the descriptor of its output."""
        width = self.config.width
        hidden = self.add_layer(layer, h)
        gates = dict(self.gate_weights(0 if self.config.tied_gates else int(layer) - 2))
        product = Component("product", "ElementwiseProductComponent", {"InputDim": 2 * width, "OutputDim": width})
        terms = []
        for gate, of in (("transform", hidden), ("carry", h)):
            if gate in gates:
                name = gate if self.config.tied_gates else f"{gate}{layer}"
                affine = self.node(f"{gate}{layer}.affine", self.affine(name, gates[gate], np.zeros(width)), h)
                opened = self.node(f"{gate}{layer}", self.activation(sigmoid=True), affine)
                terms.append(self.node(f"{gate}{layer}.product", self.add(product), f"Append({of}, {opened})"))
            elif gate == "transform":
                terms.append(hidden)
        return terms[0] if len(terms) == 1 else f"Sum({', '.join(terms)})"

    def gate_weights(self, index: int) -> Iterator[tuple[str, np.ndarray]]:
        """Weight matrices of the gates of one layer, by name."""
        width, stacked = self.config.width, self.tensors["gates"][index]
        match self.config.gates:
            case "both":
                yield from (("transform", stacked[:width]), ("carry", stacked[width:]))
            case "coupled":  # 1 - sigmoid(x) = sigmoid(-x)
                yield from (("transform", stacked), ("carry", -stacked))
            case gate:
                yield gate, stacked


def append_nnet(nnet: Nnet3, writer: KaldiWriter) -> None:
    """Append the network alone (a `.raw` model)."""
    writer.token("<Nnet3>")
    # The configuration is text in both forms, and an empty line ends it.
    writer.parts.append(("\n" + "".join(f"{line}\n" for line in nnet.lines) + "\n").encode())
    writer.token("<NumComponents>")
    writer.int32(len(nnet.components))
    writer.text("\n")
    for component in nnet.components:
        writer.token("<ComponentName>")
        writer.token(component.name)
        _append_component(component, writer)
        writer.text("\n")
    writer.token("</Nnet3>")


def _append_component(component: Component, writer: KaldiWriter) -> None:
    writer.token(f"<{component.type}>")
    if component.type == "AffineComponent":
        writer.token("<LearningRate>")
        writer.float(0.001)
    for name, value in component.values.items():
        writer.token(f"<{name}>")
        if isinstance(value, int):
            writer.int32(value)
        else:
            (writer.matrix if value.ndim == 2 else writer.vector)(value)
    if "Dim" in component.values:  # a non-linearity: statistics of training, none here
        empty = np.zeros(0)
        for name, number in (
            ("ValueAvg", None),
            ("DerivAvg", None),
            ("Count", 0.0),
            ("OderivRms", None),
            ("OderivCount", 0.0),
            ("NumDimsSelfRepaired", 0.0),
            ("NumDimsProcessed", 0.0),
        ):
            writer.token(f"<{name}>")
            writer.vector(empty) if number is None else writer.double(number)
    writer.token(f"</{component.type}>")


def write_acoustic_model(
    nnet: Nnet3, transitions: TransitionModel, path: str | os.PathLike[str], binary: bool = True
) -> None:
    """Write transition model, network, context and priors: the `final.mdl` of nnet3 decoders.

    Raises:
        HdnnError: transition model and network differ in their number of pdfs.
    """
    if transitions.num_pdfs != len(nnet.priors):
        raise HdnnError(
            f"the network has {len(nnet.priors)} pdfs, the transition model {transitions.num_pdfs}; "
            "take the final.mdl that the network was trained with"
        )
    writer = KaldiWriter(binary)
    transitions.append_to(writer)
    append_nnet(nnet, writer)
    writer.token("<LeftContext>")
    writer.int32(nnet.left_context)
    writer.token("<RightContext>")
    writer.int32(nnet.right_context)
    writer.token("<Priors>")
    writer.vector(nnet.priors)
    writer.save(path)


def check_acoustic_model(path: str | os.PathLike[str]) -> TransitionModel:
    """Read the head of an nnet3 acoustic model and look for its end; gives the transition model.

    Raises:
        HdnnError: no nnet3 model, or cut off.
    """
    reader = KaldiReader.open(path)
    transitions = TransitionModel.parse(reader)
    if reader.peek_token() != "<Nnet3>":
        raise HdnnError(f"{path} holds no nnet3 network behind its transition model; export the model again")
    reader.position = reader.data.rfind(b"<Priors> ")
    if reader.position < 0:
        raise HdnnError(f"{path} ends before its priors; export the model again")
    reader.token()
    if len(priors := reader.vector()) not in (0, transitions.num_pdfs):
        raise HdnnError(f"{path} has {len(priors)} priors for {transitions.num_pdfs} pdfs; export the model again")
    return transitions
