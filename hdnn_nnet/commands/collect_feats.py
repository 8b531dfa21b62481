"""Collect the archives of all feature jobs into a data directory: feats.scp, utt2num_frames, utt2dur, cmvn.scp.

Fails when utterances are missing, but for those that the jobs found too short for a frame.
"""

from dataclasses import dataclass

from hdnn_nnet.options import Options as Base
from hdnn_nnet.options import argument, option


@dataclass(frozen=True, kw_only=True)
class Options(Base):
    """Features."""

    data_dir: str = argument("data directory to complete")
    prefix: str = argument("as given to the jobs")
    num_jobs: int = option(1, "jobs that wrote PREFIX.JOB.*", at_least=1)
    max_missing: float = option(0.005, "share of utterances that may be too short for a frame", at_least=0, at_most=1)
    cmvn: str = option("", "write PATH.ark with statistics by speaker, and cmvn.scp", metavar="PATH")


EXAMPLE = "hdnn collect feats --num-jobs 4 --cmvn fbank/cmvn_train data/train fbank/raw_fbank_train"
WRITES = "data_dir"


def main(options: Options) -> None:
    from pathlib import Path

    from hdnn_nnet.feats.collect import collect_feats

    data = Path(options.data_dir)
    collect_feats(data, options.prefix, options.num_jobs, options.max_missing, options.cmvn)
