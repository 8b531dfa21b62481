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
    aligner: Aligner,
    transition_model: TransitionModel,
    tree: ContextDependency,
    lang: Path,
    texts: Mapping[str, str],
    matrices: Iterable[tuple[str, np.ndarray]],
    target: Path,
) -> None:
    """Write `target`/ali.JOB.gz, and in unaligned.JOB the utterances that failed or have no transcript.

    Args:
        texts: utterance -> words.
        matrices: utterances with what the aligner takes: log-likelihoods, float32 (T, num_pdfs), not scaled, or features.
    """
    transcripts = Transcripts(lang)
    compiler = GraphCompiler(transition_model, tree, lang)
    failed: list[str] = []

    def alignments() -> Iterator[tuple[str, np.ndarray]]:
        for utterance, matrix in matrices:
            graph = compiler.compile(transcripts.numbers(texts[utterance]), utterance) if utterance in texts else None
            path = None if graph is None else aligner(utterance, graph, matrix)
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
