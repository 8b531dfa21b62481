"""Forward-backward over a batch of lattices: one interface, two engines.

`k2` calls `Fsa.get_arc_post`; `torch` does the same in plain tensors, also where no k2 fits the torch at hand.
"""

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor

from hdnn_nnet.errors import HdnnError
from hdnn_nnet.sequence.batch import ArcBatch


@dataclass
class Posteriors:
    """Result of a pass; all float64.

    Attributes:
        log_total: (utterances,) log of the summed scores of all paths.
        occupancy: (arcs,) posterior probability of every arc.
        expected: (utterances,) mean accuracy of the paths; None when no accuracies were given.
        gain: (arcs,) occupancy * (mean accuracy of the paths through the arc - mean of all paths), the derivative of
            `expected` by the arc's score; None when no accuracies were given.
    """

    log_total: Tensor
    occupancy: Tensor
    expected: Tensor | None = None
    gain: Tensor | None = None


#: (batch, (arcs,) float64 log scores, (arcs,) float64 accuracies or None) -> Posteriors
Engine = Callable[[ArcBatch, Tensor, Tensor | None], Posteriors]


def get_engine(name: str) -> Engine:
    """`torch`, `k2`, or `auto`: k2 where it can be imported.

    Raises:
        HdnnError: unknown name, or k2 is asked for and missing.
    """
    from hdnn_nnet.sequence.torch_engine import forward_backward

    if name == "torch":
        return forward_backward
    if name not in ("k2", "auto"):
        raise HdnnError(f"no lattice engine {name!r}; there are torch, k2 and auto")
    try:
        from hdnn_nnet.sequence import k2_engine
    except ImportError as error:
        if name == "auto":
            return forward_backward
        raise HdnnError(f"k2 cannot be imported ({error}); take the engine torch") from error
    return k2_engine.forward_backward
