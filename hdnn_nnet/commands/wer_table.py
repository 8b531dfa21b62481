"""Print a table of models: parameters, cross-validation loss, and WER with weight and penalty chosen on dev.

Directories whose names differ in `_s<seed>` at the end share a row: mean ± standard deviation over the seeds. 95 % intervals
are of the test set and the seeds together; ≈ marks what is within noise of the lowest WER. Choices of LM weight that are a coin
toss are told on stderr.
"""

from dataclasses import dataclass

from hdnn_nnet.options import Options as Base
from hdnn_nnet.options import argument, group
from hdnn_nnet.score.options import BootstrapOptions, ResultOptions


@dataclass(frozen=True, kw_only=True)
class Options(Base):
    """Table."""

    directories: tuple[str, ...] = argument("model directories", nargs="+")
    results: ResultOptions = group(ResultOptions)
    bootstrap: BootstrapOptions = group(BootstrapOptions)


EXAMPLE = "hdnn wer-table exp/dnn_h512l4 exp/hdnn_h128l10 exp/hdnn_h128l10_kd"


def main(options: Options) -> None:
    import sys
    from pathlib import Path

    from hdnn_nnet.score.noise import legend, notes
    from hdnn_nnet.score.summary import read_result
    from hdnn_nnet.score.table import as_text, set_estimates, table

    sets = options.results
    results = [read_result(Path(d), sets.dev, sets.eval, sets.smooth) for d in options.directories]
    found = set_estimates(results, bool(sets.eval), options.bootstrap)
    print(as_text(table(results, bool(sets.eval), found)), end="")
    for line in filter(None, [legend(list(found.values()), options.bootstrap), *notes(results, options.bootstrap)]):
        print(line, file=sys.stderr)
