"""Kaldi's nnet1 networks as plain DNNs of ours, to train them further."""

from itertools import pairwise

import torch

from hdnn_nnet.errors import HdnnError
from hdnn_nnet.kaldi.nnet1 import Component
from hdnn_nnet.nn.config import NetworkConfig
from hdnn_nnet.nn.networks import PlainDNN


def import_nnet1(components: list[Component], where: str) -> PlainDNN:
    """A PlainDNN that computes the same logits.

    Args:
        components: feature transform and network: Splice of adjacent frames, shifts and scales, then sigmoid layers of one width.
            Shifts and scales become the model's normalisation of single frames; what differs between the frames of a
            window (statistics of spliced frames differ a little at utterance ends) is folded into the first layer, so that
            learning rates mean the same as in Kaldi.

    Raises:
        HdnnError: components in another order, of another kind, or hidden layers of different widths.
    """
    problem = HdnnError(
        f"{where}: only Splice, AddShift, Rescale and sigmoid layers of one width can be trained further, not "
        f"{' '.join(c.kind for c in components)}; it can still be forwarded, and teach"
    )
    rest = list(components)
    left = right = 0
    if rest and rest[0].kind == "Splice":
        offsets = rest.pop(0).arrays["offsets"].tolist()
        left, right = -offsets[0], offsets[-1]
        if offsets != list(range(-left, right + 1)) or min(left, right) < 0:
            raise problem
    feat_dim = components[0].input_dim
    dim = (left + 1 + right) * feat_dim
    scale, shift = torch.ones(dim, dtype=torch.float64), torch.zeros(dim, dtype=torch.float64)
    while rest and rest[0].kind in ("AddShift", "Rescale"):
        component = rest.pop(0)
        if component.kind == "AddShift":
            shift = shift + torch.from_numpy(component.arrays["shift"]).double()
        else:
            factor = torch.from_numpy(component.arrays["scale"]).double()
            scale, shift = scale * factor, shift * factor
    if rest and rest[-1].kind == "Softmax":
        rest.pop()
    layers, activations = rest[::2], rest[1::2]
    if (scale == 0).any():
        raise problem
    widths = {layer.output_dim for layer in layers[:-1]}
    if (
        len(layers) < 2
        or len(layers) != len(activations) + 1
        or any(layer.kind != "AffineTransform" for layer in layers)
        or any(activation.kind != "Sigmoid" for activation in activations)
        or len(widths) != 1
    ):
        raise problem
    config = NetworkConfig("dnn", feat_dim, layers[-1].output_dim, widths.pop(), len(layers) - 1, left, right)
    model = PlainDNN(config)
    targets = [model.input, *model.layers, model.output]
    with torch.no_grad():
        for target, layer in zip(targets, layers, strict=True):
            target.weight.copy_(torch.from_numpy(layer.arrays["weight"]))
            target.bias.copy_(torch.from_numpy(layer.arrays["bias"]))
        # y = scale x + shift for a window; n = (x - mean) * inverse_std for its frame in the middle.
        middle = slice(left * feat_dim, (left + 1) * feat_dim)
        mean, inverse_std = -shift[middle] / scale[middle], scale[middle]
        model.mean.copy_(mean)
        model.inverse_std.copy_(inverse_std)
        window = left + 1 + right
        first = torch.from_numpy(layers[0].arrays["weight"]).double()
        model.input.weight.copy_(first * (scale / inverse_std.repeat(window)))
        model.input.bias.add_((first @ (shift + scale * mean.repeat(window))).float())
    assert all(a.output_dim == b.input_dim for a, b in pairwise(layers))
    return model
