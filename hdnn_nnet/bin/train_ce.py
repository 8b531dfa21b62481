"""Train a highway or plain deep neural network by frame-level cross-entropy on a Kaldi alignment."""

from collections.abc import Sequence

import numpy as np

from hdnn_nnet.cli import OptionParser, run
from hdnn_nnet.train.criteria import CrossEntropy
from hdnn_nnet.train.frames import TargetsOf
from hdnn_nnet.train.program import Training, add_training_options
from hdnn_nnet.train.task import Part

PROGRAM = "hdnn-train-ce"


def parser() -> OptionParser:
    options = OptionParser(PROGRAM, __doc__ or "")
    add_training_options(options)
    return options


def pdf_targets(part: Part) -> TargetsOf:
    return lambda utt: (part.labels[utt].astype(np.int64),)


def main(argv: Sequence[str] | None = None) -> int:
    args = parser().parse_args(argv)
    Training(args).run(CrossEntropy(), pdf_targets, "CE")
    return 0


if __name__ == "__main__":
    run(main, PROGRAM)
