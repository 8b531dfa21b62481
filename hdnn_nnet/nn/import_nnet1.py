"""Kaldi's nnet1 networks as plain DNNs of ours, to train them further."""

import dataclasses
import logging
from itertools import pairwise

import torch
from torch import nn

from hdnn_nnet.errors import HdnnError
from hdnn_nnet.kaldi.nnet1 import Component
from hdnn_nnet.nn.config import NetworkConfig
from hdnn_nnet.nn.networks import AcousticModel, PlainDNN, build_network

log = logging.getLogger(__name__)


def import_nnet1(components: list[Component], where: str) -> PlainDNN:
    """A PlainDNN that computes the same logits.

    Args:
        components: feature transform and network: Splice of adjacent frames, shifts and scales, then sigmoid layers of one width.
            Shifts and scales become the model's normalisation of windows, and the layers' factors on the learning rate are kept,
            so that an update is the same as in Kaldi.

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
    config = NetworkConfig(
        "dnn", feat_dim, layers[-1].output_dim, widths.pop(), len(layers) - 1, left, right, window_normalisation=True
    )
    model = PlainDNN(config)
    targets = ["input", *(f"layers.{i}" for i in range(len(layers) - 2)), "output"]
    with torch.no_grad():
        for name, layer in zip(targets, layers, strict=True):
            target = model.get_submodule(name)
            assert isinstance(target, nn.Linear)
            target.weight.copy_(torch.from_numpy(layer.arrays["weight"]))
            target.bias.copy_(torch.from_numpy(layer.arrays["bias"]))
            for part, token in (("weight", "LearnRateCoef"), ("bias", "BiasLearnRateCoef")):
                if (coef := layer.numbers.get(token, 1.0)) != 1.0:
                    model.learn_rate_coefs[f"{name}.{part}"] = coef
        # y = scale x + shift = (x - mean) * inverse_std for a window
        model.window_mean.copy_(-shift / scale)
        model.window_inverse_std.copy_(scale)
    if any(layer.numbers.get("MaxNorm", 0.0) > 0 for layer in layers):
        log.warning("%s: <MaxNorm> is not kept; further training does not limit the norms of weights", where)
    assert all(a.output_dim == b.input_dim for a, b in pairwise(layers))
    return model


@torch.no_grad()
def folded(model: AcousticModel) -> AcousticModel:
    """The same function without a normalisation of windows, for exports; the model itself where it has none.

    That of the frame in the middle becomes the one of all frames; what differs (statistics of spliced frames differ a little at
    utterance ends) goes into the first layer.
    """
    if not model.config.window_normalisation:
        return model
    config = dataclasses.replace(model.config, window_normalisation=False)
    result = build_network(config)
    result.load_state_dict({k: v for k, v in model.state_dict().items() if not k.startswith("window_")})
    window, left, dim = config.window, config.left_context, config.feat_dim
    # For normalised frames n, y = scale n + shift; the same for raw ones, with the statistics of frames taken in.
    scale, shift = model.window_inverse_std.double(), -(model.window_mean * model.window_inverse_std).double()
    frame_scale, frame_mean = model.inverse_std.double().repeat(window), model.mean.double().repeat(window)
    scale, shift = scale * frame_scale, shift - scale * frame_scale * frame_mean
    middle = slice(left * dim, (left + 1) * dim)
    mean, inverse_std = -shift[middle] / scale[middle], scale[middle]
    result.mean.copy_(mean)
    result.inverse_std.copy_(inverse_std)
    first = model.input.weight.double()
    result.input.weight.copy_(first * (scale / inverse_std.repeat(window)))
    result.input.bias.copy_(model.input.bias.double() + first @ (shift + scale * mean.repeat(window)))
    return result.train(model.training)
