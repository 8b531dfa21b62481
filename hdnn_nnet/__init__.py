"""Small-footprint highway deep neural networks in Kaldi recipes (Lu, Guo, Renals, ICASSP 2017).

What another project would take is here by name and imported when it is used: docs/python.md.
"""

import importlib
from typing import Any

from hdnn_nnet.device.mkl import use_fast_kernels

use_fast_kernels()  # before anything multiplies

__version__ = "0.1.0"

#: name -> module in which it is
_FACE = {
    "HdnnError": "errors",
    "call": "cli",
    "load_model": "nn.model_dir",
    "save_model": "nn.model_dir",
    "loglikes": "nn.forward",
    "read_matrices": "kaldi.tables",
    "read_int_vectors": "kaldi.tables",
    "MatrixWriter": "kaldi.matrix_writer",
    "read_alignments": "kaldi.alignments",
    "write_alignments": "kaldi.alignments",
    "read_posteriors": "kaldi.posteriors",
    "PosteriorWriter": "kaldi.posteriors",
    "SparsePosteriors": "kaldi.posteriors",
    "TransitionModel": "kaldi.transitions",
    "read_lattice": "lattice.table",
    "read_lattices": "lattice.table",
    "LatticeWriter": "lattice.table",
    "lattice_arcs": "lattice.arcs",
    "make_batch": "sequence.batch",
    "SequenceOptions": "sequence.options",
    "sequence_loss": "sequence.objectives",
    "open_soft_labels": "train.soft_sources",
    "load_recogniser": "runtime.load",
    "RecogniserOptions": "runtime.options",
}
__all__ = sorted([*_FACE, "__version__"])


def __getattr__(name: str) -> Any:
    if name not in _FACE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(f"{__name__}.{_FACE[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return [*globals(), *_FACE]
