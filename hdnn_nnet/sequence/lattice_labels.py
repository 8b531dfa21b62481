"""Posteriors of pdfs by frame from lattices (Kaldi's lattice-to-post and weight-silence-post)."""

from collections.abc import Sequence

from hdnn_nnet.gmm.posteriors import FrameLabels, silence_weighted
from hdnn_nnet.kaldi.transitions import TransitionModel
from hdnn_nnet.lattice.arcs import lattice_arcs
from hdnn_nnet.lattice.types import AnyLattice
from hdnn_nnet.sequence.batch import make_batch
from hdnn_nnet.sequence.forward_backward.engines import get_engine
from hdnn_nnet.sequence.objectives import arc_scores


def lattice_labels(
    lattice: AnyLattice,
    model: TransitionModel,
    acoustic_scale: float,
    silence_phones: Sequence[int] = (),
    silence_weight: float = 1.0,
    where: str = "lattice",
    engine: str = "auto",
) -> tuple[FrameLabels, int]:
    """Weights of the pdfs of each frame by the lattice's own scores, silence phones scaled; and the number of frames.

    Raises:
        HdnnError: as `lattice_arcs`.
    """
    arcs = lattice_arcs(lattice, model, where)
    batch = make_batch([arcs])
    occupancy = get_engine(engine)(batch, arc_scores(batch, None, acoustic_scale), None).occupancy.numpy()[arcs.arc]
    weights = silence_weighted(arcs.phone, silence_phones, silence_weight, occupancy)
    return FrameLabels.merged(arcs.frame, arcs.pdf, weights), arcs.num_frames
