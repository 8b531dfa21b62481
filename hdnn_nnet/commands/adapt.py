"""Adapt parameters of a network to the speakers of a data directory, one after the other (Lu, Guo, Renals 2017, section 4).

Writes a file for every adapted speaker, and `part.JOB.json` with what became of each; `hdnn collect adapt` makes the index.
"""

from hdnn_nnet.adapt.options import Adaptation

Options = Adaptation
EXAMPLE = "hdnn adapt --labels soft data/dev/split4/1 exp/hdnn exp/teacher exp/hdnn/adapt_dev"
WRITES = "dir"


def main(options: Adaptation) -> None:
    from hdnn_nnet.adapt.program import adapt

    adapt(options)
