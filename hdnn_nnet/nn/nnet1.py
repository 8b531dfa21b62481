"""A feed-forward network of Kaldi's nnet1 as a torch module, to forward it or to learn from it; it is not trained here."""

from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional

from hdnn_nnet.errors import HdnnError
from hdnn_nnet.kaldi.nnet1 import Component, read_nnet1
from hdnn_nnet.nn.networks import SplicingNetwork


class Nnet1(SplicingNetwork):
    """The feature transform and the network, up to the softmax, with the interface of AcousticModel.

    `normalise` holds what comes before the (one) Splice, `logits` what comes behind it, so that frames can be shuffled after
    splicing as for our own networks.

    Attributes:
        feat_dim: columns of the features; num_pdfs: outputs.
        left_context, right_context: frames that one output sees on either side.
    """

    _anchor: Tensor

    def __init__(self, components: list[Component], where: str) -> None:
        super().__init__()
        kinds = [c.kind for c in components]
        if "Softmax" in kinds[:-1] or not components:
            raise HdnnError(f"{where}: a softmax before the last component, or no component at all, is not supported")
        if kinds.count("Splice") > 1:
            raise HdnnError(
                f"{where}: more than one Splice is not supported; write its posteriors with nnet-forward and use the archive"
            )
        if kinds[-1] == "Softmax":
            components = components[:-1]
        first = kinds.index("Splice") if "Splice" in kinds else -1
        offsets = [int(o) for o in components[first].arrays["offsets"]] if first >= 0 else [0]
        before, behind = components[: max(first, 0)], components[first + 1 :]
        self.feat_dim = components[0].input_dim
        self.num_pdfs = components[-1].output_dim
        self._context = max(0, -min(offsets)), max(0, max(offsets))
        self.compute_dtype: torch.dtype | None = None
        dim = components[first].input_dim if first >= 0 else self.feat_dim
        window = range(-self.left_context, self.right_context + 1)
        if offsets != list(window):
            columns = [(offset + self.left_context) * dim + i for offset in offsets for i in range(dim)]
            behind = [
                Component("Copy", dim * len(window), len(columns), {"columns": torch.tensor(columns).numpy()}),
                *behind,
            ]
        self.before = nn.ModuleList(map(_module, before))
        self.behind = nn.ModuleList(map(_module, behind))
        self.register_buffer(
            "_anchor", torch.zeros(())
        )  # tells the device of a network without parameters before Splice

    @classmethod
    def load(cls, directory: Path) -> "Nnet1":
        """`final.feature_transform` (if there is one) and `final.nnet` of a directory that steps/nnet/train.sh left."""
        network = directory / "final.nnet"
        transform = directory / "final.feature_transform"
        components = read_nnet1(transform) if transform.is_file() else []
        after = read_nnet1(network)
        if components and after and components[-1].output_dim != after[0].input_dim:
            raise HdnnError(
                f"{transform} gives {components[-1].output_dim} columns, {network} takes {after[0].input_dim}; "
                "they are not of the same training"
            )
        return cls(components + after, str(network)).eval()

    @property
    def left_context(self) -> int:
        return self._context[0]

    @property
    def right_context(self) -> int:
        return self._context[1]

    @property
    def name(self) -> str:
        return f"nnet1 network with {sum(isinstance(m, nn.Linear) for m in self.behind)} affine layers"

    @property
    def device(self) -> torch.device:
        return self._anchor.device

    def normalise(self, features: Tensor) -> Tensor:
        """(T, feat_dim) features to the columns that are spliced."""
        for module in self.before:
            features = module(features)
        return features

    def logits(self, windows: Tensor) -> Tensor:
        """(N, window * D) spliced frames to (N, num_pdfs) outputs before the softmax."""
        x = windows
        for module in self.behind:
            if self.compute_dtype is not None and isinstance(module, nn.Linear):
                dtype = self.compute_dtype
                bias = None if module.bias is None else module.bias.to(dtype)
                x = functional.linear(x.to(dtype), module.weight.to(dtype), bias).float()
            else:
                x = module(x)
        return x


class _ShiftOrScale(nn.Module):
    values: Tensor

    def __init__(self, values: Tensor, shift: bool) -> None:
        super().__init__()
        self.register_buffer("values", values)
        self.shift = shift

    def forward(self, x: Tensor) -> Tensor:
        return x + self.values if self.shift else x * self.values


class _Copy(nn.Module):
    columns: Tensor

    def __init__(self, columns: Tensor) -> None:
        super().__init__()
        self.register_buffer("columns", columns)

    def forward(self, x: Tensor) -> Tensor:
        return x[:, self.columns]


class _ParametricRelu(nn.Module):
    positive: Tensor
    negative: Tensor

    def __init__(self, positive: Tensor, negative: Tensor) -> None:
        super().__init__()
        self.register_buffer("positive", positive)
        self.register_buffer("negative", negative)

    def forward(self, x: Tensor) -> Tensor:
        return torch.where(x > 0, x * self.positive, x * self.negative)


def _module(component: Component) -> nn.Module:
    arrays = {name: torch.tensor(values) for name, values in component.arrays.items()}
    match component.kind:
        case "AffineTransform" | "LinearTransform":
            linear = nn.Linear(component.input_dim, component.output_dim, bias="bias" in arrays)
            with torch.no_grad():
                linear.weight.copy_(arrays["weight"])
                if "bias" in arrays:
                    linear.bias.copy_(arrays["bias"])
            return linear.requires_grad_(False)
        case "Sigmoid":
            return nn.Sigmoid()
        case "Tanh":
            return nn.Tanh()
        case "Copy":
            return _Copy(arrays["columns"].long())
        case "AddShift":
            return _ShiftOrScale(arrays["shift"], True)
        case "Rescale":
            return _ShiftOrScale(arrays["scale"], False)
        case "ParametricRelu":
            return _ParametricRelu(arrays["positive"], arrays["negative"])
    raise AssertionError(component.kind)
