"""Models to begin with from a tree and its statistics: one Gaussian a pdf (Kaldi's gmm-init-model)."""

import logging

import numpy as np

from hdnn_nnet.errors import HdnnError
from hdnn_nnet.gmm.model import DiagGmms
from hdnn_nnet.kaldi.event_maps import answers, look_up
from hdnn_nnet.kaldi.topology import HmmTopology
from hdnn_nnet.kaldi.transitions import TransitionModel
from hdnn_nnet.kaldi.tree import PDF_CLASS, ContextDependency
from hdnn_nnet.kaldi.tree_stats import TreeStats

log = logging.getLogger(__name__)

VAR_FLOOR = 0.01  # gmm-init-model's default for --var-floor


def context_tuples(tree: ContextDependency, topology: HmmTopology) -> np.ndarray:
    """Tuples of a transition model for a tree of any context, in Kaldi's order; int32, shape (states, 4).

    Raises:
        HdnnError: a state without a pdf in the tree, or a topology whose states have two pdf-classes (chain models).
    """
    if not topology.is_hmm:
        raise HdnnError("a topology with two pdf-classes a state (chain) needs Kaldi's own trees")
    rows = []
    for phone in topology.phones:
        for number, state in enumerate(topology.states(phone)[:-1]):
            pdf_class = state.forward_pdf_class
            pdfs = answers(tree.to_pdf, {tree.central_position: phone, PDF_CLASS: pdf_class})
            if not pdfs:
                raise HdnnError(f"the tree has no pdf for phone {phone}; tree and topology are of different phones")
            rows += [(phone, number, pdf, pdf) for pdf in pdfs]
    return np.array(sorted(rows), dtype=np.int32)


def init_model(
    tree: ContextDependency, stats: TreeStats, topology: HmmTopology, var_floor: float = VAR_FLOOR
) -> tuple[TransitionModel, DiagGmms, np.ndarray]:
    """A Gaussian for each pdf from the statistics of its events.

    A pdf without statistics gets the Gaussian of all statistics.

    Returns:
        Transition model with the topology's probabilities, mixtures of one Gaussian, and occupancies, (num_pdfs,).

    Raises:
        HdnnError: an event that the tree has no pdf for.
    """
    model = TransitionModel(topology, context_tuples(tree, topology))
    pdfs = look_up(tree.to_pdf, stats.events)
    if (pdfs < 0).any():
        raise HdnnError(
            "the tree has no pdf for an event of the statistics; tree and statistics are of different phones"
        )
    moments = np.zeros((tree.num_pdfs, stats.moments.shape[1]))
    order = np.argsort(pdfs, kind="stable")
    seen, starts = np.unique(pdfs[order], return_index=True)
    moments[seen] = np.add.reduceat(stats.moments[order], starts)
    occupancies = moments[:, 0].copy()
    empty = np.flatnonzero(occupancies == 0)
    if len(empty):
        phones = np.unique(model.tuples[np.isin(model.tuples[:, 2], empty), 0])
        log.warning(
            "%d pdfs without data, of the phones %s, get the Gaussian of all data",
            len(empty), " ".join(map(str, phones)),
        )  # fmt: skip
        moments[empty] = moments.sum(axis=0)
    rare = int((moments[:, 0] < 100).sum())
    if rare:
        log.info("%d pdfs have fewer than 100 frames", rare)
    means = moments[:, 1 : 1 + stats.dim] / moments[:, :1]
    variances = np.maximum(moments[:, 1 + stats.dim :] / moments[:, :1] - means * means, var_floor)
    return model, DiagGmms(np.arange(tree.num_pdfs + 1), np.ones(tree.num_pdfs), means, variances), occupancies
