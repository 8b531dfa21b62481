"""Adapting gates: speakers one after the other, or side by side in batched matrix products (torch.bmm); frames a second.

python3 benchmarks/adapt_batch.py [--speakers 8] [--pdfs 137] [--network hdnn-h128l10]
"""

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch.nn import functional

from hdnn_nnet.cli import script
from hdnn_nnet.errors import HdnnError
from hdnn_nnet.nn.config import NetworkConfig, parse_name
from hdnn_nnet.nn.losses import SoftmaxCrossEntropy
from hdnn_nnet.nn.networks import HighwayDNN, build_network, choose_parameters
from hdnn_nnet.options import Options as Base
from hdnn_nnet.options import option

FEAT_DIM, SPLICE, MINIBATCH, RATE = 40, 5, 256, 1e-7


@dataclass(frozen=True, kw_only=True)
class Options(Base):
    """Benchmark."""

    network: str = option("hdnn-h128l10", "a highway network")
    pdfs: int = option(137, "outputs", at_least=1)
    speakers: int = option(8, "side by side", at_least=1)
    updates: int = option(40, "minibatches of 256 frames a turn", at_least=1)
    rounds: int = option(5, "turns of each", at_least=1)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.updates < self.speakers:
            raise HdnnError(f"--updates {self.updates} must be at least --speakers {self.speakers}: one for each")
        if not self.network.startswith("hdnn"):
            raise HdnnError(f"--network {self.network} has no gates; take a highway network such as hdnn-h128l10")


def batched_logits(model: HighwayDNN, windows: torch.Tensor, gates: torch.Tensor) -> torch.Tensor:
    """(speakers, N, inputs) and (speakers, 2 H, H) to (speakers * N, pdfs)."""
    width = model.config.width
    h = torch.sigmoid(functional.linear(windows, model.input.weight, model.input.bias))
    for weight, bias in zip(model.weights, model.biases, strict=True):
        activation = torch.sigmoid(functional.linear(h, weight, bias))
        opened = torch.sigmoid(torch.bmm(h, gates.transpose(1, 2)))
        h = activation * opened[:, :, :width] + h * opened[:, :, width:]
    return functional.linear(h.reshape(-1, width), model.output.weight, model.output.bias)


def main(options: Options) -> None:
    torch.set_num_threads(1)
    arch, width, depth = parse_name(options.network)
    model = build_network(NetworkConfig(arch, FEAT_DIM, options.pdfs, width, depth, SPLICE, SPLICE))
    assert isinstance(model, HighwayDNN)
    (own,) = choose_parameters(model, ["gates"])
    count = options.speakers
    gates = own.detach().repeat(count, 1, 1).requires_grad_(True)
    windows = torch.randn(count, MINIBATCH, model.config.input_dim)
    labels = torch.randint(options.pdfs, (count, MINIBATCH))
    # Both ways give every speaker the same update.
    logits = {"one": model.logits(windows[0]), "all": batched_logits(model, windows, gates)[:MINIBATCH]}
    torch.testing.assert_close(logits["one"], logits["all"], rtol=1e-4, atol=1e-4)

    def update(parameter: torch.Tensor, z: torch.Tensor, wanted: torch.Tensor) -> None:
        SoftmaxCrossEntropy.apply(z, wanted)[0].backward()
        with torch.no_grad():
            assert parameter.grad is not None
            parameter -= RATE * parameter.grad
        parameter.grad = None

    def in_turn() -> None:
        for number in range(options.updates):
            speaker = number % count
            update(own, model.logits(windows[speaker]), labels[speaker])

    def side_by_side() -> None:
        for _ in range(options.updates // count):
            update(gates, batched_logits(model, windows, gates), labels.reshape(-1))

    ways: dict[str, Callable[[], None]] = {"one after the other": in_turn, "side by side": side_by_side}
    speed: dict[str, list[float]] = {name: [] for name in ways}
    for number in range(options.rounds + 1):  # the first round warms up
        for name, way in ways.items():
            started = time.perf_counter()
            way()
            if number:
                speed[name].append(options.updates // count * count * MINIBATCH / (time.perf_counter() - started))
    ratios = [b / a for a, b in zip(*speed.values(), strict=True)]
    for name, values in speed.items():
        print(f"{name}: {statistics.median(values):.0f} frames/s")
    print(
        f"ratio of {count} speakers side by side: {statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})"
    )


if __name__ == "__main__":
    script(Options, main, "benchmarks/adapt_batch.py", __doc__ or "")
