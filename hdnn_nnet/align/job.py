"""One job of forced alignment, wherever its log-likelihoods come from; `hdnn collect ali` completes the directory."""

import logging
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

import numpy as np

from hdnn_nnet.align.aligner import Aligner, GraphCompiler
from hdnn_nnet.align.options import AlignJobOptions
from hdnn_nnet.atomic import write_text
from hdnn_nnet.kaldi.alignments import write_alignments
from hdnn_nnet.kaldi.transitions import TransitionModel
from hdnn_nnet.kaldi.tree import ContextDependency
from hdnn_nnet.lang.transcripts import Transcripts

log = logging.getLogger(__name__)


def align_job(
    options: AlignJobOptions,
    transition_model: TransitionModel,
    tree: ContextDependency,
    lang: Path,
    texts: Mapping[str, str],
    scores: Iterable[tuple[str, np.ndarray]],
    target: Path,
) -> None:
    """Write `target`/ali.JOB.gz, and in unaligned.JOB the utterances that failed or have no transcript.

    Args:
        texts: utterance -> words.
        scores: utterances with log-likelihoods, float32 (T, num_pdfs), not scaled.
    """
    transcripts = Transcripts(lang)
    compiler = GraphCompiler(transition_model, tree, lang)
    aligner = Aligner(transition_model, tree, options.search)
    failed: list[str] = []

    def alignments() -> Iterator[tuple[str, np.ndarray]]:
        for utterance, log_likelihoods in scores:
            graph = compiler.compile(transcripts.numbers(texts[utterance])) if utterance in texts else None
            path = None if graph is None else aligner.align(utterance, graph, log_likelihoods)
            if path is None:
                failed.append(utterance)
            else:
                yield utterance, path

    done = write_alignments(target / f"ali.{options.job.job}.gz", alignments())
    write_text(target / f"unaligned.{options.job.job}", "".join(f"{utterance}\n" for utterance in failed))
    log.info(
        "%d utterances aligned, %d retried with beam %g, %d failed, %d unknown words",
        done, aligner.retried, options.search.retry_beam, len(failed), transcripts.unknown,
    )  # fmt: skip
