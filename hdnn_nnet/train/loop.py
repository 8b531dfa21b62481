"""The training loop for frame-level criteria. It reads from top to bottom."""

import json
import logging
import math
import signal
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor
from tqdm import tqdm

from hdnn_nnet.atomic import write_text
from hdnn_nnet.errors import HdnnError
from hdnn_nnet.model_dir import save_model
from hdnn_nnet.nn.networks import AcousticModel
from hdnn_nnet.train.checkpoint import load_checkpoint, save_checkpoint
from hdnn_nnet.train.distributed import Job
from hdnn_nnet.train.frames import FrameShuffler
from hdnn_nnet.train.newbob import Newbob
from hdnn_nnet.train.sgd import Sgd

log = logging.getLogger(__name__)


class Criterion(Protocol):
    """A loss that is a sum over frames."""

    def __call__(self, logits: Tensor, targets: Sequence[Any]) -> tuple[Tensor, Tensor]:
        """Two scalars: the differentiable sum over the N frames of a minibatch, and how many frames are classified right."""


class Stopped(HdnnError):
    """The training was told to stop and has left a checkpoint."""


@dataclass(frozen=True)
class LoopOptions:
    """Settings of the loop that are not part of the schedule."""

    momentum: float = 0.9
    momentum_from_epoch: int = 1
    scale_rate: bool = True
    checkpoint_minutes: float = 10.0
    update: tuple[str, ...] = ("hidden", "gates", "softmax")


@dataclass
class Epoch:
    """One line of the training history; losses and accuracies are averages per frame."""

    epoch: int
    learn_rate: float
    train_loss: float
    train_accuracy: float
    cv_loss: float
    cv_accuracy: float
    accepted: bool
    seconds: float
    frames_per_second: float


@dataclass
class Progress:
    """Where a training stands; with the tensors of a checkpoint it is all that resuming needs."""

    epoch: int = 1
    step: int = 0
    train_loss: float = 0.0  #: sum over the frames of the unfinished epoch
    train_correct: float = 0.0
    seconds: float = 0.0
    history: list[dict[str, Any]] = field(default_factory=list)


def train(
    model: AcousticModel,
    criterion: Criterion,
    training: FrameShuffler,
    validation: FrameShuffler,
    schedule: Newbob,
    directory: Path,
    options: LoopOptions,
    job: Job,
    device: torch.device,
    signature: dict[str, Any],
    prepare: Callable[[], None] = lambda: None,
) -> AcousticModel:
    """Train until the schedule ends; leave the model with the lowest cross-validation loss in `directory`.

    `checkpoint.safetensors` is written after every epoch, every `checkpoint_minutes`, and on SIGTERM or SIGINT; when it
    exists the training goes on from it with the same result as an uninterrupted run. `best.safetensors` holds the best
    parameters so far (`forward --weights best.safetensors` decodes them). `prepare` is called once the checkpoint is known to
    fit, before anything else is written. `signature` describes everything that
    must not change in between.

    Raises:
        Stopped: after a signal.
        HdnnError: a checkpoint of another set-up, or a loss that never becomes finite.
    """
    path = directory / "checkpoint.safetensors"
    parameters = choose_parameters(model, options.update)
    sgd = Sgd(parameters, options.scale_rate)
    progress = Progress()

    restored = load_checkpoint(path)
    if restored is None:
        job.broadcast(list(model.state_dict().values()))
        cv_loss, cv_accuracy = evaluate(model, criterion, validation, job, device)
        if not math.isfinite(cv_loss):
            raise HdnnError("the cross-validation loss of the initial network is not finite; check the features")
        schedule.start(cv_loss)
        best = copy_state(model)
        log.info("initial network: cross-validation loss %.4f, frame accuracy %.4f", cv_loss, cv_accuracy)
    else:
        tensors, saved = restored
        if saved["signature"] != signature:
            changed = [k for k in signature if saved["signature"].get(k) != signature[k]]
            raise HdnnError(f"{path} is of another set-up ({', '.join(changed)} changed); remove it to train anew")
        model.load_state_dict(tensors["model"])
        best = {k: v.to(device) for k, v in tensors["best"].items()}
        sgd.velocity = [v.to(device) for _, v in sorted(tensors.get("velocity", {}).items())]
        progress = Progress(**saved["progress"])
        schedule.__dict__.update(saved["schedule"])
        log.info("resuming at epoch %d, step %d", progress.epoch, progress.step)

    if job.is_main:
        prepare()

    def checkpoint() -> None:
        if job.is_main:
            velocity = {f"{i:04d}": v for i, v in enumerate(sgd.velocity)}
            tensors = {"model": model.state_dict(), "best": best, "velocity": velocity}
            state = {"signature": signature, "progress": asdict(progress), "schedule": schedule.state()}
            save_checkpoint(path, tensors, state)

    writer = _tensorboard(directory) if job.is_main else None
    with stop_signals() as stop:
        while not schedule.finished:
            momentum = options.momentum if progress.epoch >= options.momentum_from_epoch else 0.0
            started = saved_at = time.monotonic()
            steps = training.steps_per_epoch(progress.epoch)
            loss_sum = torch.zeros((), dtype=torch.float64, device=device)
            correct = torch.zeros((), dtype=torch.float64, device=device)
            batches = training.epoch(progress.epoch, progress.step)
            for batch in show_progress(batches, f"epoch {progress.epoch}", steps, progress.step, job.is_main):
                if len(batch.windows):
                    logits = model.logits(batch.windows)
                    loss, right = criterion(logits, batch.targets)
                    loss.backward()
                    loss_sum += loss.detach()
                    correct += right
                job.sum_gradients(parameters)
                sgd.step(schedule.learn_rate, momentum)
                progress.step += 1
                elapsed = time.monotonic() - saved_at
                stopping = bool(stop)
                if job.world > 1 and (progress.step % 20 == 0 or progress.step == steps):
                    # All ranks must agree, else one would wait for the others' gradients for ever.
                    stopping = job.any(bool(stop), device)
                    elapsed = job.sum(elapsed, device=device)[0] / job.world
                elif job.world > 1:
                    stopping, elapsed = False, 0.0
                if stopping or elapsed > 60 * options.checkpoint_minutes:
                    started = saved_at = _collect(progress, job, started, loss_sum, correct)
                    checkpoint()
                    if stopping:
                        raise Stopped(
                            f"stopped by a signal in epoch {progress.epoch}, step {progress.step} of {steps}; "
                            "run the same command again to go on"
                        )
            started = _collect(progress, job, started, loss_sum, correct)
            checkpoint()  # the cross-validation may outlast the patience of a scheduler that wants to stop us
            frames = training.total_frames()
            cv_loss, cv_accuracy = evaluate(model, criterion, validation, job, device)
            rate = schedule.learn_rate
            accepted = schedule.judge(cv_loss)
            line = Epoch(
                progress.epoch,
                rate,
                progress.train_loss / frames,
                progress.train_correct / frames,
                cv_loss,
                cv_accuracy,
                accepted,
                progress.seconds,
                frames / progress.seconds,
            )
            log.info(
                "ITERATION %02d: TRAIN AVG.LOSS %.4f, (lrate %.6g), CROSSVAL AVG.LOSS %.4f, frame accuracy %.4f, "
                "nnet %s, %.0f frames/s",
                line.epoch,
                line.train_loss,
                rate,
                cv_loss,
                cv_accuracy,
                "accepted" if accepted else "rejected",
                line.frames_per_second,
            )
            if accepted:
                best = copy_state(model)
                if job.is_main:
                    save_model(model, directory, "best.safetensors")
            else:
                model.load_state_dict(best)
            sgd.reset()
            progress = Progress(progress.epoch + 1, history=[*progress.history, asdict(line)])
            if job.is_main:
                _record(writer, directory, line, progress.history)
            checkpoint()
    if not any(epoch["accepted"] for epoch in progress.history):
        raise HdnnError("no epoch lowered the cross-validation loss; lower --learn-rate or check the alignments")
    model.load_state_dict(best)
    if job.is_main:
        save_model(model, directory)
        (directory / "best.safetensors").unlink(missing_ok=True)
    return model


def _collect(progress: Progress, job: Job, started: float, loss: Tensor, correct: Tensor) -> float:
    """Move the sums and the time since `started` into `progress`; return the new start."""
    sums = job.sum(float(loss), float(correct), device=loss.device)
    progress.train_loss += sums[0]
    progress.train_correct += sums[1]
    loss.zero_()
    correct.zero_()
    now = time.monotonic()
    progress.seconds += now - started
    return now


@torch.no_grad()
def evaluate(
    model: AcousticModel, criterion: Criterion, frames: FrameShuffler, job: Job, device: torch.device
) -> tuple[float, float]:
    """Average loss and accuracy per frame."""
    loss = torch.zeros((), dtype=torch.float64, device=device)
    correct = torch.zeros((), dtype=torch.float64, device=device)
    for batch in frames.epoch(-1):
        if len(batch.windows):
            minibatch_loss, right = criterion(model.logits(batch.windows), batch.targets)
            loss += minibatch_loss
            correct += right
    sums = job.sum(float(loss), float(correct), device=device)
    total = frames.total_frames()
    return sums[0] / total, sums[1] / total


def show_progress(items: Iterable[Any], what: str, total: int, done: int, visible: bool) -> Iterator[Any]:
    """A bar on a terminal; in a log one line every minute."""
    if not visible:
        yield from items
    elif sys.stderr.isatty():
        yield from tqdm(items, desc=what, total=total, initial=done, unit="step", file=sys.stderr)
    else:
        last = time.monotonic()
        for number, item in enumerate(items, done + 1):
            yield item
            if time.monotonic() - last > 60:
                last = time.monotonic()
                log.info("%s: step %d of %d", what, number, total)


@contextmanager
def stop_signals() -> Iterator[list[int]]:
    """A list that becomes non-empty when a signal asks for an end, so that the loop can stop between two steps.

    SIGTERM comes from Slurm before its time limit, SIGUSR1 (soft limit s_rt) and SIGUSR2 (qsub -notify) from GridEngine.
    """
    received: list[int] = []
    caught = (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1, signal.SIGUSR2)
    previous = {s: signal.signal(s, lambda number, _: received.append(number)) for s in caught}
    try:
        yield received
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)


def choose_parameters(model: AcousticModel, update: Sequence[str]) -> list[torch.nn.Parameter]:
    """The parameters of the groups named (`all` alone: of every group); all others need no gradient from now on."""
    groups = model.parameter_groups()
    if list(update) == ["all"]:
        update = list(groups)
    unknown = [name for name in update if name not in groups]
    if unknown or not update:
        raise HdnnError(f"no parameter group {', '.join(unknown) or 'is named'}; there are {', '.join(groups)}")
    parameters = [p for name in update for p in groups[name]]
    if not parameters:
        raise HdnnError(f"{model.name} has no parameters in the group {', '.join(update)}")
    for parameter in model.parameters():
        parameter.requires_grad_(any(parameter is p for p in parameters))
    return parameters


def copy_state(model: AcousticModel) -> dict[str, Tensor]:
    return {k: v.detach().clone() for k, v in model.state_dict().items()}


def _tensorboard(directory: Path) -> Any:
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:  # a comfort, not a need
        log.warning("tensorboard is not installed: no events are written")
        return None
    return SummaryWriter(str(directory / "events"))


def _record(writer: Any, directory: Path, line: Epoch, history: list[dict[str, Any]]) -> None:
    write_text(directory / "history.json", json.dumps(history, indent=1) + "\n")
    if writer is not None:
        for name in ("train_loss", "cv_loss", "train_accuracy", "cv_accuracy", "learn_rate", "frames_per_second"):
            writer.add_scalar(name, getattr(line, name), line.epoch)
        writer.flush()
