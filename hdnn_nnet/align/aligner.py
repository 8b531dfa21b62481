"""Forced alignment: training graphs of transcripts and the best path through them.

Acoustic scores come as a matrix of log-likelihoods by pdf, so a GMM's and a network's are aligned by the same code.
"""

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import kaldi_hmm_gmm
import kaldifst
import numpy as np

from hdnn_nnet.align.options import AlignOptions
from hdnn_nnet.errors import HdnnError
from hdnn_nnet.graph.hmm_gmm import hmm_gmm_transitions, hmm_gmm_tree
from hdnn_nnet.kaldi.fst import read_fst
from hdnn_nnet.kaldi.symbols import SymbolTable, read_integers
from hdnn_nnet.kaldi.transitions import TransitionModel
from hdnn_nnet.kaldi.tree import ContextDependency
from hdnn_nnet.text import one_line

log = logging.getLogger(__name__)


class GraphCompiler:
    """Compiles training graphs (Kaldi's compile-train-graphs), without transition probabilities."""

    def __init__(self, transition_model: TransitionModel, tree: ContextDependency, lang: Path) -> None:
        #: word numbers that have a pronunciation
        self.pronounced = frozenset(read_fst(lang / "L.fst").arcs["olabel"].tolist())
        self._table = lang / "words.txt"
        lexicon = kaldifst.StdVectorFst.read(str(lang / "L.fst"))
        if lexicon is None:
            raise HdnnError(f"cannot read {lang}/L.fst; regenerate the lang directory")
        disambig = lang / "phones" / "disambig.int"
        options = kaldi_hmm_gmm.TrainingGraphCompilerOptions(transition_scale=0.0, self_loop_scale=0.0, reorder=True)
        self._objects = (
            hmm_gmm_transitions(transition_model, tree),
            hmm_gmm_tree(tree),
        )  # the compiler keeps references
        self._compiler = kaldi_hmm_gmm.TrainingGraphCompiler(
            *self._objects, lexicon, read_integers(disambig) if disambig.exists() else [], options
        )

    def compile(self, words: Sequence[int], utterance: str = "") -> Any:
        """The graph of a transcript, a kaldifst.StdVectorFst; None, with a warning, if the lexicon cannot produce it."""
        silent = [number for number in words if number not in self.pronounced]
        if silent:
            symbols = SymbolTable.read(self._table).symbols if self._table.exists() else {}
            name = symbols.get(silent[0], f"number {silent[0]}")
            log.warning("utterance %s: word %s has no pronunciation in the lexicon: not aligned", utterance, name)
            return None
        try:
            graph = self._compiler.compile_graph_from_text(list(words))
        except RuntimeError as error:
            log.warning("utterance %s: no training graph (%s): not aligned", utterance, one_line(error))
            return None
        return graph if graph.start >= 0 else None


def equal_alignment(graph: Any, frames: int, seed: int) -> np.ndarray | None:
    """A path through the graph with frames spread evenly over its states; None if there are too few frames."""
    found, path = kaldifst.equal_align(graph, frames, seed, 10)
    if not found:
        return None
    labels = kaldifst.get_linear_symbol_sequence(path)[1]
    return np.array([label for label in labels if label], dtype=np.int32)


class Aligner:
    """Aligns utterances by the transition probabilities of one model."""

    def __init__(self, transition_model: TransitionModel, tree: ContextDependency, options: AlignOptions) -> None:
        self.options = options
        self._pdfs = transition_model.tid_to_pdf[1:]
        self.wheel = hmm_gmm_transitions(transition_model, tree)
        self._config = kaldi_hmm_gmm.AlignConfig(beam=options.beam, retry_beam=options.retry_beam, careful=False)
        self.retried = 0

    def __call__(self, utterance: str, graph: Any, matrix: np.ndarray) -> np.ndarray | None:
        """Align by what this kind of aligner takes: log-likelihoods here, features where a model computes them."""
        return self.align(utterance, graph, matrix)

    def align(self, utterance: str, graph: Any, log_likelihoods: np.ndarray) -> np.ndarray | None:
        """Transition-ids of the best path, int32, shape (T,); None if none reaches the end even in the wider beam.

        Args:
            graph: from GraphCompiler.
            log_likelihoods: float32, shape (T, num_pdfs).
        """
        if not np.isfinite(log_likelihoods).all():
            raise HdnnError(f"utterance {utterance}: NaN or infinity in the log-likelihoods")
        # DecodableCtc looks up column label - 1, so with a column for each transition-id it serves any model.
        scaled = np.ascontiguousarray(log_likelihoods, dtype=np.float32) * np.float32(self.options.acoustic_scale)
        return self.search(utterance, graph, kaldi_hmm_gmm.DecodableCtc(np.take(scaled, self._pdfs, axis=1)))

    def search(self, utterance: str, graph: Any, decodable: Any) -> np.ndarray | None:
        """Like `align`, with a kaldi_hmm_gmm decodable that gives scaled log-likelihoods by transition-id."""
        weighted = kaldifst.StdVectorFst(graph)  # copied when it is written to
        options = self.options
        # Works in place; what it returns is None.
        kaldi_hmm_gmm.add_transition_probs(
            trans_model=self.wheel,
            disambig_syms=[],
            transition_scale=options.transition_scale,
            self_loop_scale=options.self_loop_scale,
            fst=weighted,
        )
        done, _, retried, _, _, alignment, _ = kaldi_hmm_gmm.align_utterance_wrapper(
            self._config, utterance, options.acoustic_scale, weighted, decodable, 0, 0, 0, 0.0, 0
        )
        self.retried += retried
        return np.array(alignment, dtype=np.int32) if done else None
