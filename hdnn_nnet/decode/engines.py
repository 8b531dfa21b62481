"""The searches that there are: two engines with one interface.

`k2` is the faster one on batches; `numpy` needs nothing but numpy, keeps exact limits of active states, and is the other's
check in tests.
"""

import logging
from typing import Protocol

import numpy as np

from hdnn_nnet.decode.options import SearchOptions
from hdnn_nnet.decode.pdf_graph import PdfGraph
from hdnn_nnet.decode.word_graph import FrameLattice
from hdnn_nnet.errors import HdnnError

log = logging.getLogger(__name__)


class Search(Protocol):
    """A beam search on a decoding graph."""

    def search(
        self, loglikes: list[np.ndarray], acoustic_scale: float, min_active: int, max_active: int
    ) -> tuple[FrameLattice, np.ndarray]: ...


def make_search(options: SearchOptions, graph: PdfGraph) -> Search:
    """The search that `options.search` names.

    Raises:
        HdnnError: k2 is asked for and cannot be imported.
    """
    if options.search != "numpy":
        from hdnn_nnet.decode.k2_search import K2Search

        try:
            return K2Search(graph, options.beam, options.lattice_beam)
        except ImportError as error:
            if options.search == "k2":
                remedy = "take --search numpy (steps: --decoder numpy), or see docs/install.md"
                raise HdnnError(f"k2 cannot be imported ({error}); {remedy}") from error
            log.info("searching in numpy: k2 cannot be imported (%s)", error)
    from hdnn_nnet.decode.numpy_search import NumpySearch

    return NumpySearch(graph, options.beam, options.lattice_beam)
