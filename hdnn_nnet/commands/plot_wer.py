"""Draw WER against the number of parameters, one line for each family (DNN, HDNN) and criterion, into one PNG.

Directories whose names differ in `_s<seed>` at the end are one point: their mean. Bars are 95 % intervals.
"""

from dataclasses import dataclass

from hdnn_nnet.options import Options as Base
from hdnn_nnet.options import argument, group, option
from hdnn_nnet.score.options import BootstrapOptions, ResultOptions


@dataclass(frozen=True, kw_only=True)
class Options(Base):
    """Figure."""

    png: str = argument("file to write")
    directories: tuple[str, ...] = argument("model directories", nargs="+")
    results: ResultOptions = group(ResultOptions)
    bootstrap: BootstrapOptions = group(BootstrapOptions)
    title: str = option("", "above the figure")


EXAMPLE = "hdnn plot wer exp/wer.png exp/hdnn_h128l10 exp/hdnn_h256l10 exp/dnn_h512l4"


def main(options: Options) -> None:
    from pathlib import Path

    from hdnn_nnet.score.figures import save
    from hdnn_nnet.score.plot_wer import draw
    from hdnn_nnet.score.summary import read_result
    from hdnn_nnet.score.table import set_estimates

    sets = options.results
    results = [read_result(Path(d), sets.dev, sets.eval, sets.smooth) for d in options.directories]
    found = set_estimates(results, bool(sets.eval), options.bootstrap)
    save(draw(results, bool(sets.eval), options.title, found), options.png)
