"""Posteriors of lattices."""

from torch import Tensor

from hdnn_nnet.sequence.batch import ArcBatch
from hdnn_nnet.sequence.forward_backward.engines import get_engine
from hdnn_nnet.sequence.objectives import arc_scores


def occupancies(batch: ArcBatch, loglikes: Tensor | None, acoustic_scale: float, engine: str) -> tuple[Tensor, Tensor]:
    """Posterior of every pdf in every frame, (frames, pdfs) float64, rows sum to 1; and (utterances,) log_total.

    Without `loglikes` the lattice's own acoustic costs are taken (Kaldi's lattice-to-post).
    """
    own = 1.0 if loglikes is None else 0.0
    found = get_engine(engine)(batch, arc_scores(batch, loglikes, acoustic_scale, 1.0, own), None)
    result = found.occupancy.new_zeros((batch.num_frames, batch.num_pdfs))
    result[batch.cell_row, batch.cell_pdf] = batch.cell_sum(found.occupancy)
    return result, found.log_total
