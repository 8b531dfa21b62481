"""Log-likelihoods of a GMM system for a decoder that takes matrices (the counterpart of gmm-compute-likes)."""

from dataclasses import dataclass

from hdnn_nnet.options import Options as Base
from hdnn_nnet.options import argument, option


@dataclass(frozen=True, kw_only=True)
class Options(Base):
    """Log-likelihoods."""

    gmm_dir: str = argument("with final.mdl and what its features need: final.mat, option files")
    data_dir: str = argument("data directory")
    wspecifier: str = argument("where the matrices go, for example ark:-")
    model: str = option("", "model; default: final.mdl of the directory")
    transforms: str = option("", "table of speaker transforms, for example trans.1")
    root: str | None = option(None, "where to look for features with relative paths that do not exist from here")


EXAMPLE = (
    "hdnn gmm likes exp/tri3a data/dev ark:- | hdnn latgen ... exp/tri3a/final.mdl graph/HCLG.fst ark:- ark:lat.ark"
)


def main(options: Options) -> None:
    import logging
    from pathlib import Path

    from hdnn_nnet.feats.affine import read_transforms
    from hdnn_nnet.gmm.features import open_features
    from hdnn_nnet.gmm.model import LogLikelihoods, read_gmm_model
    from hdnn_nnet.kaldi.matrix_writer import MatrixWriter

    directory = Path(options.gmm_dir)
    transforms = read_transforms(options.transforms) if options.transforms else None
    features = open_features(Path(options.data_dir), directory, options.root, transforms)
    log_likelihoods = LogLikelihoods(read_gmm_model(options.model or directory / "final.mdl")[1])
    frames = 0
    with MatrixWriter(options.wspecifier) as writer:
        for utterance, matrix in features:
            writer.write_matrix(utterance, log_likelihoods(matrix))
            frames += len(matrix)
    logging.getLogger(__name__).info("log-likelihoods of %d utterances, %d frames", len(features), frames)
