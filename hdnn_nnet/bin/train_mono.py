"""Train a monophone GMM from a flat start and leave a Kaldi model directory with alignments."""

import logging
from collections.abc import Sequence
from pathlib import Path

from hdnn_nnet.atomic import write_text
from hdnn_nnet.cli import OptionParser, run
from hdnn_nnet.feats.reader import FeatureReader
from hdnn_nnet.gmm.align import AlignOptions
from hdnn_nnet.gmm.directory import (
    DEFAULT_CMVN,
    DEFAULT_DELTAS,
    as_counts,
    clean_jobs,
    copy_files,
    read_transcripts,
    report_failures,
    write_option_files,
)
from hdnn_nnet.gmm.model import write_gmm_model
from hdnn_nnet.gmm.train import MonoOptions, train_mono
from hdnn_nnet.kaldi.alignments import write_alignments
from hdnn_nnet.kaldi.basic_io import KaldiWriter


def main(argv: Sequence[str] | None = None) -> int:
    parser = OptionParser("hdnn-train-mono", __doc__ or "")
    defaults = MonoOptions()
    parser.add_argument("--nj", type=int, default=1, help="processes")
    parser.add_argument("--num-iters", type=int, default=defaults.num_iters, help="training passes")
    parser.add_argument("--max-iter-inc", type=int, default=defaults.max_iter_inc, help="last pass that adds Gaussians")
    parser.add_argument("--totgauss", type=int, default=defaults.totgauss, help="Gaussians in the end")
    parser.add_argument("--power", type=float, default=defaults.power, help="exponent when Gaussians are dealt out")
    parser.add_argument("--boost-silence", type=float, default=1.0, help="factor on silence likelihoods in alignment")
    parser.add_argument("--initial-beam", type=float, default=defaults.initial_beam, help="beam of the first alignment")
    parser.add_argument("--beam", type=float, default=10.0, help="beam of later alignments")
    parser.add_argument("--retry-beam", type=float, default=40.0, help="beam for utterances that fail")
    parser.add_argument("--cmvn-opts", default=DEFAULT_CMVN, help="options of apply-cmvn")
    parser.add_argument("--delta-opts", default=DEFAULT_DELTAS, help="options of add-deltas")
    parser.add_argument("--max-failed", type=float, default=0.05, help="share of utterances that may fail to align")
    parser.add_argument("--seed", type=int, default=0, help="of the perturbation when Gaussians are split")
    parser.add_argument("--root", help="where to look for features with relative paths that do not exist from here")
    parser.add_argument("data_dir")
    parser.add_argument("lang_dir")
    parser.add_argument("exp_dir")
    args = parser.parse_args(argv)

    lang, directory = Path(args.lang_dir), Path(args.exp_dir)
    reader = FeatureReader(args.data_dir, args.cmvn_opts, args.delta_opts, root=args.root)
    options = MonoOptions(
        num_iters=args.num_iters,
        max_iter_inc=args.max_iter_inc,
        totgauss=args.totgauss,
        power=args.power,
        boost_silence=args.boost_silence,
        initial_beam=args.initial_beam,
        align=AlignOptions(beam=args.beam, retry_beam=args.retry_beam),
        seed=args.seed,
    )
    texts = read_transcripts(Path(args.data_dir))
    result = train_mono(reader, texts, lang, options, args.nj)

    directory.mkdir(parents=True, exist_ok=True)
    for job, alignments in enumerate(result.alignments, 1):
        write_alignments(directory / f"ali.{job}.gz", alignments)
    clean_jobs(directory, len(result.alignments))
    write_text(directory / "num_jobs", f"{len(result.alignments)}\n")
    result.tree.write(directory / "tree")
    copy_files(lang, directory, ["phones.txt"])
    write_option_files(directory, args.cmvn_opts, args.delta_opts)
    occupancies = KaldiWriter(binary=True)
    occupancies.vector(as_counts(result.occupancies))
    occupancies.save(directory / "final.occs")
    # The model last: a directory with final.mdl is complete.
    write_gmm_model(directory / "final.mdl", result.transition_model, result.gmms)
    aligned = sum(len(part) for part in result.alignments)
    report_failures(directory, result.failed, aligned + len(result.failed), args.max_failed)
    logging.info(
        "%s: %d pdfs, %d Gaussians, %d utterances aligned, %d failed",
        directory, result.gmms.num_pdfs, result.gmms.num_gauss, aligned, len(result.failed),
    )  # fmt: skip
    return 0


if __name__ == "__main__":
    run(main, "hdnn-train-mono")
