"""Our trees and transition models as objects of the wheel kaldi-hmm-gmm, which cannot read Kaldi's files itself."""

import itertools
from typing import Any

import kaldi_hmm_gmm
import kaldifst  # noqa: F401  # kaldi_hmm_gmm returns its objects
import numpy as np

from hdnn_nnet.errors import HdnnError
from hdnn_nnet.kaldi.basic_io import KaldiWriter
from hdnn_nnet.kaldi.transitions import TransitionModel
from hdnn_nnet.kaldi.tree import ContextDependency


def hmm_gmm_tree(tree: ContextDependency) -> Any:
    """A kaldi_hmm_gmm.ContextDependency: its pickled state is the bytes of Kaldi's binary form."""
    state = np.frombuffer(tree.to_bytes(binary=True)[2:], dtype=np.int8).tolist()
    wheel = kaldi_hmm_gmm.ContextDependency.__new__(kaldi_hmm_gmm.ContextDependency)
    wheel.__setstate__((state,))
    return wheel


def hmm_gmm_transitions(transition_model: TransitionModel, tree: ContextDependency) -> Any:
    """A kaldi_hmm_gmm.TransitionModel with our probabilities.

    Raises:
        HdnnError: model and tree do not belong together.
    """
    writer = KaldiWriter(binary=False)
    transition_model.topology.write(writer)
    topology = kaldi_hmm_gmm.HmmTopology()
    topology.read(writer.getvalue().decode())
    wheel = kaldi_hmm_gmm.TransitionModel(hmm_gmm_tree(tree), topology)
    # Built from tree and topology alone, it must number transition-ids as the model does.
    pdfs = list(wheel.transition_id_to_pdf_array())
    if wheel.num_transition_ids != transition_model.num_transition_ids or (
        pdfs[1 : wheel.num_transition_ids + 1] != transition_model.tid_to_pdf[1:].tolist()
    ):
        raise HdnnError("transition model and tree do not belong together; take both from the same directory")
    state = list(wheel.__getstate__())
    state[6] = transition_model.log_probs.tolist()
    state[7] = transition_model.non_self_loop_log_probs.tolist()
    copy = kaldi_hmm_gmm.TransitionModel.__new__(kaldi_hmm_gmm.TransitionModel)
    copy.__setstate__(tuple(state))
    return copy


def hmm_gmm_mixtures(offsets: np.ndarray, weights: np.ndarray, means: np.ndarray, variances: np.ndarray) -> Any:
    """Mixtures with diagonal covariances as a kaldi_hmm_gmm.AmDiagGmm.

    Args:
        offsets: shape (num_pdfs + 1,): the Gaussians of pdf p are rows offsets[p] to offsets[p + 1].
        weights, means, variances: shapes (G,), (G, D), (G, D).
    """
    wheel = kaldi_hmm_gmm.AmDiagGmm()
    inverse, centres, shares = (np.asarray(a, dtype=np.float32) for a in (1.0 / variances, means, weights))
    for begin, end in itertools.pairwise(offsets.tolist()):
        one = kaldi_hmm_gmm.DiagGmm(end - begin, means.shape[1])
        one.set_weights(shares[begin:end])
        one.set_invvars_and_means(inverse[begin:end], centres[begin:end])
        one.compute_gconsts()
        wheel.add_pdf(one)
    return wheel
