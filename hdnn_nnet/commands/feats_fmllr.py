"""One job of writing out the features of a GMM system, adapted to speakers: PREFIX.JOB.ark and .scp.

`hdnn collect fmllr` completes the data directory.
"""

from dataclasses import dataclass

from hdnn_nnet.options import JobOptions, argument, group, option
from hdnn_nnet.options import Options as Base


@dataclass(frozen=True, kw_only=True)
class Options(Base):
    """Features."""

    data_dir: str = argument("data directory")
    gmm_dir: str = argument("with final.mat and option files of the system")
    prefix: str = argument("archives are PREFIX.JOB.ark")
    transform_dir: str = option("", "directory with trans.1, trans.2, ...; without it features are not adapted")
    compress: bool = option(False, "as Kaldi's copy-feats --compress does it")
    job: JobOptions = group(JobOptions)
    root: str | None = option(None, "where to look for features with relative paths that do not exist from here")


EXAMPLE = "hdnn feats fmllr --transform-dir exp/tri4a_ali data/train exp/tri4a data-fmllr/train/data/feats"
WRITES = "prefix"


def main(options: Options) -> None:
    from pathlib import Path

    from hdnn_nnet.gmm.dump import dump_features
    from hdnn_nnet.gmm.features import open_features, read_speaker_transforms

    transforms = read_speaker_transforms(Path(options.transform_dir)) if options.transform_dir else None
    features = open_features(Path(options.data_dir), Path(options.gmm_dir), options.root, transforms)
    dump_features(features, options.job.part_of(features.utts), options.prefix, options.job.job, options.compress)
