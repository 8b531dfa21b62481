"""Train a student network on the soft labels of a teacher, alone or with hard labels (Lu, Guo, Renals 2017, section 3).

The teacher is a model directory (ours or of Kaldi's nnet1) that is run on the fly, several of them in quotes (averaged), a
directory of stored soft labels, or a table of posteriors: Kaldi's Posterior type, or matrices of posteriors or log-posteriors.
"""

import logging
from collections.abc import Sequence
from typing import Any

import numpy as np
from torch import Tensor

from hdnn_nnet.cli import OptionParser, kaldi_bool, run
from hdnn_nnet.errors import HdnnError
from hdnn_nnet.train.criteria import KnowledgeDistillation
from hdnn_nnet.train.dataset import keep_with_targets
from hdnn_nnet.train.frames import TargetsOf
from hdnn_nnet.train.program import Training, add_training_options
from hdnn_nnet.train.soft_sources import Stored, open_source
from hdnn_nnet.train.task import Part

log = logging.getLogger(__name__)
PROGRAM = "hdnn-train-kd"


def parser() -> OptionParser:
    options = OptionParser(PROGRAM, __doc__ or "")
    options.add_argument("teacher", help="model directories, stored soft labels, or a table of posteriors")
    add_training_options(options)
    options.add_argument("--temperature", type=float, default=1.0, help="T of teacher and student")
    options.add_argument(
        "--hard-weight", type=float, default=0.0, help="q: weight of the cross-entropy with the alignment"
    )
    options.add_argument("--square-temperature", type=kaldi_bool, default=False, help="multiply the soft term by T^2")
    options.add_argument("--unlabelled-data", default="", help="data directories without alignments, in quotes")
    options.add_argument("--teacher-data", default="", help="data directories with the teacher's features, if others")
    options.add_argument("--keep-mass", type=float, default=0.999, help="share kept of full posterior matrices")
    return options


def main(argv: Sequence[str] | None = None) -> int:
    args = parser().parse_args(argv)
    if args.temperature <= 0 or args.hard_weight < 0 or not 0 < args.keep_mass <= 1:
        raise HdnnError("--temperature must be above 0, --hard-weight not negative, --keep-mass above 0 and at most 1")
    training = Training(args, args.unlabelled_data.split())
    data = args.teacher_data.split() or [args.data_train, args.data_cv, *args.unlabelled_data.split()]
    source = open_source(
        args.teacher, data, training.task.num_pdfs, args.temperature, args.keep_mass, training.device, args.precision
    )
    soft_frames = source.num_frames()
    for name, part in (("training data", training.task.train), ("cross-validation data", training.task.cv)):
        part.frames = keep_with_targets(part.frames, soft_frames, f"soft labels of the {name}")
        if isinstance(source, Stored):
            source.check(part.frames)
    labelled = sum(utt in training.task.train.labels for utt in training.task.train.frames)
    log.info("%d of %d training utterances have hard labels", labelled, len(training.task.train.frames))

    def targets(part: Part) -> TargetsOf:
        def of(utt: str) -> tuple[Any, ...]:
            labels = part.labels.get(utt)
            hard = np.full(part.frames[utt], -1, np.int64) if labels is None else labels.astype(np.int64)
            return (hard, *source.targets(utt))

        return of

    def soft(values: Sequence[Any]) -> Any | Tensor:
        return source.soft(values)

    factor = args.temperature**2 if args.square_temperature else 1.0
    criterion = KnowledgeDistillation(soft, args.hard_weight, args.temperature, factor)
    description = f"KD q={args.hard_weight:g} T={args.temperature:g}"
    training.run(criterion, targets, description, {"soft labels": source.signature()}, cv_minibatch=1024)
    return 0


if __name__ == "__main__":
    run(main, PROGRAM)
