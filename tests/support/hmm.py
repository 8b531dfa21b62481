"""A transition model of phones with one state each."""

from collections.abc import Callable

import numpy as np

from hdnn_nnet.kaldi.topology import HmmState, HmmTopology
from hdnn_nnet.kaldi.transitions import TransitionModel


def one_state_model(
    phones: int, pdf_of: Callable[[int], int] = lambda phone: phone - 1, stay: float = 0.5
) -> TransitionModel:
    """Phones 1 to `phones`; `pdf_of` gives a phone's pdf, `stay` is the probability of the self-loop."""
    states = [HmmState(0, 0, ((0, stay), (1, 1 - stay))), HmmState(-1, -1, ())]
    topology = HmmTopology([states], dict.fromkeys(range(1, phones + 1), 0))
    return TransitionModel(topology, np.array([(p, 0, pdf_of(p), pdf_of(p)) for p in range(1, phones + 1)]))
