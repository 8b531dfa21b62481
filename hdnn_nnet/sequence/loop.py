"""The training loop for lattice criteria: iterations over shuffled utterances, as Kaldi's steps/nnet/train_mpe.sh."""

import copy
import logging
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from hdnn_nnet.device.transfer import upload, upload_all
from hdnn_nnet.errors import EmptyLatticeError, HdnnError
from hdnn_nnet.feats.source import FeatureSource
from hdnn_nnet.kaldi.transitions import TransitionModel
from hdnn_nnet.lattice.arcs import LatticeArcs, skip_reason
from hdnn_nnet.lattice.types import AnyLattice
from hdnn_nnet.nn.distillation import Distillation
from hdnn_nnet.nn.losses import SoftmaxCrossEntropy
from hdnn_nnet.nn.model_dir import save_model
from hdnn_nnet.nn.networks import AcousticModel, choose_parameters
from hdnn_nnet.sequence.batch import make_batch
from hdnn_nnet.sequence.objectives import SequenceResult, sequence_loss
from hdnn_nnet.sequence.options import SequenceOptions, SequenceUpdates
from hdnn_nnet.sequence.sources import LatticeSource, bounded_arcs
from hdnn_nnet.train.columns import Rows, Targets, collect
from hdnn_nnet.train.run import Run, Snapshot
from hdnn_nnet.train.sgd import Sgd
from hdnn_nnet.train.soft_sources import SoftSource

log = logging.getLogger(__name__)

#: sums over the frames of an iteration
_VALUES = ("utterances", "frames", "objective", "log_total", "gradient", "smoothing", "dropped", "reference_posterior")
#: why an utterance was skipped, or pruned
_REASONS = (
    "without lattice", "with an empty lattice", "lattice too large", "of another length or too long", "pruned (not skipped)",
)  # fmt: skip
#: what `SequenceTrainer` collects in a Run
SUMS = (*_VALUES, *_REASONS)


@dataclass
class Corpus:
    """What the loop reads, by utterance.

    Attributes:
        utts: usable utterances in the order of the data directory.
        alignments: reference transition-ids.
        missing: utterances left out before the loop, by reason.
        soft: soft labels of the teacher; None without smoothing by it.
        refresh: when lattices come from a decoder, whether they are those of the model at the start of the iteration (`epoch`)
            or of the model as it is (`batch`).
        lattice_beam: beam that the lattices were made with, for pruning.
    """

    utts: list[str]
    features: FeatureSource
    alignments: Mapping[str, np.ndarray]
    lattices: LatticeSource
    model: TransitionModel
    soft: SoftSource | None
    missing: Counter[str]
    refresh: str
    lattice_beam: float


@dataclass
class Loaded:
    """One rank's share of a batch, read ahead."""

    utts: list[str]
    features: list[np.ndarray]
    lattices: list[AnyLattice | None]
    soft: list[tuple[Targets, ...]]


class SequenceTrainer:
    """Trains a network on lattices; `train` is the whole training.

    Args:
        model: the seed network, trained in place.
        log_prior: (num_pdfs,) of its decoding.
    """

    def __init__(
        self,
        model: AcousticModel,
        log_prior: Tensor,
        corpus: Corpus,
        criterion: SequenceOptions,
        options: SequenceUpdates,
        run: Run,
        seed: int,
        temperature: float = 1.0,
    ) -> None:
        self.model, self.corpus, self.criterion, self.options = model, corpus, criterion, options
        self.run, self.device, self.seed, self.temperature = run, run.device, seed, temperature
        self.log_prior = log_prior.to(run.device)
        chosen = choose_parameters(model, options.update)
        self.sgd = Sgd(chosen, scale_rate=False, rates=model.rates_of(chosen))
        #: the network as it was at the start of the iteration, where that one makes the lattices
        self.anchor: AcousticModel | None = None
        if corpus.lattices.needs_loglikes and corpus.refresh == "epoch":
            self.anchor = copy.deepcopy(model).requires_grad_(False)

    def train(self, prepare: Callable[[], None] = lambda: None) -> None:
        """Train until the last iteration; `final.safetensors` is then the last one. Resumes from a checkpoint.

        Raises:
            Stopped: after a signal.
            HdnnError: a checkpoint of another set-up, a diverged network, or too many utterances skipped.
        """
        run, options = self.run, self.options
        self._restore()
        if run.finished(run.progress.epoch > options.num_iters):
            return
        run.snapshot = self._snapshot
        if run.is_main:
            prepare()
        with run.stoppable():
            while run.progress.epoch <= options.num_iters:
                batches = self._batches(run.progress.epoch)
                self.update(run.epoch(self.read_ahead(batches[run.progress.step :]), len(batches)))
                line = self._report()
                if self.anchor is not None:
                    self.anchor.load_state_dict(self.model.state_dict())
                self.sgd.reset()
                run.end_epoch(line)
        if run.is_main:
            save_model(self.model, run.directory)

    def update(self, batches: Iterable[Loaded]) -> None:
        """An update for every batch."""
        for batch in batches:
            self._gradients(batch)
            self.run.ranks.sum_gradients(self.sgd.parameters)
            self.sgd.step(self.options.learn_rate, self.options.momentum)
            self.run.tick()

    def _snapshot(self) -> Snapshot:
        tensors = {"model": self.model.state_dict(), "velocity": self.sgd.state()}
        if self.anchor is not None:
            tensors["anchor"] = self.anchor.state_dict()
        return Snapshot(tensors, {})

    def _restore(self) -> None:
        restored = self.run.restore()
        if restored is None:
            return
        self.model.load_state_dict(restored.tensors["model"])
        if self.anchor is not None:
            self.anchor.load_state_dict(restored.tensors["anchor"])
        self.sgd.load(restored.tensors.get("velocity", {}), self.device)

    def _batches(self, iteration: int) -> list[list[str]]:
        order = np.random.default_rng((self.seed, iteration)).permutation(len(self.corpus.utts))
        utts = [self.corpus.utts[i] for i in order]
        size = self.options.batch_utts
        return [utts[i : i + size] for i in range(0, len(utts), size)]

    def _report(self) -> dict[str, Any]:
        """The iteration's line of history, logged as nnet-train-mpe-sequential does; the network as it is now is kept."""
        progress, sums = self.run.progress, self.run.progress.sums
        frames, done = sums["frames"], sums["utterances"]
        lost = len(self.corpus.utts) - int(done)
        skipped = Counter({reason: int(sums[reason]) for reason in _REASONS}) + self.corpus.missing
        total = len(self.corpus.utts) + sum(self.corpus.missing.values())
        if not frames or lost + sum(self.corpus.missing.values()) > self.options.max_skipped * total:
            reasons = ", ".join(f"{n} {why}" for why, n in skipped.items())
            raise HdnnError(
                f"{total - int(done)} of {total} utterances were skipped ({reasons}); regenerate the lattices"
            )
        line = {
            "iteration": progress.epoch,
            "learn_rate": self.options.learn_rate,
            "utterances": int(done),
            "frames": int(frames),
            "objective": sums["objective"] / frames,
            "log_total": sums["log_total"] / frames,
            "gradient": sums["gradient"] / frames,
            "smoothing": sums["smoothing"] / frames,
            "dropped_frames": int(sums["dropped"]),
            "reference_posterior": sums["reference_posterior"] / frames,
            "skipped": dict(skipped),
            "seconds": progress.seconds,
            "frames_per_second": frames / progress.seconds,
        }
        log.info("Done %d files, %d skipped %s", done, total - int(done), dict(skipped) or "")
        if self.criterion.criterion == "mmi":
            log.info(
                "ITERATION %d: Overall MMI objective/frame is %.6f over %d frames; "
                "average reference posterior %.4f, %d frames dropped",
                progress.epoch, line["objective"], frames, line["reference_posterior"], line["dropped_frames"],
            )  # fmt: skip
        else:
            text = "ITERATION %d: Overall average frame-accuracy is %.6f over %d frames"
            log.info(text, progress.epoch, line["objective"], frames)
        log.info(
            "per frame: log of the summed path scores %.4f, |gradient| %.4f, smoothing term %.4f; %.0f frames/s",
            line["log_total"], line["gradient"], line["smoothing"], line["frames_per_second"],
        )  # fmt: skip
        if self.run.is_main:
            save_model(self.model, self.run.directory, f"iter{progress.epoch}.safetensors")
        return line

    def read_ahead(self, batches: Sequence[Sequence[str]]) -> Iterator[Loaded]:
        """This rank's share of every batch; the next one is read while the network works."""
        with ThreadPoolExecutor(1) as reader:
            pending = [reader.submit(self.load, b) for b in batches[:1]]
            for number in range(len(batches)):
                current = pending.pop().result()
                if number + 1 < len(batches):
                    pending.append(reader.submit(self.load, batches[number + 1]))
                yield current

    def load(self, batch: Sequence[str]) -> Loaded:
        """This rank's share of a batch, from disk."""
        corpus = self.corpus
        utts = list(batch[self.run.ranks.rank :: self.run.ranks.world])
        stored = [] if corpus.lattices.needs_loglikes else corpus.lattices.lattices(utts, [])
        soft = [corpus.soft.targets(utt) for utt in utts] if corpus.soft is not None else []
        return Loaded(utts, [corpus.features[utt] for utt in utts], stored, soft)

    @torch.no_grad()
    def _decode(self, windows: Sequence[Tensor], utts: Sequence[str]) -> list[AnyLattice | None]:
        """Lattices of the model as it is, or as it was at the start of the iteration."""
        network = self.anchor if self.anchor is not None else self.model
        values = [(torch.log_softmax(network.logits(w), 1) - self.log_prior).cpu().numpy() for w in windows]
        return self.corpus.lattices.lattices(utts, values)

    def _usable(self, loaded: Loaded, lattices: Sequence[AnyLattice | None]) -> tuple[list[int], list[LatticeArcs]]:
        """Which utterances of a share can be trained on, and their arcs; the others are counted."""
        corpus = self.corpus
        kept: list[int] = []
        arcs: list[LatticeArcs] = []
        skipped: Counter[str] = Counter()
        for number, (utt, lattice) in enumerate(zip(loaded.utts, lattices, strict=True)):
            if lattice is None:
                skipped["without lattice"] += 1
                continue
            try:
                found = bounded_arcs(
                    lattice, corpus.model, utt, self.options.max_entries, corpus.lattice_beam,
                    self.criterion.acoustic_scale, skipped,
                )  # fmt: skip
            except EmptyLatticeError as error:
                log.warning("%s", error)
                skipped["with an empty lattice"] += 1
                continue
            if found is None:
                continue
            frames = len(loaded.features[number])
            reason = skip_reason(frames, found.num_frames, len(corpus.alignments[utt]), self.options.max_frames)
            if reason is not None:
                log.warning("utterance %s is skipped: %s", utt, reason)
                skipped["of another length or too long"] += 1
                continue
            kept.append(number)
            arcs.append(found)
        self.run.add(**skipped)
        return kept, arcs

    def _gradients(self, loaded: Loaded) -> None:
        """Gradients of this rank's share of a batch."""
        corpus = self.corpus
        features = upload_all([torch.from_numpy(f) for f in loaded.features], self.device)
        windows = [self.model.windows(f) for f in features]
        lattices = self._decode(windows, loaded.utts) if corpus.lattices.needs_loglikes else loaded.lattices
        kept, arcs = self._usable(loaded, lattices)
        if not kept:
            return
        result, smoothing = self._backward(
            torch.cat([windows[i] for i in kept]),
            arcs,
            [corpus.alignments[loaded.utts[i]] for i in kept],
            [loaded.soft[i] for i in kept] if corpus.soft is not None else [],
        )
        self.run.add(
            utterances=len(kept),
            frames=result.frames.sum(),
            objective=result.objective.sum(),
            log_total=result.log_total.sum(),
            gradient=result.gradient.abs().sum(),
            smoothing=smoothing,
            dropped=result.dropped.sum(),
            reference_posterior=result.reference_posterior.sum(),
        )

    def _backward(
        self,
        windows: Tensor,
        arcs: Sequence[LatticeArcs],
        alignments: Sequence[np.ndarray],
        soft: Sequence[tuple[Targets, ...]],
    ) -> tuple[SequenceResult, Tensor]:
        """Gradients of the criterion and of what smooths it; returns values of both."""
        options = self.options
        used, batch = make_batch(arcs, alignments, self.corpus.model).used_pdfs()
        (pdfs,), batch = upload_all([used], self.device), batch.to(self.device)
        smoothing = torch.zeros((), dtype=torch.float64, device=self.device)
        if not options.smooth_ce and not options.smooth_kd:
            # Softmax and all other outputs do not matter: the objective ignores a constant per frame.
            loss, result = sequence_loss(self.model.logits(windows, pdfs) - self.log_prior[pdfs], batch, self.criterion)
            loss.backward()
            return result, smoothing
        logits = self.model.logits(windows)
        loss, result = sequence_loss(logits[:, pdfs] - self.log_prior[pdfs], batch, self.criterion)
        if options.smooth_ce:
            labels = self.corpus.model.tid_to_pdf[np.concatenate(alignments)].astype(np.int64)
            term, _ = SoftmaxCrossEntropy.apply(logits, upload(labels, self.device))
            smoothing = smoothing + options.smooth_ce * term
        if options.smooth_kd:
            assert self.corpus.soft is not None
            columns = [collect(column, self.device) for column in zip(*soft, strict=True)]
            values = self.corpus.soft.soft(Rows.make(np.arange(len(windows)), self.device).of(columns))
            term, _ = Distillation.apply(logits, values, None, 0.0, self.temperature, 1.0)
            smoothing = smoothing + options.smooth_kd * term
        (loss + smoothing).backward()
        return result, smoothing.detach()
