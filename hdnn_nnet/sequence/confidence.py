"""How sure a lattice is of its best path: posteriors by frame and by word, for choosing adaptation data."""

from dataclasses import dataclass

import numpy as np

from hdnn_nnet.kaldi.transitions import TransitionModel
from hdnn_nnet.lattice.arcs import lattice_arcs
from hdnn_nnet.lattice.best_path import best_paths, path_alignment
from hdnn_nnet.lattice.ops import scale, to_compact
from hdnn_nnet.lattice.types import AnyLattice, Lattice
from hdnn_nnet.sequence.batch import make_batch
from hdnn_nnet.sequence.forward_backward.engines import get_engine
from hdnn_nnet.sequence.objectives import arc_scores


@dataclass
class Confidence:
    """The best path and posteriors along it.

    Attributes:
        alignment: (frames,) int32 transition-ids of the best path.
        pdf, phone: (frames,) float64 posterior that the frame belongs to the best path's pdf, or phone.
        words: (words,) int32.
        word_frames: (words, 2) int64 first frame of every word and the frame behind it.
        word: (words,) float64 maximum over the word's frames of the posterior that the frame lies in an arc with this word
            (C_max of Wessel, Schlueter, Macherey and Ney, "Confidence measures for large vocabulary continuous speech
            recognition", 2001); not a number for a word without frames. Times and words are those of the lattice's
            arcs: align the lattice to words first where they must be exact.
    """

    alignment: np.ndarray
    pdf: np.ndarray
    phone: np.ndarray
    words: np.ndarray
    word_frames: np.ndarray
    word: np.ndarray


def confidence(
    lattice: AnyLattice,
    model: TransitionModel,
    acoustic_scale: float = 0.1,
    lm_scale: float = 1.0,
    where: str = "lattice",
    engine: str = "auto",
) -> Confidence:
    """Confidence of the best path by the lattice's own scores.

    Raises:
        HdnnError: as `lattice_arcs` and `best_paths`.
    """
    compact = to_compact(lattice) if isinstance(lattice, Lattice) else lattice
    utterance = lattice_arcs(compact, model, where)
    batch = make_batch([utterance])
    scores = arc_scores(batch, None, acoustic_scale, lm_scale)
    occupancy = get_engine(engine)(batch, scores, None).occupancy.numpy()[utterance.arc]
    path = best_paths(scale(compact, lm_scale, acoustic_scale), np.ones(1), np.zeros(1), where)[0]
    alignment = path_alignment(compact, path)

    def posterior(labels: np.ndarray, wanted: np.ndarray) -> np.ndarray:
        """(frames,) posterior of the entries whose label is the wanted one of their frame."""
        same = labels == wanted[utterance.frame]
        return np.bincount(utterance.frame[same], occupancy[same], len(alignment))

    ends = np.cumsum(np.diff(compact.string_offsets)[path.arcs])
    begins = ends - np.diff(compact.string_offsets)[path.arcs]
    labels = compact.words[path.arcs]
    word_of_frame = np.zeros(len(alignment), np.int32)
    word_of_frame[: ends[-1] if len(ends) else 0] = np.repeat(labels, ends - begins)
    by_word = posterior(utterance.word[utterance.arc], word_of_frame)
    spans = np.stack([begins, ends], 1)[labels != 0]
    return Confidence(
        alignment=alignment,
        pdf=posterior(utterance.pdf, model.tid_to_pdf[alignment]),
        phone=posterior(utterance.phone, model.tid_to_phone[alignment]),
        words=path.words,
        word_frames=spans,
        word=np.array([by_word[begin:end].max() if end > begin else np.nan for begin, end in spans]),
    )
