"""Print a table of models: parameters, cross-validation loss, and WER with weight and penalty chosen on dev.

Directories whose names differ in `_s<seed>` at the end share a row: mean ± standard deviation over the seeds.
"""

from dataclasses import dataclass

from hdnn_nnet.options import Options as Base
from hdnn_nnet.options import argument, group
from hdnn_nnet.score.options import ResultOptions


@dataclass(frozen=True, kw_only=True)
class Options(Base):
    """Table."""

    directories: tuple[str, ...] = argument("model directories", nargs="+")
    results: ResultOptions = group(ResultOptions)


EXAMPLE = "hdnn wer-table exp/dnn_h512l4 exp/hdnn_h128l10 exp/hdnn_h128l10_kd"


def main(options: Options) -> None:
    from pathlib import Path

    from hdnn_nnet.score.summary import read_result
    from hdnn_nnet.score.table import as_text, table

    sets = options.results
    results = [read_result(Path(d), sets.dev, sets.eval) for d in options.directories]
    print(as_text(table(results, bool(sets.eval))), end="")
