"""The last steps of every export: list of files, a trial, the model card."""

import logging
from collections.abc import Sequence
from pathlib import Path

from hdnn_nnet.export.card import write_card
from hdnn_nnet.export.manifest import add_measured, update_manifest
from hdnn_nnet.export.options import TrialOptions
from hdnn_nnet.export.source import Source
from hdnn_nnet.runtime.load import load_recogniser
from hdnn_nnet.runtime.measure import measure
from hdnn_nnet.runtime.options import RecogniserOptions

log = logging.getLogger(__name__)


def finish(out: Path, source: Source, files: list[str], runtimes: Sequence[str], trial: TrialOptions) -> None:
    """List the files, try the runtimes on `check_data` if there is any, and write the model card."""
    update_manifest(out, source.description, files)
    for runtime in runtimes if trial.check_data else ():
        found = measure(
            load_recogniser(out, RecogniserOptions(runtime=runtime)), trial.check_data, trial.check_utterances
        )
        log.info("%s: %s, real-time factor %.3f", runtime, found.wer.report().splitlines()[0], found.rtf)
        add_measured(
            out,
            runtime,
            {"utterances": len(found.hypotheses), "wer": round(found.wer.wer, 2), "rtf": round(found.rtf, 4)},
        )
    write_card(out)
    log.info("Done: %d files in %s, %d bytes", len(files), out, sum((out / name).stat().st_size for name in files))
