"""Copies of parameters in the type of the matrix products, kept from one training step to the next.

Without one, every step converts each float32 parameter to bfloat16 and each gradient back. A copy takes the parameter's place in
the network, is a leaf of its own and gets the gradient, in its own type; whoever updates the parameter writes the copy as well,
while the values are at hand (`Sgd`).
"""

import torch
from torch import Tensor, nn

_NAME = "_product_copy"


class ProductCopy:
    """The copy of a parameter.

    Attributes:
        leaf: the values in the other type, rounded; its `grad` stands for the parameter's.
    """

    def __init__(self, parameter: nn.Parameter, dtype: torch.dtype) -> None:
        self.leaf = parameter.detach().to(dtype).requires_grad_()
        self._version = parameter._version

    def is_current(self, parameter: Tensor) -> None:
        """The values have just been taken from the parameter."""
        self._version = parameter._version

    def of(self, parameter: Tensor) -> Tensor:
        """The leaf, with the parameter's values whoever changed them (a checkpoint, an epoch taken back)."""
        if self._version != parameter._version:
            with torch.no_grad():
                self.leaf.copy_(parameter)
            self.is_current(parameter)
        return self.leaf


def keep_copy(parameter: nn.Parameter, dtype: torch.dtype) -> None:
    """Give a parameter a copy, from now on."""
    setattr(parameter, _NAME, ProductCopy(parameter, dtype))


def copy_of(parameter: Tensor) -> ProductCopy | None:
    """The copy of a parameter that has one."""
    return getattr(parameter, _NAME, None)


def stand_in(parameter: Tensor, dtype: torch.dtype) -> Tensor:
    """The copy of a parameter in `dtype`, if it has one, else the parameter itself."""
    copy = copy_of(parameter)
    return parameter if copy is None or copy.leaf.dtype != dtype else copy.of(parameter)


def in_type(parameter: Tensor, dtype: torch.dtype) -> Tensor:
    """A parameter for a product in `dtype`: itself, its copy, or a conversion that hands the gradient through."""
    return stand_in(parameter, dtype).to(dtype)


def gradient_of(parameter: Tensor) -> Tensor | None:
    """The gradient of a parameter, or that of its copy, in the copy's type; None if there is none."""
    copy = copy_of(parameter)
    if copy is not None and copy.leaf.grad is not None and parameter.grad is None:
        return copy.leaf.grad
    return gather_gradient(parameter)


def gather_gradient(parameter: Tensor) -> Tensor | None:
    """The same in the parameter's own type, left at the parameter."""
    copy = copy_of(parameter)
    if copy is not None and copy.leaf.grad is not None:
        gradient = copy.leaf.grad.to(parameter.dtype)
        parameter.grad = gradient if parameter.grad is None else parameter.grad + gradient
        copy.leaf.grad = None
    return parameter.grad


def updated(parameter: Tensor) -> None:
    """A step has been made: no gradient is left, and the copy, if there is one, has the parameter's values."""
    parameter.grad = None
    if (copy := copy_of(parameter)) is not None:
        copy.leaf.grad = None
        copy.is_current(parameter)
