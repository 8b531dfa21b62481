"""One job of forced alignment by a GMM system on delta features: writes ALI-DIR/ali.JOB.gz."""

import logging
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from hdnn_nnet.atomic import write_text
from hdnn_nnet.cli import OptionParser, run
from hdnn_nnet.errors import HdnnError
from hdnn_nnet.gmm.align import Aligner, AlignOptions, GraphCompiler, Transcripts
from hdnn_nnet.gmm.directory import gmm_reader, read_transcripts
from hdnn_nnet.gmm.model import LogLikelihoods, read_gmm_model
from hdnn_nnet.gmm.train import silence_pdfs
from hdnn_nnet.kaldi.alignments import write_alignments
from hdnn_nnet.kaldi.tree import ContextDependency


def main(argv: Sequence[str] | None = None) -> int:
    parser = OptionParser("hdnn-align-mono", __doc__ or "")
    parser.add_argument("--num-jobs", type=int, default=1, help="parts the utterances are cut into")
    parser.add_argument("--job", type=int, default=1, help="which part, from 1")
    parser.add_argument("--beam", type=float, default=10.0, help="beam of the search")
    parser.add_argument("--retry-beam", type=float, default=40.0, help="beam for utterances that fail")
    parser.add_argument("--boost-silence", type=float, default=1.0, help="factor on silence likelihoods")
    parser.add_argument("--acoustic-scale", type=float, default=0.1, help="as in Kaldi's alignment scripts")
    parser.add_argument("--transition-scale", type=float, default=1.0, help="as in Kaldi's alignment scripts")
    parser.add_argument("--self-loop-scale", type=float, default=0.1, help="as in Kaldi's alignment scripts")
    parser.add_argument("--root", help="where to look for features with relative paths that do not exist from here")
    parser.add_argument("data_dir")
    parser.add_argument("lang_dir")
    parser.add_argument("src_dir", help="with final.mdl, tree, cmvn_opts and delta_opts")
    parser.add_argument("ali_dir")
    args = parser.parse_args(argv)
    if not 1 <= args.job <= args.num_jobs:
        raise HdnnError(f"--job {args.job} is not between 1 and --num-jobs {args.num_jobs}")

    data, lang, source, target = (Path(p) for p in (args.data_dir, args.lang_dir, args.src_dir, args.ali_dir))
    transition_model, gmms = read_gmm_model(source / "final.mdl")
    tree = ContextDependency.read(source / "tree")
    reader = gmm_reader(data, source, Path(args.root) if args.root else None)
    texts = read_transcripts(data)
    transcripts = Transcripts(lang)
    if args.boost_silence != 1.0:
        gmms = gmms.boosted(silence_pdfs(transition_model, lang), args.boost_silence)
    options = AlignOptions(args.beam, args.retry_beam, args.acoustic_scale, args.transition_scale, args.self_loop_scale)
    aligner = Aligner(transition_model, tree, options)
    compiler = GraphCompiler(transition_model, tree, lang)
    log_likelihoods = LogLikelihoods(gmms)
    first, last = (len(reader) * part // args.num_jobs for part in (args.job - 1, args.job))
    failed: list[str] = []

    def alignments() -> Iterator[tuple[str, np.ndarray]]:
        for utterance in reader.utts[first:last]:
            graph = compiler.compile(transcripts.numbers(texts[utterance])) if utterance in texts else None
            path = None if graph is None else aligner.align(utterance, graph, log_likelihoods(reader[utterance]))
            if path is None:
                failed.append(utterance)
            else:
                yield utterance, path

    done = write_alignments(target / f"ali.{args.job}.gz", alignments())
    write_text(target / f"unaligned.{args.job}", "".join(f"{utterance}\n" for utterance in failed))
    logging.info(
        "%d utterances aligned, %d retried with beam %g, %d failed, %d unknown words",
        done, aligner.retried, args.retry_beam, len(failed), transcripts.unknown,
    )  # fmt: skip
    return 0


if __name__ == "__main__":
    run(main, "hdnn-align-mono")
