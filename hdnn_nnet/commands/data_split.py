"""Split a data directory into jobs as Kaldi's utils/split_data.sh: DATA/splitN/1 .. N, speakers kept together.

Prints the number of jobs, which is lowered to the number of speakers if need be.
"""

from dataclasses import dataclass

from hdnn_nnet.options import Options as Base
from hdnn_nnet.options import argument


@dataclass(frozen=True, kw_only=True)
class Options(Base):
    """Split."""

    data: str = argument("data directory")
    jobs: int = argument("number of parts", at_least=1)


EXAMPLE = "hdnn data split data/train 8"


def main(options: Options) -> None:
    import logging
    from pathlib import Path

    from hdnn_nnet.kaldi.script_table import read_scp
    from hdnn_nnet.kaldi.split import split_data

    data, jobs = Path(options.data), options.jobs
    speakers = len(set(read_scp(data / "utt2spk").values()))
    if jobs > speakers:
        log = logging.getLogger(__name__)
        log.warning("%s has %d speakers only: %d jobs instead of %d", data, speakers, speakers, jobs)
        jobs = speakers
    split_data(data, jobs)
    print(jobs)
