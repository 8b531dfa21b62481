"""Train triphones over delta features from alignments, and leave a Kaldi model directory with alignments."""

from dataclasses import dataclass

from hdnn_nnet.gmm.options import DEFAULT_CMVN, DEFAULT_DELTAS, TriphoneOptions
from hdnn_nnet.options import Options as Base
from hdnn_nnet.options import argument, group, option


@dataclass(frozen=True, kw_only=True)
class Options(Base):
    """Triphone training."""

    num_leaves: int = argument("leaves of the tree before they are clustered, at most")
    tot_gauss: int = argument("Gaussians in the end, about")
    data_dir: str = argument("data directory with features, CMVN statistics and text")
    lang_dir: str = argument("lang directory")
    ali_dir: str = argument("alignment directory of the same data")
    exp_dir: str = argument("model directory to write")
    nj: int = option(
        0, "processes, and parts of the alignments; 0: as many parts as those in the alignment directory", at_least=0
    )
    training: TriphoneOptions = group(TriphoneOptions)
    cmvn_opts: str = option(DEFAULT_CMVN, "as for apply-cmvn")
    delta_opts: str = option(DEFAULT_DELTAS, "as for add-deltas")
    max_failed: float = option(0.05, "share of utterances that may fail to align", at_least=0, at_most=1)
    root: str | None = option(None, "where to look for features with relative paths that do not exist from here")


EXAMPLE = "hdnn train deltas 2000 10000 data/train data/lang exp/mono_ali exp/tri1"


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
