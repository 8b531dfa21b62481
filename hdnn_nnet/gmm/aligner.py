"""Alignment by a GMM, whose mixtures are computed where the search comes by, as in Kaldi's gmm-align-compiled."""

from typing import Any

import kaldi_hmm_gmm
import numpy as np

from hdnn_nnet.align.aligner import Aligner
from hdnn_nnet.align.options import AlignOptions
from hdnn_nnet.errors import HdnnError
from hdnn_nnet.gmm.model import DiagGmms, LogLikelihoods
from hdnn_nnet.graph.hmm_gmm import hmm_gmm_mixtures
from hdnn_nnet.kaldi.transitions import TransitionModel
from hdnn_nnet.kaldi.tree import ContextDependency

FEW_PDFS = 200


class GmmAligner(Aligner):
    """Aligns features.

    A beam of 10 looks at few of a graph's states in a frame, and a graph has few of the pdfs: with 760 pdfs, computing
    the mixtures on the way takes a tenth of the time of computing them all. With at most FEW_PDFS (monophones) all are
    computed at once, as matrix products.
    """

    def __init__(
        self, transition_model: TransitionModel, tree: ContextDependency, gmms: DiagGmms, options: AlignOptions
    ) -> None:
        super().__init__(transition_model, tree, options)
        self._all = LogLikelihoods(gmms) if gmms.num_pdfs <= FEW_PDFS else None
        self._mixtures = None
        if self._all is None:
            self._mixtures = hmm_gmm_mixtures(gmms.offsets, gmms.weights, gmms.means, gmms.variances)
        self._dim = gmms.dim

    def __call__(self, utterance: str, graph: Any, matrix: np.ndarray) -> np.ndarray | None:
        """Align features."""
        return self.align_features(utterance, graph, matrix)

    def align_features(self, utterance: str, graph: Any, features: np.ndarray) -> np.ndarray | None:
        """Transition-ids of the best path, int32, shape (T,); None if none reaches the end even in the wider beam.

        Args:
            graph: from GraphCompiler.
            features: float32, shape (T, D).

        Raises:
            HdnnError: features that are not finite or of another dimension.
        """
        if features.shape[1] != self._dim:
            raise HdnnError(f"features of {features.shape[1]} dimensions for a GMM of {self._dim}; check delta_opts")
        if self._all is not None:
            return self.align(utterance, graph, self._all(features))
        if not np.isfinite(features).all():
            raise HdnnError(f"utterance {utterance}: NaN or infinity in the features")
        decodable = kaldi_hmm_gmm.DecodableAmDiagGmmScaled(
            self._mixtures, self.wheel, features, self.options.acoustic_scale
        )
        return self.search(utterance, graph, decodable)
