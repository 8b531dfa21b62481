"""Stochastic gradient descent as Kaldi's nnet1 does it."""

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor, nn

from hdnn_nnet.nn.product_copy import copy_of, gradient_of, keep_copy, updated

#: values of a parameter that are updated together; with what belongs to them about a megabyte
_PIECE = 1 << 16
#: values of a parameter that is updated as a whole, where calls cost more than passes over memory
_SMALL = 1 << 19


class Sgd:
    """v <- momentum * v + gradient; w <- w - rate * (1 - momentum) * v.

    Gradients are sums over the frames of a minibatch, so the rate is per frame as in Kaldi (0.008 for 256 frames is about 2 for
    averaged gradients). The factor (1 - momentum) makes a rate mean the same with and without momentum; nnet1 itself has no
    such factor and leaves that to its user (`scale_rate=False`).

    Args:
        dtype: of the matrix products where that is not the parameters': a copy of each is kept in it (on CPUs; there must be
            one backward pass a step, as gradients of several would be added in this type).
        rates: a factor on the rate of each parameter; default: 1 (nnet1's LearnRateCoef and BiasLearnRateCoef).
    """

    def __init__(
        self,
        parameters: list[nn.Parameter],
        scale_rate: bool = True,
        rates: Sequence[float] = (),
        dtype: torch.dtype | None = None,
    ) -> None:
        self.parameters = parameters
        self.scale_rate = scale_rate
        self.rates = list(rates) or [1.0] * len(parameters)
        self.velocity: list[Tensor] = []
        if dtype is not None:
            for parameter in parameters:
                if parameter.device.type == "cpu" and parameter.dtype != dtype:
                    keep_copy(parameter, dtype)

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
        gradients = [gradient_of(parameter) for parameter in self.parameters]
        used = [i for i, gradient in enumerate(gradients) if gradient is not None]
        if momentum != 0.0 and used and not self.velocity:
            self.velocity = [torch.zeros_like(p) for p in self.parameters]
        rate = learn_rate * (1.0 - momentum) if self.scale_rate else learn_rate
        for factor in sorted({self.rates[i] for i in used}):
            chosen = [i for i in used if self.rates[i] == factor]
            values = [self.parameters[i].detach() for i in chosen]
            velocity = [self.velocity[i] for i in chosen] if momentum != 0.0 else []
            copies = [copy.leaf.detach() for i in chosen if (copy := copy_of(self.parameters[i])) is not None]
            given = [g for i in chosen if (g := gradients[i]) is not None]
            for part in _pieces(values, given, velocity, copies):
                _update(part, momentum, -rate * factor)
        for i in used:
            updated(self.parameters[i])


def _pieces(*columns: list[Tensor]) -> Iterator[list[list[Tensor]]]:
    """Lists of tensors: as they are; on a CPU large tensors by pieces that stay in its cache while several passes are made.

    An empty list stays so.
    """
    on_cpu = columns[0][0].device.type == "cpu"
    large = [i for i, value in enumerate(columns[0]) if on_cpu and value.numel() > _SMALL]
    if small := [i for i in range(len(columns[0])) if i not in large]:
        yield [[column[i] for i in small] if column else [] for column in columns]
    for i in large:
        pieces = [column[i].view(-1).split(_PIECE) if column else () for column in columns]
        for k in range(len(pieces[0])):
            yield [[piece[k]] if piece else [] for piece in pieces]


def _update(part: list[list[Tensor]], momentum: float, step: float) -> None:
    """Of values, by gradients; then of their copies. Without momentum there is no velocity."""
    values, gradients, velocity, copies = part
    if velocity:
        torch._foreach_mul_(velocity, momentum)
        torch._foreach_add_(velocity, gradients)
    torch._foreach_add_(values, velocity or gradients, alpha=step)
    for copy, value in zip(copies, values, strict=bool(copies)):
        copy.copy_(value)
