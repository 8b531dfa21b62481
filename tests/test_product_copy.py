"""Copies of parameters in the products' type: the same training, bit for bit, as by conversions in every step."""

import pytest
import torch

from hdnn_nnet.nn.config import NetworkConfig, parse_name
from hdnn_nnet.nn.networks import AcousticModel, build_network
from hdnn_nnet.nn.product_copy import copy_of, gather_gradient
from hdnn_nnet.train import sgd as sgd_module
from hdnn_nnet.train.criteria import CrossEntropy
from hdnn_nnet.train.sgd import Sgd

PDFS = 37


def network(name: str) -> AcousticModel:
    model = build_network(NetworkConfig(*_parts(name)), seed=3)
    model.compute_dtype = torch.bfloat16
    return model


def _parts(name: str) -> tuple:
    arch, width, depth = parse_name(name)
    return arch, 8, PDFS, width, depth, 2, 2


def backward(model: AcousticModel, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    windows = torch.randn(20, 40, generator=generator)
    labels = torch.randint(PDFS, (20,), generator=generator)
    CrossEntropy()(model.logits(windows), (labels,))[0].backward()


def same(one: AcousticModel, other: AcousticModel) -> bool:
    return all(torch.equal(a, b) for a, b in zip(one.parameters(), other.parameters(), strict=True))


@pytest.mark.parametrize("momentum", [0.0, 0.9])
@pytest.mark.parametrize("name", ["hdnn-h48l4", "dnn-h48l3"])
def test_steps_give_the_same_bits(monkeypatch: pytest.MonkeyPatch, name: str, momentum: float) -> None:
    """Beside conversions in every step and one pass over a whole tensor, as torch's own operations make it."""
    monkeypatch.setattr(sgd_module, "_SMALL", 1000)
    monkeypatch.setattr(sgd_module, "_PIECE", 512)
    model, reference = network(name), network(name)
    sgd = Sgd(list(model.parameters()), dtype=model.compute_dtype)
    velocity = [torch.zeros_like(p) for p in reference.parameters()]
    before = [p.detach().clone() for p in reference.parameters()]
    for step in range(4):
        backward(model, step)
        backward(reference, step)
        sgd.step(0.01, momentum)
        with torch.no_grad():
            for v, p in zip(velocity, reference.parameters(), strict=True):
                assert p.grad is not None
                v.mul_(momentum).add_(p.grad)
                p.add_(v, alpha=-0.01 * (1 - momentum))
                p.grad = None
        assert same(model, reference)
        assert all(p.grad is None for p in model.parameters())
    assert not any(torch.equal(a, b) for a, b in zip(before, model.parameters(), strict=True))


def test_a_parameter_changed_by_another_is_copied_again() -> None:
    """As after an epoch that is taken back."""
    model = network("hdnn-h48l4")
    Sgd(list(model.parameters()), dtype=model.compute_dtype)
    other = build_network(NetworkConfig(*_parts("hdnn-h48l4")), seed=8)
    other.compute_dtype = torch.bfloat16
    windows = torch.randn(5, 40)
    first = model.logits(windows)
    model.load_state_dict(other.state_dict())
    assert torch.equal(model.logits(windows), other.logits(windows))
    assert not torch.equal(first, other.logits(windows))


def test_gradients_for_other_processes_are_those_of_the_parameters() -> None:
    model, reference = network("hdnn-h48l4"), network("hdnn-h48l4")
    Sgd(list(model.parameters()), dtype=model.compute_dtype)
    for _ in range(2):  # the second is added in float32, as the first has been gathered
        backward(model, 1)
        backward(reference, 1)
        for parameter, wanted in zip(model.parameters(), reference.parameters(), strict=True):
            gathered = gather_gradient(parameter)
            assert gathered is not None
            assert wanted.grad is not None
            assert torch.equal(gathered, wanted.grad)
            copy = copy_of(parameter)
            assert copy is not None
            assert copy.leaf.grad is None


def test_no_copy_where_products_are_in_the_parameters_own_type() -> None:
    model = build_network(NetworkConfig(*_parts("dnn-h48l3")))
    Sgd(list(model.parameters()), dtype=torch.float32)
    assert all(copy_of(parameter) is None for parameter in model.parameters())
