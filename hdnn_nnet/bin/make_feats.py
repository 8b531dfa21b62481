"""One job of feature extraction: a slice of a data directory's utterances to a compressed archive."""

import itertools
import logging
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from hdnn_nnet.atomic import write_text
from hdnn_nnet.cli import OptionParser, run
from hdnn_nnet.errors import HdnnError
from hdnn_nnet.feats.archive import write_matrices
from hdnn_nnet.feats.audio import Segment, read_audio, read_segments
from hdnn_nnet.feats.description import FeatureDescription
from hdnn_nnet.feats.extract import FeatureExtractor, feature_options


def job_slice(segments: Sequence[Segment], job: int, jobs: int) -> Sequence[Segment]:
    """Part `job` (from 1) of `jobs`: contiguous, so that few recordings are opened by two jobs."""
    return segments[len(segments) * (job - 1) // jobs : len(segments) * job // jobs]


def main(argv: Sequence[str] | None = None) -> int:
    # The kind decides which options there are, so it is read first.
    words = list(sys.argv[1:] if argv is None else argv)
    kind = "fbank" if "--type=fbank" in words or ("--type", "fbank") in itertools.pairwise(words) else "mfcc"
    parser = OptionParser("hdnn-make-feats", __doc__ or "")
    parser.add_argument("--type", choices=("mfcc", "fbank"), default="mfcc", help="kind of features")
    parser.add_argument("--num-jobs", type=int, default=1, help="slices the utterances are cut into")
    parser.add_argument("--job", type=int, default=1, help="which slice, from 1")
    parser.add_bool("--compress", True, "compress as Kaldi's copy-feats does")
    names = feature_options(kind, parser)
    parser.add_argument("data_dir", help="with wav.scp and, if there, segments; gets feat_opts")
    parser.add_argument("prefix", help="writes PREFIX.JOB.ark, PREFIX.JOB.scp, PREFIX.JOB.utt2num_frames and .utt2dur")
    args = parser.parse_args(words)
    if not 1 <= args.job <= args.num_jobs:
        raise HdnnError(f"--job {args.job} is not between 1 and --num-jobs {args.num_jobs}")

    given = {name: getattr(args, name.replace("-", "_")) for name in names}
    options = {name: value for name, value in given.items() if value is not None}
    extractor = FeatureExtractor(kind, options)
    if args.job == 1:
        FeatureDescription.make(kind, options).write(args.data_dir)
    segments = job_slice(read_segments(args.data_dir), args.job, args.num_jobs)
    num_frames: dict[str, int] = {}
    durations: dict[str, float] = {}
    short: list[str] = []

    def features() -> Iterator[tuple[str, np.ndarray]]:
        for segment, rate, samples in read_audio(args.data_dir, segments):
            matrix = extractor(samples, rate, segment.utterance)
            if len(matrix) == 0:
                logging.warning("utterance %s is too short for one frame: left out", segment.utterance)
                short.append(segment.utterance)
                continue
            num_frames[segment.utterance] = len(matrix)
            durations[segment.utterance] = len(samples) / rate
            yield segment.utterance, matrix

    stem = Path(f"{args.prefix}.{args.job}")
    done = write_matrices(f"{stem}.ark", f"{stem}.scp", features(), args.compress)
    write_text(f"{stem}.utt2num_frames", "".join(f"{utt} {count}\n" for utt, count in num_frames.items()))
    write_text(f"{stem}.utt2dur", "".join(f"{utt} {seconds:.3f}\n" for utt, seconds in durations.items()))
    logging.info("%d utterances, %d frames; %d too short", done, sum(num_frames.values()), len(short))
    return 0


if __name__ == "__main__":
    run(main, "hdnn-make-feats")
