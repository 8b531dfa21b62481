"""Train triphones over delta features from alignments, and leave a Kaldi model directory with alignments."""

from dataclasses import dataclass

from hdnn_nnet.gmm.options import DEFAULT_CMVN, DEFAULT_DELTAS, TriphoneCommand, TriphoneOptions
from hdnn_nnet.options import group, option


@dataclass(frozen=True, kw_only=True)
class Options(TriphoneCommand):
    """Triphone training."""

    training: TriphoneOptions = group(TriphoneOptions)
    cmvn_opts: str = option(DEFAULT_CMVN, "as for apply-cmvn")
    delta_opts: str = option(DEFAULT_DELTAS, "as for add-deltas")


EXAMPLE = "hdnn train deltas 2000 10000 data/train data/lang exp/mono_ali exp/tri1"
WRITES = "exp_dir"


def main(options: Options) -> None:
    from pathlib import Path

    from hdnn_nnet.feats.reader import FeatureReader
    from hdnn_nnet.gmm.deltas import train_deltas
    from hdnn_nnet.gmm.directory import write_system
    from hdnn_nnet.kaldi.alignments import alignment_files
    from hdnn_nnet.lang.transcripts import read_transcripts

    data, lang, ali = Path(options.data_dir), Path(options.lang_dir), Path(options.ali_dir)
    reader = FeatureReader(data, options.cmvn_opts, options.delta_opts, root=options.root)
    result = train_deltas(
        reader, read_transcripts(data), lang, ali, options.num_leaves, options.tot_gauss, options.training,
        options.nj or len(alignment_files(ali)),
    )  # fmt: skip
    write_system(Path(options.exp_dir), lang, result, options.cmvn_opts, options.delta_opts, options.max_failed)
