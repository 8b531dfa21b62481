"""Best paths of lattices as frame labels: a table of Kaldi's Posterior type with one pdf a frame.

Its weight is the lattice's confidence in it (1 with --confidence none). Utterances whose lattice has no path, or whose best path
has no words, are left out: they say nothing about a speaker.
"""

from dataclasses import dataclass

from hdnn_nnet.options import Options as Base
from hdnn_nnet.options import argument, option
from hdnn_nnet.sequence.options import ENGINES


@dataclass(frozen=True, kw_only=True)
class Options(Base):
    """Labels."""

    lattices: str = argument("archive of lattices, for example lat.1.gz")
    model: str = argument("transition model (final.mdl)")
    wspecifier: str = argument("where the labels go, for example ark,scp:post.1.ark,post.1.scp")
    lmwt: float = option(10.0, "LM weight of the best path: the inverse acoustic scale", above=0)
    confidence: str = option("none", "what a frame's weight is", choices=("none", "pdf", "phone", "word"))
    engine: str = option("auto", "of the lattice passes", choices=ENGINES)


EXAMPLE = "hdnn lattice labels --confidence phone lat.1.gz final.mdl ark,scp:post.1.ark,post.1.scp"


def main(options: Options) -> None:
    import logging

    from hdnn_nnet.errors import HdnnError
    from hdnn_nnet.kaldi.posteriors import PosteriorWriter
    from hdnn_nnet.kaldi.transitions import TransitionModel
    from hdnn_nnet.lattice.table import read_lattices
    from hdnn_nnet.sequence.frame_labels import frame_labels

    log = logging.getLogger(__name__)
    model = TransitionModel.read(options.model)
    done = wordless = failed = frames = 0
    sure = 0.0
    with PosteriorWriter(options.wspecifier) as writer:
        for key, lattice in read_lattices(options.lattices):
            where = f"{options.lattices}, key {key}"
            try:
                labels, words = frame_labels(lattice, model, options.lmwt, options.confidence, where, options.engine)
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
