"""Plain and highway deep neural networks with their input normalisation and splicing."""

import math
from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from hdnn_nnet.errors import HdnnError
from hdnn_nnet.nn.config import NetworkConfig, chosen_groups
from hdnn_nnet.nn.highway import HighwayLayers
from hdnn_nnet.nn.product_copy import in_type, stand_in

#: gates of the configuration -> (transform, carry) of HighwayLayers
_GATE_FLAGS = {
    "both": ("gate", "gate"),
    "transform": ("gate", "zero"),
    "carry": ("one", "gate"),
    "coupled": ("gate", "coupled"),
}


def splice(features: Tensor, left: int, right: int) -> Tensor:
    """(T, D) to (T, (left + 1 + right) * D), oldest frame first; edge frames are repeated (nnet1's Splice)."""
    padded = torch.cat((features[:1].expand(left, -1), features, features[-1:].expand(right, -1)))
    frames, dim = features.shape
    # An overlapping view; the copy is made by the first matrix product.
    return padded.contiguous().as_strided((frames, (left + 1 + right) * dim), (dim, 1))


class SplicingNetwork(nn.Module):
    """A network that sees every frame with its neighbours: features are normalised, then spliced, then become logits.

    Sub-classes give `normalise`, (T, feat_dim) to (T, D), `logits`, and the frames of context.
    """

    @property
    def left_context(self) -> int:
        raise NotImplementedError

    @property
    def right_context(self) -> int:
        raise NotImplementedError

    def normalise(self, features: Tensor) -> Tensor:
        raise NotImplementedError

    def logits(self, windows: Tensor) -> Tensor:
        """(N, window * D) spliced frames to (N, num_pdfs) outputs before the softmax."""
        raise NotImplementedError

    def splice(self, features: Tensor) -> Tensor:
        """(T, D) normalised features to (T, window * D), oldest frame first; edge frames are repeated (nnet1's Splice)."""
        return splice(features, self.left_context, self.right_context)

    def windows(self, features: Tensor) -> Tensor:
        """(T, feat_dim) raw features of one utterance to (T, window * D): normalised and spliced."""
        return self.splice(self.normalise(features))

    def forward(self, features: Tensor) -> Tensor:
        """(T, feat_dim) raw features of one utterance to (T, num_pdfs) logits."""
        return self.logits(self.windows(features))


class AcousticModel(SplicingNetwork):
    """Frames in, pdf logits out.

    The global mean and variance of the training features and the splicing are part of the model, so a model file
    and raw features are all that a user needs. Sub-classes give `hidden`, the layers between input and softmax layer.
    """

    mean: Tensor
    inverse_std: Tensor
    window_mean: Tensor
    window_inverse_std: Tensor

    def __init__(self, config: NetworkConfig) -> None:
        super().__init__()
        self.config = config
        #: type of the matrix products; parameters stay float32 (bfloat16 is mixed precision)
        self.compute_dtype: torch.dtype | None = None
        self.register_buffer("mean", torch.zeros(config.feat_dim))
        self.register_buffer("inverse_std", torch.ones(config.feat_dim))
        if config.window_normalisation:
            self.register_buffer("window_mean", torch.zeros(config.input_dim))
            self.register_buffer("window_inverse_std", torch.ones(config.input_dim))
        #: parameter -> factor on its learning rate, where that is not 1 (imported networks)
        self.learn_rate_coefs: dict[str, float] = {}
        self.input = nn.Linear(config.input_dim, config.width)
        self.output = nn.Linear(config.width, config.num_pdfs)

    @property
    def name(self) -> str:
        return self.config.name

    @property
    def device(self) -> torch.device:
        return self.mean.device

    @property
    def feat_dim(self) -> int:
        return self.config.feat_dim

    @property
    def num_pdfs(self) -> int:
        return self.config.num_pdfs

    @property
    def left_context(self) -> int:
        return self.config.left_context

    @property
    def right_context(self) -> int:
        return self.config.right_context

    def set_normalisation(self, mean: Tensor, variance: Tensor) -> None:
        """Store the global statistics of the unspliced features, each of shape (feat_dim,)."""
        self.mean.copy_(mean)
        self.inverse_std.copy_(variance.clamp_min(1e-10).rsqrt())

    def normalise(self, features: Tensor) -> Tensor:
        """(T, feat_dim) raw features to global mean 0 and variance 1."""
        return (features - self.mean) * self.inverse_std

    def array_normaliser(self) -> Callable[[np.ndarray], np.ndarray]:
        """`normalise` for arrays, with the statistics as they are now, on the CPU wherever the network is."""
        mean, scale = self.mean.cpu().numpy(), self.inverse_std.cpu().numpy()
        return lambda features: (features - mean) * scale

    def hidden(self, h: Tensor) -> Tensor:
        """(N, H) activations of the first layer to those of the last."""
        raise NotImplementedError

    def logits(self, windows: Tensor, pdfs: Tensor | None = None) -> Tensor:
        """(N, window * feat_dim) normalised, spliced frames to (N, num_pdfs) float logits.

        With `pdfs`, (P,) int64, only these columns are computed: (N, P).
        """
        dtype = self.compute_dtype or windows.dtype
        if self.config.window_normalisation:
            windows = (windows - self.window_mean) * self.window_inverse_std
        h = _linear(windows.to(dtype), self.input)
        h = h.relu_() if self.config.activation == "relu" else h.sigmoid_()
        logits = _linear(self.hidden(h), self.output, pdfs)
        return logits.float() if dtype == torch.bfloat16 else logits

    def rates_of(self, parameters: Sequence[nn.Parameter]) -> list[float]:
        """The factors on the learning rates of some of the parameters."""
        names = {id(parameter): name for name, parameter in self.named_parameters()}
        return [self.learn_rate_coefs.get(names[id(parameter)], 1.0) for parameter in parameters]

    def initialise(self, seed: int) -> None:
        """Draw all parameters; the same seed gives the same values."""
        generator = torch.Generator().manual_seed(seed)
        with torch.no_grad():
            self._draw(generator)

    def _draw(self, generator: torch.Generator) -> None:
        raise NotImplementedError

    def parameter_groups(self) -> dict[str, list[nn.Parameter]]:
        """The paper's groups: `hidden` (theta_h), `gates` (theta_g), `softmax` (theta_c)."""
        groups: dict[str, list[nn.Parameter]] = {"hidden": [], "gates": [], "softmax": []}
        for name, parameter in self.named_parameters():
            group = "softmax" if name.startswith("output.") else "gates" if name == "gates" else "hidden"
            groups[group].append(parameter)
        return groups

    def num_parameters(self) -> int:
        return sum(p.numel() for p in self.parameters())


class PlainDNN(AcousticModel):
    """h_l = act(W_l h_{l-1} + b_l), l = 1..L; y = softmax(W h_L + b)."""

    def __init__(self, config: NetworkConfig) -> None:
        super().__init__(config)
        self.layers = nn.ModuleList(nn.Linear(config.width, config.width) for _ in range(config.depth - 1))

    def _draw(self, generator: torch.Generator) -> None:
        # As Kaldi's make_nnet_proto.py: most sigmoids start near 0, which a deep plain network needs to learn at all
        # without pre-training; the first layer starts smaller.
        sigmoid = self.config.activation == "sigmoid"
        for layer in (self.input, *self.layers, self.output):
            fan_out, fan_in = layer.weight.shape
            std = (3.5 if sigmoid else 1.0) * math.sqrt(2 / (fan_in + fan_out))
            if sigmoid and layer is self.input:
                std *= math.sqrt(1 / 12)
            layer.weight.normal_(0, std, generator=generator)
            if sigmoid and layer is not self.output:
                layer.bias.uniform_(-4, 0, generator=generator)
            else:
                layer.bias.zero_()

    def hidden(self, h: Tensor) -> Tensor:
        for layer in self.layers:
            assert isinstance(layer, nn.Linear)
            h = _linear(h, layer)
            h = h.relu_() if self.config.activation == "relu" else h.sigmoid_()
        return h


class HighwayDNN(AcousticModel):
    """The first layer is plain; layers 2..L are highway layers (see hdnn_nnet.nn.highway).

    Parameters: `weights` (L-1, H, H), `biases` (L-1, H), `gates` (1 or L-1, K*H, H) with the K gates stacked, T before C.
    """

    def __init__(self, config: NetworkConfig) -> None:
        super().__init__(config)
        layers, width = config.depth - 1, config.width
        self.weights = nn.Parameter(torch.empty(layers, width, width))
        self.biases = nn.Parameter(torch.empty(layers, width))
        kinds = 2 if config.gates == "both" else 1
        self.gates = nn.Parameter(torch.empty(1 if config.tied_gates else layers, kinds * width, width))

    def _draw(self, generator: torch.Generator) -> None:
        # Hidden weights and gates uniform in [-0.5, 0.5], biases 0, as the paper says. The input and softmax layers have
        # other fan-ins and start smaller (Glorot): with 0.5 there the first updates overshoot.
        for weights in (self.weights, self.gates):
            weights.uniform_(-0.5, 0.5, generator=generator)
        self.biases.zero_()
        for layer in (self.input, self.output):
            bound = math.sqrt(6 / sum(layer.weight.shape))
            layer.weight.uniform_(-bound, bound, generator=generator)
            layer.bias.zero_()

    def hidden(self, h: Tensor) -> Tensor:
        if self.config.depth == 1:
            return h
        transform, carry = _GATE_FLAGS[self.config.gates]
        relu = self.config.activation == "relu"
        weights, biases, gates = (stand_in(p, h.dtype) for p in (self.weights, self.biases, self.gates))
        return HighwayLayers.apply(h, weights, biases, gates, transform, carry, relu)


def _linear(x: Tensor, layer: nn.Linear, rows: Tensor | None = None) -> Tensor:
    weight: Tensor = layer.weight
    bias: Tensor = layer.bias
    if rows is not None:
        weight, bias = weight.index_select(0, rows), bias.index_select(0, rows)
    return functional.linear(x, in_type(weight, x.dtype), in_type(bias, x.dtype))


def build_network(config: NetworkConfig, seed: int = 0) -> AcousticModel:
    """A network with freshly drawn parameters."""
    network = (HighwayDNN if config.arch == "hdnn" else PlainDNN)(config)
    network.initialise(seed)
    return network


def choose_parameters(model: AcousticModel, update: Sequence[str]) -> list[nn.Parameter]:
    """The parameters of the groups named (`all` alone: of every group); all others need no gradient from now on."""
    groups = model.parameter_groups()
    update = chosen_groups(update)
    parameters = [p for name in update for p in groups[name]]
    if not parameters:
        raise HdnnError(f"{model.name} has no parameters in the group {', '.join(update)}")
    for parameter in model.parameters():
        parameter.requires_grad_(any(parameter is p for p in parameters))
    return parameters
