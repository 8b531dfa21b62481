"""Train a monophone GMM from a flat start and leave a Kaldi model directory with alignments."""

from dataclasses import dataclass

from hdnn_nnet.gmm.options import DEFAULT_CMVN, DEFAULT_DELTAS, MonoOptions
from hdnn_nnet.options import Options as Base
from hdnn_nnet.options import argument, group, option


@dataclass(frozen=True, kw_only=True)
class Options(Base):
    """Monophone training."""

    data_dir: str = argument("data directory with features, CMVN statistics and text")
    lang_dir: str = argument("lang directory")
    exp_dir: str = argument("model directory to write")
    nj: int = option(1, "processes", at_least=1)
    training: MonoOptions = group(MonoOptions)
    cmvn_opts: str = option(DEFAULT_CMVN, "as for apply-cmvn")
    delta_opts: str = option(DEFAULT_DELTAS, "as for add-deltas")
    max_failed: float = option(0.05, "share of utterances that may fail to align", at_least=0, at_most=1)
    root: str | None = option(None, "where to look for features with relative paths that do not exist from here")


EXAMPLE = "hdnn train mono --nj 4 data/train data/lang exp/mono"
WRITES = "exp_dir"


def main(options: Options) -> None:
    from pathlib import Path

    from hdnn_nnet.feats.reader import FeatureReader
    from hdnn_nnet.gmm.directory import write_system
    from hdnn_nnet.gmm.train import train_mono
    from hdnn_nnet.lang.transcripts import read_transcripts

    data, lang = Path(options.data_dir), Path(options.lang_dir)
    reader = FeatureReader(data, options.cmvn_opts, options.delta_opts, root=options.root)
    result = train_mono(reader, read_transcripts(data), lang, options.training, options.nj)
    write_system(Path(options.exp_dir), lang, result, options.cmvn_opts, options.delta_opts, options.max_failed)
