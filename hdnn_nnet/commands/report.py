"""Write results of model directories as one HTML file that opens offline: tables, curves, gains of speakers, size and speed.

A directory with dev/index.json and eval/index.json (steps_py/adapt.sh) counts as adapted; the network that it was adapted from
must have been decoded too.
"""

from dataclasses import dataclass

from hdnn_nnet.options import Options as Base
from hdnn_nnet.options import argument, group, option
from hdnn_nnet.score.options import BootstrapOptions, ResultOptions


@dataclass(frozen=True, kw_only=True)
class Options(Base):
    """Page."""

    html: str = argument("file to write")
    directories: tuple[str, ...] = argument("model directories, adapted ones among them", nargs="+")
    results: ResultOptions = group(ResultOptions)
    bootstrap: BootstrapOptions = group(BootstrapOptions)
    title: str = option("Results", "of the page")
    note: str = option("", "a paragraph under the title")
    audio: str = option("", "data directory of the last set, with wav.scp, to hear the worst utterances")
    seconds: float = option(0.3, "time to measure each network's forward pass", above=0)


EXAMPLE = "hdnn report exp/report.html exp/hdnn_h128l10 exp/hdnn_h128l10_kd"


def main(options: Options) -> None:
    from pathlib import Path

    from hdnn_nnet.atomic import write_text
    from hdnn_nnet.score.report import page

    directories = [Path(d) for d in options.directories]
    write_text(
        options.html,
        page(
            directories,
            options.results,
            options.title,
            options.note,
            options.seconds,
            options.bootstrap,
            Path(options.audio) if options.audio else None,
        ),
    )
