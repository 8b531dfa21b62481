"""What the trainings do, step by step on made-up data, on any device: a function gives the frames of every step."""

import itertools
import tempfile
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.support.corpus import FEAT_DIM, Corpus, on_disk
from hdnn_nnet.adapt.labels import Labelled
from hdnn_nnet.adapt.loop import adapt_speaker
from hdnn_nnet.adapt.options import AdaptOptions
from hdnn_nnet.adapt.speaker import read_speaker
from hdnn_nnet.device.precision import choose_dtype
from hdnn_nnet.feats.source import FeatureSource
from hdnn_nnet.nn.config import NetworkConfig, parse_name
from hdnn_nnet.nn.forward import forward_all
from hdnn_nnet.nn.model_dir import save_model
from hdnn_nnet.nn.networks import AcousticModel, build_network, choose_parameters
from hdnn_nnet.sequence.loop import SUMS as SEQUENCE_SUMS
from hdnn_nnet.sequence.loop import Corpus as Lattices
from hdnn_nnet.sequence.loop import SequenceTrainer
from hdnn_nnet.sequence.options import SequenceOptions, SequenceUpdates
from hdnn_nnet.sequence.sources import StoredLattices
from hdnn_nnet.train.criteria import Criterion, CrossEntropy, KnowledgeDistillation
from hdnn_nnet.train.distributed import Ranks
from hdnn_nnet.train.frames import FrameShuffler
from hdnn_nnet.train.loop import SUMS
from hdnn_nnet.train.run import Run
from hdnn_nnet.train.sgd import Sgd
from hdnn_nnet.train.soft_sources import TeacherSource, open_soft_labels
from hdnn_nnet.train.step import Step
from hdnn_nnet.train.teacher import Teachers

SPLICE, RATE = 5, 1e-7
#: how often the corpus is listed: no measurement comes to the end of an epoch
TIMES = 400
KINDS = ("CE", "KD, stored", "KD, on the fly")


@dataclass
class Work:
    """Steps of every kind over one corpus.

    Attributes:
        precision: of matrix products.
        block_frames: of a block: enough for the next one to be read meanwhile, little enough to be read before the clock starts.
    """

    corpus: Corpus
    pdfs: int
    precision: str
    block_frames: int = 1 << 17

    def network(self, name: str, device: torch.device) -> AcousticModel:
        arch, width, depth = parse_name(name)
        model = build_network(NetworkConfig(arch, FEAT_DIM, self.pdfs, width, depth, SPLICE, SPLICE)).to(device)
        # `meta` has no processor: as on a GPU
        model.compute_dtype = torch.bfloat16 if device.type == "meta" else choose_dtype(self.precision, device)
        return model

    @cached_property
    def features(self) -> FeatureSource:
        return FeatureSource([str(self.corpus.folder)], "", "")

    @cached_property
    def folder(self) -> tempfile.TemporaryDirectory:
        """Where runs would write their checkpoints."""
        return tempfile.TemporaryDirectory(prefix="bench.")

    def run(self, device: torch.device, sums: tuple[str, ...]) -> Run:
        return Run(Path(self.folder.name), Ranks(), device, {}, 1e9, sums)

    def teacher(self, name: str) -> str:
        """The directory of a random network."""
        directory = self.corpus.folder / name
        if not directory.is_dir():
            save_model(self.network(name, torch.device("cpu")), directory)
        return str(directory)

    def frames(
        self, network: str, kind: str, size: int, device: torch.device, teacher: str = "", train: bool = True,
        record: bool = True,
    ) -> Iterator[int]:  # fmt: skip
        """Cross-entropy or distillation with `size` frames a minibatch; not `train`: minibatches are only made."""
        model = self.network(network, device)
        pdf_of = self.corpus.model.tid_to_pdf
        labels = {u: pdf_of[ids].astype(np.int64) for u, ids in self.corpus.alignments.items()}
        criterion: Criterion = CrossEntropy()
        source = None
        if kind == "KD, stored":
            source = open_soft_labels(f"scp:{self.corpus.folder}/post.scp", self.pdfs)
        elif kind == "KD, on the fly":
            teachers = Teachers([self.teacher(teacher)], [str(self.corpus.folder)], device, self.precision)
            source = TeacherSource(teachers, 1.0, 0.99)
        if source is not None:
            criterion = KnowledgeDistillation(source.soft)

        def targets(name: str) -> tuple[Any, ...]:
            utt = on_disk(name)
            return (labels[utt], *(source.targets(utt) if source is not None else ()))

        normalise = model.array_normaliser() if device.type != "meta" else np.asarray
        shuffler = FrameShuffler(
            self.corpus.listed(TIMES), lambda name: normalise(self.features[on_disk(name)]), targets, SPLICE, SPLICE, size,
            block_frames=self.block_frames, device=device,
        )  # fmt: skip
        step = Step(model, criterion, Sgd(list(model.parameters())), RATE, 0.9, self.run(device, SUMS), record)
        for batch in shuffler.epoch(1):
            if train:
                step(batch)
            yield len(batch.windows)

    def sequences(
        self, network: str, engine: str, script: str, alignments: dict[str, np.ndarray], size: int, device: torch.device,
        train: bool = True,
    ) -> Iterator[int]:  # fmt: skip
        """Lattice sMBR with `size` utterances a batch; not `train`: features and lattices are only read."""
        names, model = self.corpus.names, self.network(network, device)
        lattices = Lattices(
            names, self.features, alignments, StoredLattices(script), self.corpus.model, None, Counter(), "epoch", 8.0
        )
        trainer = SequenceTrainer(
            model, torch.zeros(self.pdfs), lattices, SequenceOptions(silence_phones=(1,), engine=engine),
            SequenceUpdates(batch_utts=size, learn_rate=RATE), self.run(device, SEQUENCE_SUMS), 0,
        )  # fmt: skip
        batches = [[names[(first + i) % len(names)] for i in range(size)] for first in range(0, 10_000 * size, size)]
        for loaded in trainer.read_ahead(batches):
            if train:
                trainer.update([loaded])
            yield sum(len(f) for f in loaded.features)

    def forward(self, network: str, device: torch.device) -> Iterator[int]:
        """Log-likelihoods in the memory of this process, as the program `hdnn forward` has them before it writes."""
        model, prior = self.network(network, device), torch.zeros(self.pdfs, device=device)
        cycle = ((name, self.features[name]) for name in itertools.cycle(self.corpus.names))
        for _, matrix in forward_all(model, cycle, "loglikes", prior, 1024):
            yield len(matrix)

    def adapt(self, network: str, device: torch.device) -> Iterator[int]:
        """Adaptation of the gates to speakers of 20 utterances; a step is a speaker."""
        model = self.network(network, device)
        moving = {id(p) for p in choose_parameters(model, ["gates"])}
        parameters = {name: p for name, p in model.named_parameters() if id(p) in moving}
        base = {name: p.detach().clone() for name, p in parameters.items()}
        options, labels = AdaptOptions(), _Labels(self.corpus)
        names = self.corpus.names[:20]
        while True:
            data = read_speaker(
                "speaker", names, self.features.__getitem__, labels, model, options.held_out, options.seed
            )
            adapt_speaker(model, parameters, base, labels.criterion, "speaker", data, options)
            yield options.iters * len(data.train)


class _Labels:
    """The alignment as what speakers are adapted to."""

    def __init__(self, corpus: Corpus) -> None:
        self.corpus, self.description = corpus, "CE"
        self.criterion: Criterion = CrossEntropy()

    def meet(self, features: FeatureSource) -> None:
        """All lengths are those of the features."""

    def get(self, utt: str) -> Labelled:
        pdfs = self.corpus.model.tid_to_pdf[self.corpus.alignments[utt]].astype(np.int64)
        return Labelled((pdfs,), np.ones(len(pdfs), np.float32))
