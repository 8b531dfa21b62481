"""Split a data directory into jobs as Kaldi's utils/split_data.sh: DATA/splitN/1 .. N, speakers kept together."""

import logging
from collections.abc import Sequence
from pathlib import Path

from hdnn_nnet.cli import OptionParser, run
from hdnn_nnet.errors import HdnnError
from hdnn_nnet.kaldi.data_dir import DataDir
from hdnn_nnet.kaldi.tables import read_scp

logger = logging.getLogger(__name__)


def split_speakers(spk2utts: dict[str, list[str]], jobs: int) -> list[list[str]]:
    """Contiguous groups of speakers with about equally many utterances, none empty."""
    total = sum(map(len, spk2utts.values()))
    groups: list[list[str]] = [[]]
    done = 0
    left = len(spk2utts)
    for speaker, utterances in spk2utts.items():
        # A new group starts where the share is full, and in time for the groups that still need a speaker.
        share_is_full = done + len(utterances) / 2 > total * len(groups) / jobs
        if groups[-1] and len(groups) < jobs and (share_is_full or left <= jobs - len(groups)):
            groups.append([])
        groups[-1].append(speaker)
        done += len(utterances)
        left -= 1
    return groups


def split_data(data: Path, jobs: int) -> Path:
    """Write the split; return its directory. Files that are right already are left alone.

    Raises:
        HdnnError: more jobs than speakers, or an utterance of utt2spk without features.
    """
    source = DataDir(data)
    if not 1 <= jobs <= len(source.spk2utts):
        raise HdnnError(
            f"{data}: cannot split {len(source.spk2utts)} speakers into {jobs} jobs; "
            f"take --nj {len(source.spk2utts)} or less"
        )
    if "feats.scp" in source.tables and set(source.tables["feats.scp"]) != set(source.utt2spk):
        odd = sorted(set(source.tables["feats.scp"]) ^ set(source.utt2spk))
        raise HdnnError(
            f"{data}: feats.scp and utt2spk differ in {len(odd)} utterances, such as {odd[0]}; run fix_data_dir.sh"
        )
    root = data / f"split{jobs}"
    for job, speakers in enumerate(split_speakers(source.spk2utts, jobs), 1):
        source.write_subset((u for speaker in speakers for u in source.spk2utts[speaker]), root / str(job))
    return root


def main(argv: Sequence[str] | None = None) -> int:
    """Split and print the number of jobs, which is lowered to the number of speakers if need be."""
    parser = OptionParser("hdnn-split-data", __doc__ or "")
    parser.add_argument("data", help="data directory")
    parser.add_argument("jobs", type=int, help="number of parts")
    options = parser.parse_args(argv)
    data = Path(options.data)
    speakers = len(set(read_scp(data / "utt2spk").values()))
    jobs = options.jobs
    if jobs > speakers:
        logger.warning("%s has %d speakers only: %d jobs instead of %d", data, speakers, speakers, jobs)
        jobs = speakers
    split_data(data, jobs)
    print(jobs)
    return 0


if __name__ == "__main__":
    run(main, "hdnn-split-data")
