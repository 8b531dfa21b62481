"""Complete an alignment directory after its jobs: count utterances, write num_jobs, copy model, tree and options."""

import logging
from collections.abc import Sequence
from pathlib import Path

from hdnn_nnet.atomic import write_text
from hdnn_nnet.cli import OptionParser, run
from hdnn_nnet.errors import HdnnError
from hdnn_nnet.feats.reader import FeatureReader
from hdnn_nnet.gmm.directory import clean_jobs, copy_files, report_failures
from hdnn_nnet.kaldi.alignments import read_alignments


def main(argv: Sequence[str] | None = None) -> int:
    parser = OptionParser("hdnn-collect-ali", __doc__ or "")
    parser.add_argument("--num-jobs", type=int, default=1, help="jobs that wrote ali.JOB.gz and unaligned.JOB")
    parser.add_argument("--max-failed", type=float, default=0.05, help="share of utterances that may fail to align")
    parser.add_argument("--lang-dir", help="take phones.txt from there instead of from the model's directory")
    parser.add_argument("--root", help="where to look for features with relative paths that do not exist from here")
    parser.add_argument("data_dir")
    parser.add_argument("src_dir")
    parser.add_argument("ali_dir")
    args = parser.parse_args(argv)

    source, target = Path(args.src_dir), Path(args.ali_dir)
    clean_jobs(target, args.num_jobs)
    write_text(target / "num_jobs", f"{args.num_jobs}\n")
    alignments = read_alignments(target)
    failed: list[str] = []
    for job in range(1, args.num_jobs + 1):
        part = target / f"unaligned.{job}"
        if not part.exists():
            raise HdnnError(f"{part} does not exist; its job failed, see its log")
        failed += part.read_text().split()
        part.unlink()
    reader = FeatureReader(args.data_dir, root=args.root)
    lost = [utterance for utterance in reader.utts if utterance not in alignments and utterance not in set(failed)]
    if lost:
        raise HdnnError(
            f"{target}: {len(lost)} utterances were neither aligned nor reported ({lost[0]} ...); align again"
        )
    for utterance, path in alignments.items():
        if len(path) != reader.num_frames.get(utterance):
            raise HdnnError(
                f"{target}: utterance {utterance} has {len(path)} aligned frames and "
                f"{reader.num_frames.get(utterance)} of features; align again"
            )
    report_failures(target, failed, len(reader), args.max_failed)
    copy_files(Path(args.lang_dir or source), target, ["phones.txt"])
    copy_files(source, target, ["tree", "cmvn_opts", "delta_opts", "final.occs", "final.mdl"])
    frames = sum(len(path) for path in alignments.values())
    logging.info("%s: %d of %d utterances aligned, %d frames", target, len(alignments), len(reader), frames)
    return 0


if __name__ == "__main__":
    run(main, "hdnn-collect-ali")
