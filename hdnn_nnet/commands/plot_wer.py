"""Draw WER against the number of parameters, one line for each family (DNN, HDNN) and criterion, into one PNG.

Directories whose names differ in `_s<seed>` at the end are one point: mean, with the standard deviation over seeds as a bar.
"""

from dataclasses import dataclass

from hdnn_nnet.options import Options as Base
from hdnn_nnet.options import argument, group, option
from hdnn_nnet.score.options import ResultOptions


@dataclass(frozen=True, kw_only=True)
class Options(Base):
    """Figure."""

    png: str = argument("file to write")
    directories: tuple[str, ...] = argument("model directories", nargs="+")
    results: ResultOptions = group(ResultOptions)
    title: str = option("", "above the figure")


EXAMPLE = "hdnn plot wer exp/wer.png exp/hdnn_h128l10 exp/hdnn_h256l10 exp/dnn_h512l4"


def main(options: Options) -> None:
    from pathlib import Path

    from hdnn_nnet.score.figures import save
    from hdnn_nnet.score.plot_wer import draw
    from hdnn_nnet.score.summary import read_result

    sets = options.results
    results = [read_result(Path(d), sets.dev, sets.eval) for d in options.directories]
    save(draw(results, bool(sets.eval), options.title), options.png)
