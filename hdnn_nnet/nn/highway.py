"""The highway layers as one differentiable function with a hand-written backward pass.

A layer reads h and gives act(W h + b) * T(h) + h * C(h), with T(h) = sigmoid(W_T h) and C(h) = sigmoid(W_C h)
(Lu, Guo, Renals 2017, equations 3-5). The three products share their input, so the weights are stacked and multiplied once;
the element-wise work is done in place, in as few passes over memory as the formula allows.
"""

from typing import Any

import torch
from torch import Tensor

_sigmoid_backward = torch.ops.aten.sigmoid_backward
_threshold_backward = torch.ops.aten.threshold_backward


class HighwayLayers(torch.autograd.Function):
    """`depth` highway layers after each other.

    `apply(h, weights, biases, gates, transform, carry, relu)` with

    - h: (N, H) input, float32, float64 or bfloat16; every product is computed in this type
    - weights: (depth, H, H); biases: (depth, H)
    - gates: (G, K * H, H), K = 1 or 2 gates stacked in the order T, C; G = 1 (tied over layers) or depth (untied)
    - transform, carry: "gate", "one" or "zero" (carry also "coupled": 1 - T)
    - relu: the hidden non-linearity is ReLU instead of sigmoid

    gives (N, H).
    """

    @staticmethod
    def forward(
        ctx: Any,
        h: Tensor,
        weights: Tensor,
        biases: Tensor,
        gates: Tensor,
        transform: str,
        carry: str,
        relu: bool,
    ) -> Tensor:
        depth, width, _ = weights.shape
        frames, columns = h.shape[0], width + gates.shape[1]
        stacked = h.new_empty(depth, columns, width)
        stacked[:, :width] = weights
        stacked[:, width:] = gates  # tied gates (G = 1) are repeated for every layer
        bias = biases.to(h.dtype)
        hidden = h.new_empty(depth + 1, frames, width)
        hidden[0] = h
        outputs = h.new_empty(depth, frames, columns)
        for layer in range(depth):
            before, after, output = hidden[layer], hidden[layer + 1], outputs[layer]
            torch.mm(before, stacked[layer].t(), out=output)
            output[:, :width] += bias[layer]
            if relu:
                output[:, :width].relu_()
                output[:, width:].sigmoid_()
            else:
                output.sigmoid_()
            activation, t, c = _views(output, width, transform, carry)
            if t is None:
                after.copy_(activation)
            else:
                torch.mul(activation, t, out=after)
            if c is not None:
                after.addcmul_(before, c)
            elif carry == "coupled" and t is not None:
                after.add_(before).addcmul_(before, t, value=-1)
        ctx.save_for_backward(hidden, outputs, stacked)
        ctx.flags = (transform, carry, relu, gates.shape[0] == 1, weights.dtype)
        return hidden[depth]

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        hidden, outputs, stacked = ctx.saved_tensors
        transform, carry, relu, tied, weight_type = ctx.flags
        depth, columns, width = stacked.shape
        frames = hidden.shape[1]
        g = gradients[0].contiguous()
        d_outputs = torch.empty_like(outputs)
        for layer in reversed(range(depth)):
            before, output, d_output = hidden[layer], outputs[layer], d_outputs[layer]
            activation, t, c = _views(output, width, transform, carry)
            d_activation, d_t, d_c = _views(d_output, width, transform, carry)
            # dL/d(activation), dL/dT, dL/dC side by side, then one pass through the non-linearities
            if t is None:
                d_activation.copy_(g)
            else:
                torch.mul(g, t, out=d_activation)
                assert d_t is not None
                if carry == "coupled":
                    torch.sub(activation, before, out=d_t)
                    d_t.mul_(g)
                else:
                    torch.mul(g, activation, out=d_t)
            if c is not None:
                assert d_c is not None
                torch.mul(g, before, out=d_c)
            if relu:
                d_activation.copy_(_threshold_backward(d_activation, activation, 0))
                gate_columns = d_output[:, width:]
                gate_columns.copy_(_sigmoid_backward(gate_columns, output[:, width:]))
            else:
                torch.ops.aten.sigmoid_backward.grad_input(d_output, output, grad_input=d_output)
            if c is not None:
                direct = g * c
            elif carry == "coupled" and t is not None:
                direct = g - g * t
            else:
                direct = None
            g = d_output @ stacked[layer] if direct is None else direct.addmm_(d_output, stacked[layer])
        needs = ctx.needs_input_grad
        d_weights = torch.bmm(d_outputs[:, :, :width].transpose(1, 2), hidden[:depth]) if needs[1] else None
        d_biases = d_outputs[:, :, :width].sum(1) if needs[2] else None
        d_gates = None
        if needs[3]:
            if tied:  # the sum over layers is one long product; a view of the columns, as a copy costs as much again
                d_gate_outputs = d_outputs.view(depth * frames, columns)[:, width:]
                d_gates = torch.mm(d_gate_outputs.t(), hidden[:depth].view(depth * frames, width))[None]
            else:
                d_gates = torch.bmm(d_outputs[:, :, width:].transpose(1, 2), hidden[:depth])
        results = [g if needs[0] else None]
        results += [None if d is None else d.to(weight_type) for d in (d_weights, d_biases, d_gates)]
        return (*results, None, None, None)


def _views(output: Tensor, width: int, transform: str, carry: str) -> tuple[Tensor, Tensor | None, Tensor | None]:
    """The columns of the activation, T and C; None where there is no such gate."""
    activation = output[:, :width]
    t = output[:, width : 2 * width] if transform == "gate" else None
    c = output[:, -width:] if carry == "gate" else None
    return activation, t, c
