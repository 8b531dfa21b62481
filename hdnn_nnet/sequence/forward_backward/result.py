"""What a forward-backward pass returns."""

from dataclasses import dataclass

from torch import Tensor


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
