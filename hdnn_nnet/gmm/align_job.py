"""One job of forced alignment, wherever its log-likelihoods come from; bin.collect_ali completes the directory."""

import logging
from argparse import Namespace
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

import numpy as np

from hdnn_nnet.atomic import write_text
from hdnn_nnet.cli import OptionParser, add_job_options
from hdnn_nnet.gmm.align import Aligner, AlignOptions, GraphCompiler
from hdnn_nnet.kaldi.alignments import write_alignments
from hdnn_nnet.kaldi.transcripts import Transcripts
from hdnn_nnet.kaldi.transitions import TransitionModel
from hdnn_nnet.kaldi.tree import ContextDependency


def add_align_options(parser: OptionParser) -> None:
    """Which job of how many, beams and scales; the defaults are those of Kaldi's alignment scripts."""
    add_job_options(parser)
    parser.add_argument("--beam", type=float, default=10.0, help="beam of the search")
    parser.add_argument("--retry-beam", type=float, default=40.0, help="beam for utterances that fail")
    parser.add_argument("--acoustic-scale", type=float, default=0.1, help="factor on the log-likelihoods")
    parser.add_argument("--transition-scale", type=float, default=1.0, help="scale of transitions between states")
    parser.add_argument("--self-loop-scale", type=float, default=0.1, help="scale of self-loops and of leaving them")
    parser.add_argument("--root", help="where to look for features with relative paths that do not exist from here")


def align_job(
    args: Namespace,
    transition_model: TransitionModel,
    tree: ContextDependency,
    lang: Path,
    texts: Mapping[str, str],
    scores: Iterable[tuple[str, np.ndarray]],
    target: Path,
) -> None:
    """Write `target`/ali.JOB.gz, and in unaligned.JOB the utterances that failed or have no transcript.

    Args:
        args: with the options of `add_align_options`.
        texts: utterance -> words.
        scores: utterances with log-likelihoods, float32 (T, num_pdfs), not scaled.
    """
    options = AlignOptions(args.beam, args.retry_beam, args.acoustic_scale, args.transition_scale, args.self_loop_scale)
    transcripts = Transcripts(lang)
    compiler = GraphCompiler(transition_model, tree, lang)
    aligner = Aligner(transition_model, tree, options)
    failed: list[str] = []

    def alignments() -> Iterator[tuple[str, np.ndarray]]:
        for utterance, log_likelihoods in scores:
            graph = compiler.compile(transcripts.numbers(texts[utterance])) if utterance in texts else None
            path = None if graph is None else aligner.align(utterance, graph, log_likelihoods)
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
