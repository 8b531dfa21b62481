"""Alignment directories after their jobs."""

import logging
from collections.abc import Sequence
from pathlib import Path

from hdnn_nnet.atomic import write_text
from hdnn_nnet.errors import HdnnError

log = logging.getLogger(__name__)


def report_failures(directory: Path, failed: Sequence[str], total: int, max_failed: float) -> None:
    """List the utterances without alignment in `unaligned`; too many are an error."""
    write_text(directory / "unaligned", "".join(f"{utterance}\n" for utterance in failed))
    if failed:
        log.warning("%d of %d utterances could not be aligned: %s", len(failed), total, " ".join(failed[:20]))
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
