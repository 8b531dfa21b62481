"""Networks against the paper's formulas, autograd in float64, and the paper's parameter counts."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from hdnn_nnet.errors import HdnnError
from hdnn_nnet.nn.config import NetworkConfig, parse_name
from hdnn_nnet.nn.highway import HighwayLayers
from hdnn_nnet.nn.losses import SoftmaxCrossEntropy
from hdnn_nnet.nn.networks import _GATE_FLAGS, PlainDNN, build_network

# name: millions of parameters as published (tables of the paper; D = 440, S = 3927)
PUBLISHED = {
    "hdnn-h128l10": 0.74,
    "hdnn-h256l10": 1.8,
    "hdnn-h512l10": 5.1,
    "hdnn-h512l15": 6.4,
    "hdnn-h256l15": 2.1,
    "dnn-h128l10": 0.71,
    "dnn-h256l10": 1.7,
    "dnn-h512l10": 4.6,
}


def reference_highway(h, weights, biases, gates, gate_kind, relu):
    """The paper's equations, one matrix product at a time."""
    width = h.shape[1]
    for layer in range(len(weights)):
        tied = gates[0] if len(gates) == 1 else gates[layer]
        hidden = h @ weights[layer].t() + biases[layer]
        hidden = torch.relu(hidden) if relu else torch.sigmoid(hidden)
        first = torch.sigmoid(h @ tied[:width].t())
        last = torch.sigmoid(h @ tied[-width:].t())
        h = {
            "both": lambda a, t, c, x: a * t + x * c,
            "transform": lambda a, t, c, x: a * t,
            "carry": lambda a, t, c, x: a + x * c,
            "coupled": lambda a, t, c, x: a * t + x * (1 - t),
        }[gate_kind](hidden, first, last, h)
    return h


@pytest.mark.parametrize("relu", [False, True])
@pytest.mark.parametrize("tied", [True, False])
@pytest.mark.parametrize("kind", ["both", "transform", "carry", "coupled"])
def test_highway_layers_equal_the_equations_and_their_gradients(kind: str, tied: bool, relu: bool) -> None:
    torch.manual_seed(1)
    depth, width, frames = 3, 5, 7
    shapes = [(frames, width), (depth, width, width), (depth, width)]
    shapes.append((1 if tied else depth, width * (2 if kind == "both" else 1), width))
    ours = [torch.randn(s, dtype=torch.float64, requires_grad=True) for s in shapes]
    theirs = [t.detach().clone().requires_grad_() for t in ours]
    result = HighwayLayers.apply(*ours, *_GATE_FLAGS[kind], relu)
    h, weights, biases, gates = theirs
    expected = reference_highway(h, weights, biases, gates, kind, relu)
    torch.testing.assert_close(result, expected, rtol=1e-12, atol=1e-12)
    direction = torch.randn_like(expected)
    (result * direction).sum().backward()
    (expected * direction).sum().backward()
    for a, b in zip(ours, theirs, strict=True):
        torch.testing.assert_close(a.grad, b.grad, rtol=1e-11, atol=1e-11)


def test_highway_gradient_against_finite_differences() -> None:
    torch.manual_seed(2)
    shapes = [(4, 3), (2, 3, 3), (2, 3), (1, 6, 3)]
    values = [torch.randn(s, dtype=torch.float64, requires_grad=True) for s in shapes]
    assert torch.autograd.gradcheck(lambda *v: HighwayLayers.apply(*v, "gate", "gate", False), values)


def test_frozen_parameters_get_no_gradient() -> None:
    network = build_network(NetworkConfig("hdnn", 4, 6, 5, 3))
    groups = network.parameter_groups()
    for name in ("hidden", "softmax"):
        for parameter in groups[name]:
            parameter.requires_grad_(False)
    network(torch.randn(9, 4)).sum().backward()
    assert all(p.grad is not None for p in groups["gates"])
    assert all(p.grad is None for name in ("hidden", "softmax") for p in groups[name])


@pytest.mark.parametrize("name", PUBLISHED)
def test_parameter_counts_are_those_of_the_paper(name: str) -> None:
    arch, width, depth = parse_name(name)
    network = build_network(NetworkConfig(arch, 40, 3927, width, depth))
    hidden = 440 * width + width + (depth - 1) * (width * width + width)
    gates = 2 * width * width if arch == "hdnn" else 0
    assert network.num_parameters() == hidden + gates + width * 3927 + 3927
    digits = 2 if PUBLISHED[name] < 1 else 1
    assert abs(network.num_parameters() / 1e6 - PUBLISHED[name]) < 0.51 * 10**-digits + 0.03
    groups = {k: sum(p.numel() for p in v) for k, v in network.parameter_groups().items()}
    assert groups == {"hidden": hidden, "gates": gates, "softmax": width * 3927 + 3927}


def test_plain_network_is_a_stack_of_sigmoids() -> None:
    network = build_network(NetworkConfig("dnn", 4, 6, 5, 3, left_context=1, right_context=2), seed=3).double()
    features = torch.randn(8, 4, dtype=torch.float64)
    rows = [[min(max(t + o, 0), 7) for o in range(-1, 3)] for t in range(8)]
    h = torch.stack([features[r].reshape(-1) for r in rows])
    assert isinstance(network, PlainDNN)
    for layer in (network.input, *network.layers):
        h = torch.sigmoid(h @ layer.weight.t() + layer.bias)
    torch.testing.assert_close(network(features), h @ network.output.weight.t() + network.output.bias)


def test_normalisation_is_part_of_the_model() -> None:
    network = build_network(NetworkConfig("hdnn", 4, 6, 5, 2))
    features = torch.randn(10, 4) * 3 + 1
    before = network((features - features.mean(0)) / features.std(0, unbiased=False))
    network.set_normalisation(features.mean(0), features.var(0, unbiased=False))
    torch.testing.assert_close(network(features), before, rtol=1e-4, atol=1e-4)


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 6), st.integers(2, 9), st.integers(0, 10**6), st.sampled_from([1.0, 30.0, 300.0]))
def test_cross_entropy_equals_torch(frames: int, classes: int, seed: int, scale: float) -> None:
    generator = torch.Generator().manual_seed(seed)
    logits = (torch.randn(frames, classes, generator=generator, dtype=torch.float64) * scale).requires_grad_()
    targets = torch.randint(classes, (frames,), generator=generator)
    other = logits.detach().clone().requires_grad_()
    ours, correct = SoftmaxCrossEntropy.apply(logits, targets)
    assert int(correct) == int((logits.argmax(1) == targets).sum())
    theirs = torch.nn.functional.cross_entropy(other, targets, reduction="sum")
    (2.5 * ours).backward()
    (2.5 * theirs).backward()
    torch.testing.assert_close(ours, theirs, rtol=1e-10, atol=1e-10)
    torch.testing.assert_close(logits.grad, other.grad, rtol=1e-9, atol=1e-9)


def test_mixed_precision_stays_near_float32() -> None:
    network = build_network(NetworkConfig("hdnn", 10, 20, 16, 6), seed=5)
    features = torch.randn(50, 10)
    exact = network(features)
    exact.logsumexp(1).sum().backward()
    gradients = {n: p.grad.clone() for n, p in network.named_parameters() if p.grad is not None}
    assert len(gradients) == len(list(network.parameters()))
    network.zero_grad(set_to_none=True)
    network.compute_dtype = torch.bfloat16
    mixed = network(features)
    assert mixed.dtype == torch.float32
    mixed.logsumexp(1).sum().backward()
    assert (mixed - exact).abs().max() < 0.05 * exact.abs().max()
    for name, parameter in network.named_parameters():
        assert parameter.grad is not None
        assert parameter.grad.dtype == torch.float32
        cosine = torch.nn.functional.cosine_similarity(parameter.grad.flatten(), gradients[name].flatten(), dim=0)
        assert cosine > 0.98, name


@pytest.mark.parametrize("name", ["hdnn-128", "rnn-h1l2", "hdnn-h0l3", ""])
def test_odd_names_are_refused(name: str) -> None:
    with pytest.raises(HdnnError):
        NetworkConfig("hdnn", 40, 10, *parse_name(name)[1:])


def test_initial_weights_are_the_same_for_the_same_seed() -> None:
    config = NetworkConfig("hdnn", 4, 6, 5, 3)
    first, second, other = (build_network(config, seed) for seed in (1, 1, 2))
    for (name, a), b, c in zip(first.named_parameters(), second.parameters(), other.parameters(), strict=True):
        assert torch.equal(a, b)
        assert "bias" in name or not torch.equal(a, c)
    assert math.isclose(float(first.state_dict()["weights"].abs().max()), 0.5, abs_tol=0.05)


def test_some_outputs_alone_are_those_of_all() -> None:
    for name in ("dnn-h8l3", "hdnn-h8l3"):
        arch, width, depth = parse_name(name)
        network = build_network(NetworkConfig(arch, 4, 9, width, depth, 1, 1), seed=3).double()
        windows = torch.randn(5, 12, dtype=torch.float64)
        pdfs = torch.tensor([0, 4, 7])
        direction = torch.randn(5, 3, dtype=torch.float64)
        gradients = []
        for logits in (network.logits(windows)[:, pdfs], network.logits(windows, pdfs)):
            gradients.append(torch.autograd.grad((logits * direction).sum(), list(network.parameters())))
        torch.testing.assert_close(network.logits(windows, pdfs), network.logits(windows)[:, pdfs])
        torch.testing.assert_close(*gradients)
