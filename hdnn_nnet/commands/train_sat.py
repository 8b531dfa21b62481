"""Speaker-adaptive training from alignments, on the features of the system that made them.

Leaves a Kaldi model directory with alignments, transforms and alignment model. Transforms in the alignment directory are where
those of the training begin; without any they are estimated first.
"""

from dataclasses import dataclass

from hdnn_nnet.gmm.options import SatOptions, TriphoneCommand
from hdnn_nnet.options import argument, group


@dataclass(frozen=True, kw_only=True)
class Options(TriphoneCommand):
    """Triphone training."""

    ali_dir: str = argument("alignment directory of the same data, with final.mat if the features are LDA")
    training: SatOptions = group(SatOptions)


EXAMPLE = "hdnn train sat 2500 15000 data/train data/lang exp/tri3a_ali exp/tri4a"
WRITES = "exp_dir"


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
