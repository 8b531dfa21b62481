"""Complete a data directory of adapted features after the jobs of `hdnn feats fmllr`: feats.scp, cmvn.scp, tables."""

from dataclasses import dataclass

from hdnn_nnet.options import Options as Base
from hdnn_nnet.options import argument, option


@dataclass(frozen=True, kw_only=True)
class Options(Base):
    """Features."""

    data_dir: str = argument("data directory that the features were made from")
    target_dir: str = argument("data directory to write")
    prefix: str = argument("as given to the jobs")
    num_jobs: int = option(1, "jobs that wrote PREFIX.JOB.*", at_least=1)


EXAMPLE = "hdnn collect fmllr --num-jobs 4 data/train data-fmllr/train data-fmllr/train/data/feats"
WRITES = "target_dir"


def main(options: Options) -> None:
    from pathlib import Path

    from hdnn_nnet.gmm.dump import collect_dump

    collect_dump(Path(options.data_dir), Path(options.target_dir), options.prefix, options.num_jobs)
