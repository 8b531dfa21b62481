"""Best paths of lattices as frame labels, weighted by the lattice's confidence in them."""

import numpy as np

from hdnn_nnet.errors import HdnnError
from hdnn_nnet.kaldi.posteriors import SparsePosteriors
from hdnn_nnet.kaldi.transitions import TransitionModel
from hdnn_nnet.lattice.best_path import best_paths, path_alignment
from hdnn_nnet.lattice.types import AnyLattice
from hdnn_nnet.sequence.confidence import confidence


def frame_labels(
    lattice: AnyLattice, model: TransitionModel, lmwt: float, kind: str, where: str, engine: str = "auto"
) -> tuple[SparsePosteriors, int]:
    """Labels of the best path at LM weight `lmwt`, one pdf a frame, and its number of words.

    The weight of a frame is the posterior that it belongs to the path's pdf or phone; with `word` it is the confidence of the
    word that the frame lies in, and of the phone in frames outside words.

    Raises:
        HdnnError: a lattice without a path, or a transition-id that the model does not have.
    """
    if kind == "none":
        path = best_paths(lattice, np.array([1 / lmwt]), np.zeros(1), where)[0]
        alignment, words = path_alignment(lattice, path), len(path.words)
        weights = np.ones(len(alignment))
    else:
        found = confidence(lattice, model, 1 / lmwt, 1.0, where, engine)
        alignment, words = found.alignment, len(found.words)
        weights = (found.pdf if kind == "pdf" else found.phone).copy()
        if kind == "word":
            for (begin, end), value in zip(found.word_frames, found.word, strict=True):
                weights[begin:end] = value
    if len(alignment) and not 1 <= alignment.min() <= alignment.max() <= model.num_transition_ids:
        raise HdnnError(
            f"{where}: transition-ids up to {alignment.max()}, the model has {model.num_transition_ids}; "
            "take the final.mdl that the lattice was made with"
        )
    pdfs = model.tid_to_pdf[alignment].astype(np.int32)
    offsets = np.arange(len(pdfs) + 1, dtype=np.int64)
    return SparsePosteriors(offsets, pdfs, np.clip(weights, 0, 1).astype(np.float32)), words
