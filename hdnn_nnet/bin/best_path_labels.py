"""Best paths of lattices as frame labels: a table of Kaldi's Posterior type with one pdf a frame.

Its weight is the lattice's confidence in it (1 with --confidence none). Utterances whose lattice has no path, or whose best path
has no words, are left out: they say nothing about a speaker.
"""

import logging
from collections.abc import Sequence

import numpy as np

from hdnn_nnet.cli import OptionParser, run
from hdnn_nnet.errors import HdnnError
from hdnn_nnet.kaldi.lattice import AnyLattice
from hdnn_nnet.kaldi.lattice_best import best_paths, path_alignment
from hdnn_nnet.kaldi.lattice_table import read_lattices
from hdnn_nnet.kaldi.posteriors import PosteriorWriter, SparsePosteriors
from hdnn_nnet.kaldi.transitions import TransitionModel
from hdnn_nnet.sequence.confidence import confidence

log = logging.getLogger(__name__)
PROGRAM = "hdnn-best-path-labels"
KINDS = ("none", "pdf", "phone", "word")


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


def main(argv: Sequence[str] | None = None) -> int:
    parser = OptionParser(PROGRAM, __doc__ or "")
    parser.add_argument(
        "--lmwt", type=float, default=10.0, help="LM weight of the best path: the inverse acoustic scale"
    )
    parser.add_argument("--confidence", choices=KINDS, default="none", help="what a frame's weight is")
    parser.add_argument("--engine", choices=("auto", "k2", "torch"), default="auto", help="of the lattice passes")
    parser.add_argument("lattices", help="archive of lattices, for example lat.1.gz")
    parser.add_argument("model", help="transition model (final.mdl)")
    parser.add_argument("wspecifier", help="where the labels go, for example ark,scp:post.1.ark,post.1.scp")
    args = parser.parse_args(argv)
    if args.lmwt <= 0:
        raise HdnnError(f"--lmwt {args.lmwt:g} must be above 0")
    model = TransitionModel.read(args.model)
    done = wordless = failed = frames = 0
    sure = 0.0
    with PosteriorWriter(args.wspecifier) as writer:
        for key, lattice in read_lattices(args.lattices):
            where = f"{args.lattices}, key {key}"
            try:
                labels, words = frame_labels(lattice, model, args.lmwt, args.confidence, where, args.engine)
            except HdnnError as error:
                log.warning("%s", error)
                failed += 1
                continue
            if not words:
                wordless += 1
                continue
            writer.write_posteriors(key, labels)
            done += 1
            frames += len(labels)
            sure += float(labels.weights.sum())
    log.info(
        "labels of %d utterances, %d frames, mean confidence %.3f; %d without words, %d without a path",
        done, frames, sure / max(frames, 1), wordless, failed,
    )  # fmt: skip
    return 0


if __name__ == "__main__":
    run(main, PROGRAM)
