"""Train triphones over LDA + MLLT features from alignments, and leave a Kaldi model directory with alignments."""

from dataclasses import dataclass

from hdnn_nnet.gmm.options import DEFAULT_CMVN, DEFAULT_SPLICE, LdaMlltOptions, TriphoneCommand
from hdnn_nnet.options import group, option


@dataclass(frozen=True, kw_only=True)
class Options(TriphoneCommand):
    """Triphone training."""

    training: LdaMlltOptions = group(LdaMlltOptions)
    cmvn_opts: str = option(DEFAULT_CMVN, "as for apply-cmvn")
    splice_opts: str = option(DEFAULT_SPLICE, "as for splice-feats")


EXAMPLE = "hdnn train lda-mllt 2500 15000 data/train data/lang exp/tri1_ali exp/tri3a"
WRITES = "exp_dir"


def main(options: Options) -> None:
    from pathlib import Path

    from hdnn_nnet.feats.transforms import Splice
    from hdnn_nnet.gmm.adapted_directory import write_lda_mllt
    from hdnn_nnet.gmm.features import GmmFeatures
    from hdnn_nnet.gmm.lda_mllt import train_lda_mllt
    from hdnn_nnet.kaldi.alignments import alignment_files
    from hdnn_nnet.lang.transcripts import read_transcripts

    data, lang, ali = Path(options.data_dir), Path(options.lang_dir), Path(options.ali_dir)
    features = GmmFeatures(data, options.cmvn_opts, "", Splice.parse(options.splice_opts), root=options.root)
    result = train_lda_mllt(
        features, read_transcripts(data), lang, ali, options.num_leaves, options.tot_gauss, options.training,
        options.nj or len(alignment_files(ali)),
    )  # fmt: skip
    write_lda_mllt(Path(options.exp_dir), lang, result, options.cmvn_opts, options.splice_opts, options.max_failed)
