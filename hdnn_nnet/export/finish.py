"""The last steps of every export: list of files, a trial, the model card."""

import logging
from collections.abc import Sequence
from pathlib import Path

from hdnn_nnet.cli import OptionParser
from hdnn_nnet.export.card import write_card
from hdnn_nnet.export.manifest import add_measured, update_manifest
from hdnn_nnet.export.measure import measure
from hdnn_nnet.export.source import Source
from hdnn_nnet.recognise.load import Choices, load_recogniser

log = logging.getLogger(__name__)


def add_trial_options(options: OptionParser) -> None:
    options.add_argument("--check-data", default="", help="data directory with audio and text to try the export on")
    options.add_argument("--check-utterances", type=int, default=50, help="utterances of it that are tried; 0: all")


def finish(
    out: Path, source: Source, files: list[str], runtimes: Sequence[str], check_data: str, check_utterances: int
) -> None:
    """List the files, try the runtimes on `check_data` if there is any, and write the model card."""
    update_manifest(out, source.description, files)
    for runtime in runtimes if check_data else ():
        found = measure(load_recogniser(out, Choices(runtime=runtime)), check_data, check_utterances)
        log.info("%s: %s, real-time factor %.3f", runtime, found.wer.report().splitlines()[0], found.rtf)
        add_measured(
            out,
            runtime,
            {"utterances": len(found.hypotheses), "wer": round(found.wer.wer, 2), "rtf": round(found.rtf, 4)},
        )
    write_card(out)
    log.info("Done: %d files in %s, %d bytes", len(files), out, sum((out / name).stat().st_size for name in files))
