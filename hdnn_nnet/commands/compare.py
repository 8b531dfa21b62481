"""Say whether two systems differ by more than chance: paired bootstrap over utterances and over speakers, and MAPSSWE.

Of decode directories each is taken at its own best LM weight and penalty; of model directories dev at its best, and eval at dev's
choice. Directories that Kaldi's score_kaldi.sh has scored will do as well. (Bisani and Ney 2004; Gillick and Cox 1989; the
references are Kaldi's compute-wer-bootci and NIST's sc_stats.)
"""

from dataclasses import dataclass

from hdnn_nnet.options import Options as Base
from hdnn_nnet.options import argument, group, option
from hdnn_nnet.score.options import ResultOptions


@dataclass(frozen=True, kw_only=True)
class Options(Base):
    """Comparison."""

    first: str = argument("model or decode directory")
    second: str = argument("another of the same kind")
    results: ResultOptions = group(ResultOptions)
    replications: int = option(10000, "sets that are drawn", at_least=100)
    bootstrap_seed: int = option(0, "of the draws", at_least=0)


EXAMPLE = "hdnn compare exp/hdnn_h128l10 exp/hdnn_h128l10_kd"


def main(options: Options) -> None:
    from hdnn_nnet.score.compare import compare_directories

    pair = (options.first, options.second)
    print("\n".join(compare_directories(pair, options.results, options.replications, options.bootstrap_seed)), end="")
