"""Collect the archives of all feature jobs into a data directory: feats.scp, utt2num_frames, utt2dur, cmvn.scp.

Fails when utterances are missing, but for those that the jobs found too short for a frame.
"""

import logging
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from hdnn_nnet.atomic import write_text
from hdnn_nnet.cli import OptionParser, run
from hdnn_nnet.errors import HdnnError
from hdnn_nnet.feats.archive import write_matrices
from hdnn_nnet.feats.audio import read_segments
from hdnn_nnet.feats.reader import FeatureReader
from hdnn_nnet.feats.stats import accumulate_cmvn
from hdnn_nnet.kaldi.data_dir import DataDir
from hdnn_nnet.kaldi.tables import read_scp


def speaker_stats(reader: FeatureReader, spk2utt: dict[str, str]) -> Iterator[tuple[str, np.ndarray]]:
    """Yield `(speaker, statistics)` in the order of `spk2utt`; speakers without features are left out."""
    for speaker, utterances in spk2utt.items():
        stats = None
        for utterance in utterances.split():
            if utterance in reader:
                stats = accumulate_cmvn(stats, reader[utterance])
        if stats is None:
            logging.warning("speaker %s has no features", speaker)
        else:
            yield speaker, stats


def main(argv: Sequence[str] | None = None) -> int:
    parser = OptionParser("hdnn-collect-feats", __doc__ or "")
    parser.add_argument("--num-jobs", type=int, default=1, help="jobs that wrote PREFIX.JOB.*")
    parser.add_argument("--max-missing", type=float, default=0.005, help="share of utterances that may be too short")
    parser.add_argument("--cmvn", help="write PATH.ark with statistics by speaker, and cmvn.scp")
    parser.add_argument("data_dir", help="data directory to complete")
    parser.add_argument("prefix", help="as given to the jobs")
    args = parser.parse_args(argv)

    data = Path(args.data_dir)
    wanted = [segment.utterance for segment in read_segments(data)]
    for kind, name in (("scp", "feats.scp"), ("utt2num_frames", "utt2num_frames"), ("utt2dur", "utt2dur")):
        table: dict[str, str] = {}
        for job in range(1, args.num_jobs + 1):
            part = Path(f"{args.prefix}.{job}.{kind}")
            if not part.exists():
                raise HdnnError(f"{part} does not exist; its job failed, see its log")
            table.update(read_scp(part))
        missing = [utterance for utterance in wanted if utterance not in table]
        if len(missing) > args.max_missing * len(wanted) or not table:
            raise HdnnError(
                f"{data}: {len(missing)} of {len(wanted)} utterances have no features ({' '.join(missing[:3])} ...); "
                f"look at the logs of the jobs that wrote {args.prefix}.*"
            )
        write_text(data / name, "".join(f"{utt} {table[utt]}\n" for utt in wanted if utt in table))
    if missing:
        logging.warning(
            "%d utterances too short for a frame are left out of %s: %s", len(missing), data, " ".join(missing[:20])
        )
        # Later steps want every utterance of utt2spk to have features.
        DataDir(data).write_subset([utterance for utterance in wanted if utterance in table], data)
    reader = FeatureReader(data)
    frames = sum(reader.num_frames.values())
    summary = f"{len(reader)} of {len(wanted)} utterances, {frames} frames, {reader.dim} dimensions"
    if args.cmvn:
        count = write_matrices(f"{args.cmvn}.ark", data / "cmvn.scp", speaker_stats(reader, read_scp(data / "spk2utt")))
        summary += f", statistics of {count} speakers"
    logging.info("%s: %s", data, summary)
    return 0


if __name__ == "__main__":
    run(main, "hdnn-collect-feats")
