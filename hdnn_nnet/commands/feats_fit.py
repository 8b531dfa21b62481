"""How many frames of 10 ms the utterances of a data directory have whose features have fewer rows (feat_opts).

They are those of other features of the same audio, so that labels, alignments and lattices of both go together.
"""

from dataclasses import dataclass

from hdnn_nnet.options import Options as Base
from hdnn_nnet.options import argument


@dataclass(frozen=True, kw_only=True)
class Options(Base):
    """Features."""

    data_dir: str = argument(
        "data directory whose feat_opts or frame_shift states another rate; gets utt2aligned_frames"
    )
    like: str = argument("data directory with the features that alignments and students have")


EXAMPLE = "hdnn feats fit data/train_ssl data/train"
WRITES = "data_dir"


def main(options: Options) -> None:
    from hdnn_nnet.feats.fit import fit_frames

    fit_frames(options.data_dir, options.like)
