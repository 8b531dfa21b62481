"""Distillation: a frame-level training on soft labels, with or without hard ones."""

import logging
from typing import Any

import numpy as np

from hdnn_nnet.kaldi.copies import stand_ins
from hdnn_nnet.options import flatten
from hdnn_nnet.text import words
from hdnn_nnet.train.criteria import KnowledgeDistillation
from hdnn_nnet.train.data import LabelledData
from hdnn_nnet.train.dataset import keep_with_targets
from hdnn_nnet.train.frames import TargetsOf
from hdnn_nnet.train.options import DistillationOptions
from hdnn_nnet.train.program import Training
from hdnn_nnet.train.soft_sources import open_source, require_same_tree, warn_of_disagreement

log = logging.getLogger(__name__)


def train_kd(options: DistillationOptions) -> None:
    """Train a student and leave its model directory.

    Of a copy (utt2uniq) that is as long as its original the teacher hears the original.

    Raises:
        HdnnError: as `Training`, or soft labels that do not fit the alignment or the data.
    """
    unlabelled = words(options.unlabelled_data)
    training = Training(options.training, unlabelled)
    own_data = [options.training.data_train, options.training.data_cv, *unlabelled]
    require_same_tree(options.teacher, options.training.ali_train)
    source = open_source(
        options.teacher, own_data, training.data.num_pdfs, options.soft, training.device,
        options.training.compute.precision,
    )  # fmt: skip
    taught: dict[str, str] = {}  # copy -> the utterance of which the teacher speaks
    for name, part in (("training data", training.data.train), ("cross-validation data", training.data.cv)):
        source.fit(part.frames)
        taken = stand_ins(part.frames, source.num_frames, part.originals)
        lengths = {**source.num_frames, **{copy: source.num_frames[utt] for copy, utt in taken.items()}}
        part.frames = keep_with_targets(part.frames, lengths, f"soft labels of the {name}")
        source.check(taken.get(utt, utt) for utt in part.frames)
        taught |= taken
    if taught:
        log.info("%d copies have the soft labels of their originals", len(taught))
    warn_of_disagreement(source, training.data.train.labels)
    labelled = sum(utt in training.data.train.labels for utt in training.data.train.frames)
    log.info("%d of %d training utterances have hard labels", labelled, len(training.data.train.frames))

    def targets(part: LabelledData) -> TargetsOf:
        def of(utt: str) -> tuple[Any, ...]:
            labels = part.labels.get(utt)
            hard = np.full(part.frames[utt], -1, np.int64) if labels is None else labels.astype(np.int64)
            return (hard, *source.targets(taught.get(utt, utt)))

        return of

    temperature = options.soft.temperature
    factor = temperature**2 if options.square_temperature else 1.0
    criterion = KnowledgeDistillation(source.soft, options.hard_weight, temperature, factor)
    description = f"KD q={options.hard_weight:g} T={temperature:g}"
    signature = flatten(options, free=False) | {"soft labels": source.signature()}
    training.run(criterion, targets, description, signature, cv_minibatch=1024, more_columns=source.columns)
