"""Decoding graphs HCLG from a lang directory, a tree and a transition model, in the steps of Kaldi's utils/mkgraph.sh.

Not taken over: the pushing of weights in LG (it moves costs along paths and changes no path's cost).
"""

import logging
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import kaldi_hmm_gmm
import kaldifst
import numpy as np

from hdnn_nnet.errors import HdnnError
from hdnn_nnet.graph.hmm_gmm import hmm_gmm_transitions, hmm_gmm_tree
from hdnn_nnet.kaldi.fst import read_fst, write_fst
from hdnn_nnet.kaldi.symbols import read_integers
from hdnn_nnet.kaldi.transitions import TransitionModel
from hdnn_nnet.kaldi.tree import ContextDependency

log = logging.getLogger(__name__)

MAX_ARCS_TO_TRY = 5_000_000  # removing epsilons can multiply the arcs, which a large graph has no memory for


@dataclass
class DecodingGraph:
    """HCLG as a kaldifst.StdVectorFst, and the input labels that its disambiguation symbols had before removal."""

    fst: Any
    disambig_tids: list[int]


def _read(path: Path) -> Any:
    if not path.exists():
        raise HdnnError(f"{path} does not exist; make the lang directory and its language model")
    fst = kaldifst.StdVectorFst.read(str(path))
    if fst is None or fst.start < 0:
        raise HdnnError(f"{path} is damaged or an empty FST; regenerate it")
    return fst


def _compose(left: Any, right: Any) -> Any:
    kaldifst.arcsort(left, sort_type="olabel")
    kaldifst.arcsort(right, sort_type="ilabel")
    return kaldifst.StdVectorFst(kaldifst.compose(left, right))


def _determinize(fst: Any, what: str) -> None:
    try:
        stopped = kaldifst.determinize_star(fst, use_log=True)
    except RuntimeError as error:
        raise HdnnError(f"{what}: determinization failed ({error}); has L_disambig.fst its symbols #1 ...?") from error
    if stopped or fst.start < 0:
        raise HdnnError(f"{what} is empty after determinization; do lexicon and grammar share words?")


def _erase_input_labels(fst: Any, labels: list[int]) -> Any:
    """Turn input labels into epsilon. The bindings cannot change arcs, so the FST passes through a file."""
    with tempfile.TemporaryDirectory() as directory:
        path = str(Path(directory) / "graph.fst")
        fst.write(path)
        arrays = read_fst(path)
        arrays.arcs["ilabel"][np.isin(arrays.arcs["ilabel"], labels)] = 0
        write_fst(path, arrays)
        return kaldifst.StdVectorFst.read(path)


def _num_arcs(fst: Any) -> int:
    return sum(fst.num_arcs(state) for state in range(fst.num_states))


def _remove_epsilons(fst: Any) -> Any:
    """Without arcs that have neither input nor output, unless that makes the graph larger."""
    before = _num_arcs(fst)
    if before > MAX_ARCS_TO_TRY:
        return fst
    without = kaldifst.StdVectorFst(fst)
    kaldifst.rmepsilon(without)
    after = _num_arcs(without)
    log.info("removing epsilons: %d arcs before, %d after", before, after)
    return without if after <= before else fst


def make_graph(
    lang: Path,
    transition_model: TransitionModel,
    tree: ContextDependency,
    transition_scale: float = 1.0,
    self_loop_scale: float = 0.1,
) -> DecodingGraph:
    """Compose H, C, L and G for a tree of any context width.

    Raises:
        HdnnError: missing or damaged input, or a graph without paths.
    """
    disambig = read_integers(lang / "phones" / "disambig.int")
    lg = _compose(_read(lang / "L_disambig.fst"), _read(lang / "G.fst"))
    _determinize(lg, f"{lang}: L composed with G")
    kaldifst.minimize_encoded(lg)
    log.info("LG: %d states", lg.num_states)

    clg, windows = kaldifst.compose_context(disambig, tree.context_width, tree.central_position, lg)
    log.info("CLG: %d states, %d phones in context", clg.num_states, len(windows))

    wheel = hmm_gmm_transitions(transition_model, tree)
    config = kaldi_hmm_gmm.HTransducerConfig(transition_scale=transition_scale)
    h, disambig_tids = kaldi_hmm_gmm.get_h_transducer(windows, hmm_gmm_tree(tree), wheel, config)
    hclg = _compose(h, clg)
    _determinize(hclg, f"{lang}: HCLG")
    hclg = _remove_epsilons(_erase_input_labels(hclg, list(disambig_tids)))
    kaldifst.minimize_encoded(hclg)
    hclg = kaldi_hmm_gmm.add_self_loops(
        self_loop_scale=self_loop_scale, disambig_syms=[], reorder=True, trans_model=wheel, ifst=hclg
    )
    log.info("HCLG: %d states, %d arcs", hclg.num_states, _num_arcs(hclg))
    return DecodingGraph(hclg, list(disambig_tids))
