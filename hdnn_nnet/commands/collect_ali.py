"""Complete an alignment directory after its jobs: count utterances, write num_jobs, copy model, tree and options."""

from dataclasses import dataclass

from hdnn_nnet.options import Options as Base
from hdnn_nnet.options import argument, option


@dataclass(frozen=True, kw_only=True)
class Options(Base):
    """Alignments."""

    data_dir: str = argument("data directory that was aligned")
    src_dir: str = argument("model directory")
    ali_dir: str = argument("alignment directory to complete")
    num_jobs: int = option(1, "jobs that wrote ali.JOB.gz and unaligned.JOB", at_least=1)
    max_failed: float = option(0.05, "share of utterances that may fail to align", at_least=0, at_most=1)
    lang_dir: str = option("", "take phones.txt from there instead of from the model's directory")
    root: str | None = option(None, "where to look for features with relative paths that do not exist from here")


EXAMPLE = "hdnn collect ali --num-jobs 4 data/train exp/mono exp/mono_ali"
WRITES = "ali_dir"


def main(options: Options) -> None:
    import logging
    from pathlib import Path

    from hdnn_nnet.align.directory import clean_jobs, report_failures
    from hdnn_nnet.atomic import copy_files, write_text
    from hdnn_nnet.errors import HdnnError
    from hdnn_nnet.feats.reader import FeatureReader
    from hdnn_nnet.kaldi.accounting import Accounting
    from hdnn_nnet.kaldi.alignments import read_alignments
    from hdnn_nnet.kaldi.text_file import read_lines
    from hdnn_nnet.text import first_word

    log = logging.getLogger(__name__)
    source, target = Path(options.src_dir), Path(options.ali_dir)
    clean_jobs(target, options.num_jobs)
    write_text(target / "num_jobs", f"{options.num_jobs}\n")
    alignments = read_alignments(target)
    failed: list[str] = []
    for job in range(1, options.num_jobs + 1):
        part = target / f"unaligned.{job}"
        if not part.exists():
            raise HdnnError(f"{part} does not exist; its job failed, see its log")
        failed += (first_word(line)[0] for line in read_lines(part))
    reader = FeatureReader(options.data_dir, root=options.root)
    account = Accounting(options.data_dir, reader.announced)
    account.require("without features", reader.utts)
    account.close(options.max_failed, "extract the missing features, or run fix_data_dir.sh")
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
    report_failures(target, failed, len(reader), options.max_failed)
    copy_files(Path(options.lang_dir or source), target, ["phones.txt"])
    copy_files(source, target, ["cmvn_opts", "delta_opts", "splice_opts", "final.mat", "full.mat", "final.alimdl"])
    copy_files(source, target, ["tree", "final.occs", "final.mdl"])
    frames = sum(len(path) for path in alignments.values())
    log.info("%s: %d of %d utterances aligned, %d frames", target, len(alignments), len(reader), frames)
