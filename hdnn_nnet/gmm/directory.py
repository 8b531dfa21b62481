"""Model directories of GMM systems: the files Kaldi's scripts leave in them."""

import logging
from pathlib import Path

import numpy as np

from hdnn_nnet.align.directory import clean_jobs, report_failures
from hdnn_nnet.atomic import copy_files, write_text
from hdnn_nnet.gmm.model import write_gmm_model
from hdnn_nnet.gmm.passes import TrainResult
from hdnn_nnet.kaldi.alignments import write_alignments
from hdnn_nnet.kaldi.basic_io import KaldiWriter
from hdnn_nnet.kaldi.questions import compile_questions, write_phone_sets, write_questions

log = logging.getLogger(__name__)


def write_option_files(model_dir: Path, cmvn_opts: str, delta_opts: str | None) -> None:
    """Write `cmvn_opts` and, unless it is None (spliced features), `delta_opts`."""
    write_text(model_dir / "cmvn_opts", cmvn_opts + "\n")
    if delta_opts is None:
        (model_dir / "delta_opts").unlink(missing_ok=True)
    else:
        write_text(model_dir / "delta_opts", delta_opts + "\n")


def as_counts(occupancies: np.ndarray) -> np.ndarray:
    """Occupancies as the single-precision vector of Kaldi's `final.occs`."""
    return np.asarray(occupancies, dtype=np.float32)


def write_system(
    directory: Path, lang: Path, result: TrainResult, cmvn_opts: str, delta_opts: str | None, max_failed: float
) -> None:
    """Write what Kaldi's training scripts leave: model, tree, alignments, options.

    Raises:
        HdnnError: more than the share `max_failed` of the utterances could not be aligned.
    """
    directory.mkdir(parents=True, exist_ok=True)
    for job, alignments in enumerate(result.alignments, 1):
        write_alignments(directory / f"ali.{job}.gz", alignments)
    clean_jobs(directory, len(result.alignments))
    write_text(directory / "num_jobs", f"{len(result.alignments)}\n")
    result.tree.write(directory / "tree")
    if result.questions:
        write_phone_sets(directory / "questions.int", result.questions)
        compiled = compile_questions(result.questions, result.transition_model.topology, result.tree.context_width)
        write_questions(directory / "questions.qst", compiled)
    copy_files(lang, directory, ["phones.txt"])
    write_option_files(directory, cmvn_opts, delta_opts)
    occupancies = KaldiWriter(binary=True)
    occupancies.vector(as_counts(result.occupancies))
    occupancies.save(directory / "final.occs")
    # The model last: a directory with final.mdl is complete.
    write_gmm_model(directory / "final.mdl", result.transition_model, result.gmms)
    aligned = sum(len(part) for part in result.alignments)
    report_failures(directory, result.failed, aligned + len(result.failed), max_failed)
    log.info(
        "%s: %d pdfs, %d Gaussians, %d utterances aligned, %d failed",
        directory, result.gmms.num_pdfs, result.gmms.num_gauss, aligned, len(result.failed),
    )  # fmt: skip
