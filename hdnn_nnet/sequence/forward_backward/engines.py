"""The engines by name.

`k2` calls `Fsa.get_arc_post`; `torch` does the same in plain tensors, also where no k2 fits the torch at hand.
"""

from collections.abc import Callable

from torch import Tensor

from hdnn_nnet.errors import HdnnError
from hdnn_nnet.sequence.batch import ArcBatch
from hdnn_nnet.sequence.forward_backward import torch as torch_engine
from hdnn_nnet.sequence.forward_backward.result import Posteriors

#: (batch, (arcs,) float64 log scores, (arcs,) float64 accuracies or None) -> Posteriors
Engine = Callable[[ArcBatch, Tensor, Tensor | None], Posteriors]


def get_engine(name: str) -> Engine:
    """`torch`, `k2`, or `auto`: k2 where it can be imported.

    Raises:
        HdnnError: unknown name, or k2 is asked for and missing.
    """
    if name == "torch":
        return torch_engine.forward_backward
    if name not in ("k2", "auto"):
        raise HdnnError(f"no lattice engine {name!r}; there are torch, k2 and auto")
    try:
        from hdnn_nnet.sequence.forward_backward import k2 as k2_engine
    except ImportError as error:
        if name == "auto":
            return torch_engine.forward_backward
        raise HdnnError(f"k2 cannot be imported ({error}); take the engine torch") from error
    return k2_engine.forward_backward
