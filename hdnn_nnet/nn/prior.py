"""Pdf priors for turning posteriors into log-likelihoods (Kaldi's `nnet/nnet-pdf-prior.cc`)."""

import os
import random
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from hdnn_nnet.errors import HdnnError
from hdnn_nnet.kaldi.alignments import read_counts

#: relative frequency under which a pdf counts as never seen
PRIOR_FLOOR = 1e-10
#: log-prior of such a pdf: its log-likelihood becomes hugely negative but stays finite
UNSEEN_LOG_PRIOR = float(np.sqrt(np.finfo(np.float32).max))


def log_prior(counts: np.ndarray) -> np.ndarray:
    """(num_pdfs,) frame counts to float32 log-priors: log(relative frequency + 1e-20)."""
    total = counts.sum()
    if total <= 0:
        raise HdnnError("the prior counts are all zero; count the training alignments again")
    frequency = counts / total
    return np.where(frequency < PRIOR_FLOOR, UNSEEN_LOG_PRIOR, np.log(frequency + 1e-20)).astype(np.float32)


def counts_path(model_dir: str | os.PathLike[str]) -> Path:
    """`prior_counts` (re-estimated) if the model directory has it, else `ali_train_pdf.counts`, as steps/nnet/decode.sh."""
    preferred = Path(model_dir) / "prior_counts"
    return preferred if preferred.is_file() else Path(model_dir) / "ali_train_pdf.counts"


def forget_priors(model_dir: str | os.PathLike[str]) -> None:
    """Before a training from the start: priors re-estimated for an earlier network in the directory do not fit the new one."""
    if not (Path(model_dir) / "checkpoint.safetensors").exists():
        (Path(model_dir) / "prior_counts").unlink(missing_ok=True)


def read_log_prior(path: str | os.PathLike[str], num_pdfs: int) -> np.ndarray:
    """Log-priors from a file of counts, checked against the network's number of outputs."""
    counts = read_counts(path)
    if len(counts) != num_pdfs:
        raise HdnnError(
            f"{path} has {len(counts)} pdfs but the network has {num_pdfs}; take the counts of its alignment"
        )
    return log_prior(counts)


def choose_utterances(utterances: Sequence[str], number: int, seed: int) -> list[str]:
    """`number` of the utterances (all if there are fewer), drawn without replacement, in their order."""
    if number >= len(utterances):
        return list(utterances)
    places = random.Random(seed).sample(range(len(utterances)), number)
    return [utterances[place] for place in sorted(places)]
