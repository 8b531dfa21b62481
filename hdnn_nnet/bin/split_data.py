"""Split a data directory into jobs as Kaldi's utils/split_data.sh: DATA/splitN/1 .. N, speakers kept together."""

import logging
from collections.abc import Iterable, Sequence
from pathlib import Path

from hdnn_nnet.atomic import write_text
from hdnn_nnet.cli import OptionParser, run
from hdnn_nnet.errors import HdnnError
from hdnn_nnet.kaldi.tables import read_scp

logger = logging.getLogger(__name__)

BY_UTTERANCE = ("feats.scp", "text", "vad.scp", "utt2lang", "utt2dur", "utt2num_frames", "segments")
BY_SPEAKER = ("cmvn.scp", "spk2gender", "spk2warp")
BY_RECORDING = ("wav.scp", "reco2file_and_channel")


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
    utt2spk = read_scp(data / "utt2spk")
    spk2utts: dict[str, list[str]] = {}
    for utterance, speaker in utt2spk.items():
        spk2utts.setdefault(speaker, []).append(utterance)
    if not 1 <= jobs <= len(spk2utts):
        raise HdnnError(
            f"{data}: cannot split {len(spk2utts)} speakers into {jobs} jobs; take --nj {len(spk2utts)} or less"
        )
    tables = {
        name: read_scp(data / name) for name in (*BY_UTTERANCE, *BY_SPEAKER, *BY_RECORDING) if (data / name).exists()
    }
    if "feats.scp" in tables and set(tables["feats.scp"]) != set(utt2spk):
        odd = sorted(set(tables["feats.scp"]) ^ set(utt2spk))
        raise HdnnError(
            f"{data}: feats.scp and utt2spk differ in {len(odd)} utterances, such as {odd[0]}; run fix_data_dir.sh"
        )
    root = data / f"split{jobs}"
    for job, speakers in enumerate(split_speakers(spk2utts, jobs), 1):
        utterances = [u for speaker in speakers for u in spk2utts[speaker]]
        mine = set(utterances)
        in_order = {u: s for u, s in utt2spk.items() if u in mine}
        _write(root / str(job) / "utt2spk", in_order, in_order)
        _write(root / str(job) / "spk2utt", {s: " ".join(spk2utts[s]) for s in speakers}, speakers)
        # Without segments a recording is an utterance.
        segments = tables.get("segments")
        recordings = {segments[u].split()[0] for u in utterances if u in segments} if segments else mine
        for name, table in tables.items():
            keys = speakers if name in BY_SPEAKER else recordings if name in BY_RECORDING else mine
            _write(root / str(job) / name, table, keys)
    return root


def _write(path: Path, table: dict[str, str], keys: Iterable[str]) -> None:
    wanted = set(keys)
    text = "".join(f"{key} {value}".rstrip() + "\n" for key, value in table.items() if key in wanted)
    if not path.exists() or path.read_text(encoding="utf-8") != text:
        write_text(path, text)


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
