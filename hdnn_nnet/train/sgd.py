"""Stochastic gradient descent as Kaldi's nnet1 does it."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn


class Sgd:
    """v <- momentum * v + gradient; w <- w - rate * (1 - momentum) * v.

    Gradients are sums over the frames of a minibatch, so the rate is per frame as in Kaldi (0.008 for 256 frames is about 2 for
    averaged gradients). The factor (1 - momentum) makes a rate mean the same with and without momentum; nnet1 itself has no
    such factor and leaves that to its user (`scale_rate=False`).

    Args:
        rates: a factor on the rate of each parameter; default: 1 (nnet1's LearnRateCoef and BiasLearnRateCoef).
    """

    def __init__(self, parameters: list[nn.Parameter], scale_rate: bool = True, rates: Sequence[float] = ()) -> None:
        self.parameters = parameters
        self.scale_rate = scale_rate
        self.rates = list(rates) or [1.0] * len(parameters)
        self.velocity: list[Tensor] = []

    def reset(self) -> None:
        """Forget the velocity (done at the start of an epoch, as each epoch of nnet1 is a process of its own)."""
        self.velocity = []

    def state(self) -> dict[str, Tensor]:
        """What a checkpoint keeps."""
        return {f"{i:04d}": v for i, v in enumerate(self.velocity)}

    def load(self, state: dict[str, Tensor], device: torch.device) -> None:
        """Go on from a checkpoint."""
        self.velocity = [v.to(device) for _, v in sorted(state.items())]

    @torch.no_grad()
    def step(self, learn_rate: float, momentum: float) -> None:
        """Update the parameters that have a gradient and drop the gradients."""
        parameters: list[Tensor] = [p for p in self.parameters if p.grad is not None]
        gradients = [p.grad for p in parameters if p.grad is not None]
        if not parameters:
            return
        if momentum == 0.0:
            self._move(parameters, gradients, learn_rate)
        else:
            if not self.velocity:
                self.velocity = [torch.zeros_like(p) for p in self.parameters]
            velocity = [v for v, p in zip(self.velocity, self.parameters, strict=True) if p.grad is not None]
            torch._foreach_mul_(velocity, momentum)
            torch._foreach_add_(velocity, gradients)
            rate = learn_rate * (1.0 - momentum) if self.scale_rate else learn_rate
            self._move(parameters, velocity, rate)
        for parameter in parameters:
            parameter.grad = None

    def _move(self, parameters: list[Tensor], directions: list[Tensor], rate: float) -> None:
        """Against the directions, those of one factor at once."""
        factors = [r for r, p in zip(self.rates, self.parameters, strict=True) if p.grad is not None]
        for factor in sorted(set(factors)):
            chosen = [i for i, own in enumerate(factors) if own == factor]
            steps = [directions[i] for i in chosen]
            torch._foreach_add_([parameters[i] for i in chosen], steps, alpha=-rate * factor)
