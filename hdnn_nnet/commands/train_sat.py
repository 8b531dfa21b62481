"""Speaker-adaptive training from alignments, on the features of the system that made them.

Leaves a Kaldi model directory with alignments, transforms and alignment model. Transforms in the alignment directory are where
those of the training begin; without any they are estimated first.
"""

from dataclasses import dataclass

from hdnn_nnet.gmm.options import SatOptions
from hdnn_nnet.options import Options as Base
from hdnn_nnet.options import argument, group, option


@dataclass(frozen=True, kw_only=True)
class Options(Base):
    """Triphone training."""

    num_leaves: int = argument("leaves of the tree before they are clustered, at most")
    tot_gauss: int = argument("Gaussians in the end, about")
    data_dir: str = argument("data directory with features, CMVN statistics and text")
    lang_dir: str = argument("lang directory")
    ali_dir: str = argument("alignment directory of the same data, with final.mat if the features are LDA")
    exp_dir: str = argument("model directory to write")
    nj: int = option(
        0, "processes, and parts of the alignments; 0: as many parts as those in the alignment directory", at_least=0
    )
    training: SatOptions = group(SatOptions)
    max_failed: float = option(0.05, "share of utterances that may fail to align", at_least=0, at_most=1)
    root: str | None = option(None, "where to look for features with relative paths that do not exist from here")


EXAMPLE = "hdnn train sat 2500 15000 data/train data/lang exp/tri3a_ali exp/tri4a"


def main(options: Options) -> None:
    from pathlib import Path

    from hdnn_nnet.gmm.adapted_directory import write_sat
    from hdnn_nnet.gmm.features import open_features, read_speaker_transforms, transform_files
    from hdnn_nnet.gmm.sat import train_sat
    from hdnn_nnet.kaldi.alignments import alignment_files
    from hdnn_nnet.lang.transcripts import read_transcripts

    data, lang, ali = Path(options.data_dir), Path(options.lang_dir), Path(options.ali_dir)
    transforms = read_speaker_transforms(ali) if transform_files(ali) else None
    features = open_features(data, ali, options.root, transforms)
    result = train_sat(
        features, read_transcripts(data), lang, ali, options.num_leaves, options.tot_gauss, options.training,
        options.nj or len(alignment_files(ali)),
    )  # fmt: skip
    write_sat(Path(options.exp_dir), lang, ali, result, options.max_failed)
