"""The training loop for lattice criteria: iterations over shuffled utterances, as Kaldi's steps/nnet/train_mpe.sh."""

import copy
import json
import logging
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from hdnn_nnet.atomic import write_text
from hdnn_nnet.errors import HdnnError
from hdnn_nnet.kaldi.lattice import AnyLattice
from hdnn_nnet.kaldi.transitions import TransitionModel
from hdnn_nnet.model_dir import save_model
from hdnn_nnet.nn.distillation import Distillation
from hdnn_nnet.nn.loss import SoftmaxCrossEntropy
from hdnn_nnet.nn.networks import AcousticModel
from hdnn_nnet.sequence.arcs import LatticeArcs, skip_reason
from hdnn_nnet.sequence.batch import make_batch
from hdnn_nnet.sequence.objectives import SequenceOptions, SequenceResult, sequence_loss
from hdnn_nnet.sequence.sources import LatticeSource, bounded_arcs
from hdnn_nnet.train.checkpoint import load_checkpoint, save_checkpoint
from hdnn_nnet.train.columns import Targets, collect
from hdnn_nnet.train.distributed import Job
from hdnn_nnet.train.loop import Stopped, choose_parameters, show_progress, stop_signals
from hdnn_nnet.train.sgd import Sgd
from hdnn_nnet.train.soft_sources import SoftSource
from hdnn_nnet.train.task import FeatureSource

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class SequenceLoopOptions:
    """Settings of the loop.

    Attributes:
        iterations: passes over the data; each leaves `iter<N>.safetensors`.
        learn_rate: per frame, as in Kaldi: the gradient is a sum over frames and does not contain the acoustic scale.
        batch_utts: utterances of an update (Kaldi: 1), over all processes together.
        smooth_ce, smooth_kd: p, weights of the cross-entropy with the alignment and of the teacher's divergence.
        temperature: of the teacher's term.
        update: parameter groups that are trained.
        refresh: when lattices come from a decoder, whether they are those of the model at the start of the iteration (`epoch`) or
            of the model as it is (`batch`).
        max_frames: longer utterances are skipped; max_entries: size of a lattice in arcs and frames of arcs, above which it is
            pruned, then skipped.
        lattice_beam: beam that the lattices were made with, for pruning.
        max_skipped: largest share of utterances that may be skipped.
    """

    iterations: int = 4
    learn_rate: float = 1e-5
    momentum: float = 0.0
    batch_utts: int = 1
    smooth_ce: float = 0.0
    smooth_kd: float = 0.0
    temperature: float = 1.0
    update: tuple[str, ...] = ("hidden", "gates", "softmax")
    refresh: str = "epoch"
    max_frames: int = 6000
    max_entries: int = 5_000_000
    lattice_beam: float = 7.0
    max_skipped: float = 0.1
    seed: int = 777
    checkpoint_minutes: float = 10.0


@dataclass
class Corpus:
    """What the loop reads, by utterance.

    Attributes:
        utts: usable utterances in the order of the data directory.
        alignments: reference transition-ids.
        missing: utterances left out before the loop, by reason.
        soft: soft labels of the teacher; None without smoothing by it.
    """

    utts: list[str]
    features: FeatureSource
    alignments: Mapping[str, np.ndarray]
    lattices: LatticeSource
    model: TransitionModel
    soft: SoftSource | None
    missing: Counter[str]


@dataclass
class Progress:
    """Where a training stands."""

    iteration: int = 1
    step: int = 0
    seconds: float = 0.0
    sums: dict[str, float] = field(default_factory=dict)
    history: list[dict[str, Any]] = field(default_factory=list)


@dataclass
class _Loaded:
    """One rank's share of a batch, read ahead."""

    utts: list[str]
    features: list[np.ndarray]
    lattices: list[AnyLattice | None]
    soft: list[tuple[Targets, ...]]


class SequenceTrainer:
    """Trains a network on lattices; `run` is the whole training.

    Args:
        model: the seed network, trained in place.
        log_prior: (num_pdfs,) of its decoding.
        signature: what must be the same when the training is resumed.
    """

    def __init__(
        self,
        model: AcousticModel,
        log_prior: Tensor,
        corpus: Corpus,
        criterion: SequenceOptions,
        options: SequenceLoopOptions,
        directory: Path,
        job: Job,
        device: torch.device,
        signature: dict[str, Any],
    ) -> None:
        self.model, self.corpus, self.criterion, self.options = model, corpus, criterion, options
        self.directory, self.job, self.device, self.signature = directory, job, device, signature
        self.log_prior = log_prior.to(device)
        self.parameters = choose_parameters(model, options.update)
        self.sgd = Sgd(self.parameters, scale_rate=False)
        self.progress = Progress()
        #: the network as it was at the start of the iteration, where that one makes the lattices
        self.anchor: AcousticModel | None = None
        if corpus.lattices.needs_loglikes and options.refresh == "epoch":
            self.anchor = copy.deepcopy(model).requires_grad_(False)
        self.path = directory / "checkpoint.safetensors"

    def _checkpoint(self) -> None:
        if self.job.is_main:
            velocity = {f"{i:04d}": v for i, v in enumerate(self.sgd.velocity)}
            tensors = {"model": self.model.state_dict(), "velocity": velocity}
            if self.anchor is not None:
                tensors["anchor"] = self.anchor.state_dict()
            save_checkpoint(self.path, tensors, {"signature": self.signature, "progress": asdict(self.progress)})

    def _restore(self) -> None:
        restored = load_checkpoint(self.path)
        if restored is None:
            return
        tensors, saved = restored
        if saved["signature"] != self.signature:
            changed = [k for k in self.signature if saved["signature"].get(k) != self.signature[k]]
            raise HdnnError(f"{self.path} is of another set-up ({', '.join(changed)} changed); remove it to train anew")
        self.model.load_state_dict(tensors["model"])
        if self.anchor is not None:
            self.anchor.load_state_dict(tensors["anchor"])
        self.sgd.velocity = [v.to(self.device) for _, v in sorted(tensors.get("velocity", {}).items())]
        self.progress = Progress(**saved["progress"])
        log.info("resuming at iteration %d, step %d", self.progress.iteration, self.progress.step)

    def _batches(self, iteration: int) -> list[list[str]]:
        order = np.random.default_rng((self.options.seed, iteration)).permutation(len(self.corpus.utts))
        utts = [self.corpus.utts[i] for i in order]
        size = self.options.batch_utts
        return [utts[i : i + size] for i in range(0, len(utts), size)]

    def run(self, prepare: Callable[[], None] = lambda: None) -> None:
        """Train until the last iteration; `final.safetensors` is then the last one. Resumes from a checkpoint.

        Raises:
            Stopped: after a signal.
            HdnnError: a checkpoint of another set-up, a diverged network, or too many utterances skipped.
        """
        self._restore()
        if self.job.is_main:
            prepare()
        with stop_signals() as stop:
            while self.progress.iteration <= self.options.iterations:
                self._iteration(stop)
        if self.job.is_main:
            save_model(self.model, self.directory)

    def _iteration(self, stop: list[int]) -> None:
        progress, options, job = self.progress, self.options, self.job
        batches = self._batches(progress.iteration)
        started = saved_at = time.monotonic()
        sums: defaultdict[str, float] = defaultdict(float)
        skipped: Counter[str] = Counter()

        def collect_sums() -> None:
            nonlocal started
            values = job.sum(*(sums[n] for n in _NAMES), *(skipped[r] for r in _REASONS), device=self.device)
            for name, value in zip((*_NAMES, *_REASONS), values, strict=True):
                progress.sums[name] = progress.sums.get(name, 0.0) + value
            sums.clear()
            skipped.clear()
            now = time.monotonic()
            progress.seconds += now - started
            started = now

        loaded = self._read_ahead(batches[progress.step :])
        what = f"iteration {progress.iteration}"
        for batch in show_progress(loaded, what, len(batches), progress.step, job.is_main):
            self._update(batch, sums, skipped)
            progress.step += 1
            elapsed, stopping = time.monotonic() - saved_at, bool(stop)
            if job.world > 1:
                # All ranks must agree, else one would wait for the others' gradients for ever.
                stopping, elapsed = False, 0.0
                if progress.step % 20 == 0 or progress.step == len(batches):
                    stopping = job.any(bool(stop), self.device)
                    elapsed = job.sum(time.monotonic() - saved_at, device=self.device)[0] / job.world
            if stopping or elapsed > 60 * options.checkpoint_minutes:
                collect_sums()
                saved_at = time.monotonic()
                self._checkpoint()
                if stopping:
                    raise Stopped(
                        f"stopped by a signal in {what}, step {progress.step} of {len(batches)}; "
                        "run the same command again to go on"
                    )
        collect_sums()
        self._report()
        if self.anchor is not None:
            self.anchor.load_state_dict(self.model.state_dict())
        self.sgd.reset()
        self.progress = Progress(progress.iteration + 1, history=progress.history)
        self._checkpoint()

    def _report(self) -> None:
        """Log an iteration as nnet-train-mpe-sequential does, and keep its figures."""
        progress, sums = self.progress, self.progress.sums
        frames, done = sums["frames"], sums["utterances"]
        lost = len(self.corpus.utts) - int(done)
        skipped = Counter({reason: int(sums[reason]) for reason in _REASONS}) + self.corpus.missing
        total = len(self.corpus.utts) + sum(self.corpus.missing.values())
        if not frames or lost + sum(self.corpus.missing.values()) > self.options.max_skipped * total:
            reasons = ", ".join(f"{n} {why}" for why, n in skipped.items())
            raise HdnnError(
                f"{total - int(done)} of {total} utterances were skipped ({reasons}); make the lattices again"
            )
        line = {
            "iteration": progress.iteration,
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
        progress.history.append(line)
        log.info("Done %d files, %d skipped %s", done, total - int(done), dict(skipped) or "")
        if self.criterion.criterion == "mmi":
            log.info(
                "ITERATION %d: Overall MMI objective/frame is %.6f over %d frames; "
                "average reference posterior %.4f, %d frames dropped",
                progress.iteration, line["objective"], frames, line["reference_posterior"], line["dropped_frames"],
            )  # fmt: skip
        else:
            log.info(
                "ITERATION %d: Overall average frame-accuracy is %.6f over %d frames",
                progress.iteration,
                line["objective"],
                frames,
            )
        log.info(
            "per frame: log of the summed path scores %.4f, |gradient| %.4f, smoothing term %.4f; %.0f frames/s",
            line["log_total"], line["gradient"], line["smoothing"], line["frames_per_second"],
        )  # fmt: skip
        if self.job.is_main:
            save_model(self.model, self.directory, f"iter{progress.iteration}.safetensors")
            write_text(self.directory / "history_sequence.json", json.dumps(progress.history, indent=1) + "\n")

    def _read_ahead(self, batches: Sequence[Sequence[str]]) -> Iterator[_Loaded]:
        """This rank's share of every batch; the next one is read while the network works."""
        with ThreadPoolExecutor(1) as reader:
            pending = [reader.submit(self._load, b) for b in batches[:1]]
            for number in range(len(batches)):
                current = pending.pop().result()
                if number + 1 < len(batches):
                    pending.append(reader.submit(self._load, batches[number + 1]))
                yield current

    def _load(self, batch: Sequence[str]) -> _Loaded:
        corpus = self.corpus
        utts = list(batch[self.job.rank :: self.job.world])
        stored = [] if corpus.lattices.needs_loglikes else corpus.lattices.lattices(utts, [])
        soft = [corpus.soft.targets(utt) for utt in utts] if corpus.soft is not None else []
        return _Loaded(utts, [corpus.features[utt] for utt in utts], stored, soft)

    @torch.no_grad()
    def _decode(self, windows: Sequence[Tensor], utts: Sequence[str]) -> list[AnyLattice | None]:
        """Lattices of the model as it is, or as it was at the start of the iteration."""
        network = self.anchor if self.anchor is not None else self.model
        values = [(torch.log_softmax(network.logits(w), 1) - self.log_prior).cpu().numpy() for w in windows]
        return self.corpus.lattices.lattices(utts, values)

    def _update(self, loaded: _Loaded, sums: defaultdict[str, float], skipped: Counter[str]) -> None:
        """One step on this rank's share of a batch."""
        corpus = self.corpus
        features = [torch.from_numpy(f).to(self.device) for f in loaded.features]
        windows = [self.model.splice(self.model.normalise(f)) for f in features]
        lattices = self._decode(windows, loaded.utts) if corpus.lattices.needs_loglikes else loaded.lattices
        kept: list[int] = []
        arcs: list[LatticeArcs] = []
        for number, (utt, lattice) in enumerate(zip(loaded.utts, lattices, strict=True)):
            if lattice is None:
                skipped["without lattice"] += 1
                continue
            found = bounded_arcs(
                lattice, corpus.model, utt, self.options.max_entries, self.options.lattice_beam,
                self.criterion.acoustic_scale, skipped,
            )  # fmt: skip
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
        if kept:
            result, smoothing = self._backward(
                torch.cat([windows[i] for i in kept]),
                arcs,
                [corpus.alignments[loaded.utts[i]] for i in kept],
                [loaded.soft[i] for i in kept] if corpus.soft is not None else [],
            )
            sums["utterances"] += len(kept)
            sums["frames"] += int(result.frames.sum())
            sums["objective"] += float(result.objective.sum())
            sums["log_total"] += float(result.log_total.sum())
            sums["gradient"] += float(result.gradient.abs().sum())
            sums["smoothing"] += smoothing
            sums["dropped"] += int(result.dropped.sum())
            sums["reference_posterior"] += float(result.reference_posterior.sum())
        self.job.sum_gradients(self.parameters)
        self.sgd.step(self.options.learn_rate, self.options.momentum)

    def _backward(
        self,
        windows: Tensor,
        arcs: Sequence[LatticeArcs],
        alignments: Sequence[np.ndarray],
        soft: Sequence[tuple[Targets, ...]],
    ) -> tuple[SequenceResult, float]:
        """Gradients of the criterion and of what smooths it; returns values of both."""
        options = self.options
        pdfs, batch = make_batch(arcs, alignments, self.corpus.model).to(self.device).used_pdfs()
        smoothing = torch.zeros((), dtype=torch.float64, device=self.device)
        if not options.smooth_ce and not options.smooth_kd:
            # Softmax and all other outputs do not matter: the objective ignores a constant per frame.
            loss, result = sequence_loss(self.model.logits(windows, pdfs) - self.log_prior[pdfs], batch, self.criterion)
            loss.backward()
            return result, 0.0
        logits = self.model.logits(windows)
        loss, result = sequence_loss(logits[:, pdfs] - self.log_prior[pdfs], batch, self.criterion)
        if options.smooth_ce:
            labels = self.corpus.model.tid_to_pdf[np.concatenate(alignments)].astype(np.int64)
            term, _ = SoftmaxCrossEntropy.apply(logits, torch.from_numpy(labels).to(self.device))
            smoothing = smoothing + options.smooth_ce * term
        if options.smooth_kd:
            assert self.corpus.soft is not None
            columns = [collect(column, self.device) for column in zip(*soft, strict=True)]
            every = torch.arange(len(windows), device=self.device)
            values = self.corpus.soft.soft([column.rows(every) for column in columns])
            term, _ = Distillation.apply(logits, values, None, 0.0, options.temperature, 1.0)
            smoothing = smoothing + options.smooth_kd * term
        (loss + smoothing).backward()
        return result, float(smoothing.detach())


#: sums over the frames of an iteration
_NAMES = ("utterances", "frames", "objective", "log_total", "gradient", "smoothing", "dropped", "reference_posterior")
#: why an utterance was skipped, or pruned
_REASONS = ("without lattice", "lattice too large", "of another length or too long", "pruned (not skipped)")
