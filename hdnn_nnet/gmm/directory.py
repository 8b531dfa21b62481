"""Model and alignment directories of GMM systems: the files Kaldi's scripts leave in them."""

import logging
import shutil
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

from hdnn_nnet.atomic import atomic_path, write_text
from hdnn_nnet.errors import HdnnError
from hdnn_nnet.feats.reader import FeatureReader
from hdnn_nnet.kaldi.tables import read_scp

# What Kaldi's scripts do with delta features when the files are empty or missing.
DEFAULT_CMVN = "--norm-means=true --norm-vars=false"
DEFAULT_DELTAS = "--delta-order=2 --delta-window=2"


def read_option_file(path: Path, default: str) -> str:
    """Content of `cmvn_opts` or `delta_opts`; empty or missing, what Kaldi's delta-feature scripts take."""
    return (path.read_text().strip() if path.exists() else "") or default


def gmm_reader(data_dir: Path, model_dir: Path, root: Path | None = None) -> FeatureReader:
    """The features that the GMM in `model_dir` expects: normalised, with deltas."""
    if (model_dir / "final.mat").exists():
        raise HdnnError(f"{model_dir}/final.mat: LDA or MLLT features need Kaldi; set KALDI_ROOT and use its scripts")
    cmvn = read_option_file(model_dir / "cmvn_opts", DEFAULT_CMVN)
    deltas = read_option_file(model_dir / "delta_opts", DEFAULT_DELTAS)
    return FeatureReader(data_dir, cmvn, deltas, root=root)


def write_option_files(model_dir: Path, cmvn_opts: str, delta_opts: str) -> None:
    """Write `cmvn_opts` and `delta_opts`."""
    write_text(model_dir / "cmvn_opts", cmvn_opts + "\n")
    write_text(model_dir / "delta_opts", delta_opts + "\n")


def copy_files(source: Path, target: Path, names: Iterable[str]) -> None:
    """Copy files that exist, each atomically."""
    for name in names:
        if (source / name).exists() and source.resolve() != target.resolve():
            with atomic_path(target / name) as temporary:
                shutil.copyfile(source / name, temporary)


def read_transcripts(data_dir: Path) -> dict[str, str]:
    """`text` of a data directory; an utterance without words is kept (it aligns to silence)."""
    return read_scp(data_dir / "text")


def report_failures(directory: Path, failed: Sequence[str], total: int, max_failed: float) -> None:
    """List the utterances without alignment in `unaligned`; too many are an error."""
    write_text(directory / "unaligned", "".join(f"{utterance}\n" for utterance in failed))
    if failed:
        logging.warning("%d of %d utterances could not be aligned: %s", len(failed), total, " ".join(failed[:20]))
    if len(failed) > max_failed * total:
        raise HdnnError(
            f"{directory}: {len(failed)} of {total} utterances could not be aligned ({' '.join(failed[:10])}; all are "
            f"listed in {directory}/unaligned), more than the allowed share of {max_failed:g}; "
            "check transcripts and segments, or raise --retry-beam"
        )


def clean_jobs(directory: Path, jobs: int) -> None:
    """Remove `ali.N.gz` beyond `jobs`, which an earlier run with more jobs left."""
    for path in directory.glob("ali.*.gz"):
        number = path.name.split(".")[1]
        if number.isdigit() and int(number) > jobs:
            path.unlink()


def as_counts(occupancies: np.ndarray) -> np.ndarray:
    """Occupancies as the single-precision vector of Kaldi's `final.occs`."""
    return np.asarray(occupancies, dtype=np.float32)
