"""The training loop for frame-level criteria. It reads from top to bottom."""

import logging
import math
from collections.abc import Callable

import torch
from torch import Tensor

from hdnn_nnet.errors import HdnnError
from hdnn_nnet.nn.model_dir import save_model
from hdnn_nnet.nn.networks import AcousticModel, choose_parameters
from hdnn_nnet.train.criteria import Criterion
from hdnn_nnet.train.frames import FrameShuffler
from hdnn_nnet.train.newbob import Newbob
from hdnn_nnet.train.options import UpdateOptions
from hdnn_nnet.train.run import Run, Snapshot
from hdnn_nnet.train.sgd import Sgd
from hdnn_nnet.train.step import Step

log = logging.getLogger(__name__)
#: what `train` collects in a Run
SUMS = ("loss", "correct")


def train(
    model: AcousticModel,
    criterion: Criterion,
    training: FrameShuffler,
    validation: FrameShuffler,
    schedule: Newbob,
    options: UpdateOptions,
    run: Run,
    prepare: Callable[[], None] = lambda: None,
) -> None:
    """Train until the schedule ends; leave the model with the lowest cross-validation loss in the run's directory.

    `best.safetensors` holds the best parameters so far (`hdnn forward --weights best.safetensors` decodes them). `prepare`
    is called once the checkpoint is known to fit, before anything else is written.

    Raises:
        Stopped: after a signal.
        HdnnError: a checkpoint of another set-up, or a loss that never becomes finite.
    """
    sgd = Sgd(choose_parameters(model, ["all"]), options.scale_rate, dtype=model.compute_dtype)
    best = _start(model, criterion, validation, schedule, sgd, run)
    if run.finished(schedule.finished):
        return
    run.snapshot = lambda: Snapshot(
        {"model": model.state_dict(), "best": best, "velocity": sgd.state()}, {"schedule": schedule.saved()}
    )
    if run.is_main:
        prepare()
    with run.stoppable():
        while not schedule.finished:
            epoch, rate = run.progress.epoch, schedule.learn_rate
            momentum = options.momentum if epoch >= options.momentum_from_epoch else 0.0
            batches = training.epoch(epoch, run.progress.step)
            step = Step(model, criterion, sgd, rate, momentum, run)
            for batch in run.epoch(batches, training.steps_per_epoch(epoch)):
                step(batch)
                run.tick()
            run.checkpoint()  # the cross-validation may outlast the patience of a scheduler that wants to stop us
            cv_loss, cv_accuracy = evaluate(model, criterion, validation, run)
            accepted = schedule.judge(cv_loss)
            if accepted:
                best = copy_state(model)
                if run.is_main:
                    save_model(model, run.directory, "best.safetensors")
            elif not schedule.tolerant:
                model.load_state_dict(best)
            verdict = "accepted" if accepted else "tolerated" if schedule.tolerant else "rejected"
            sgd.reset()
            run.end_epoch(_report(run, training.total_frames(), rate, cv_loss, cv_accuracy, verdict))
    if not any(line["accepted"] for line in run.progress.history):
        raise HdnnError("no epoch lowered the cross-validation loss; lower --learn-rate or check the alignments")
    model.load_state_dict(best)
    if run.is_main:
        save_model(model, run.directory)
        (run.directory / "best.safetensors").unlink(missing_ok=True)


def _start(
    model: AcousticModel, criterion: Criterion, validation: FrameShuffler, schedule: Newbob, sgd: Sgd, run: Run
) -> dict[str, Tensor]:
    """Begin, or go on from a checkpoint; gives the best parameters so far."""
    restored = run.restore()
    if restored is not None:
        model.load_state_dict(restored.tensors["model"])
        sgd.load(restored.tensors.get("velocity", {}), run.device)
        schedule.restore(restored.state["schedule"])
        return {name: value.to(run.device) for name, value in restored.tensors["best"].items()}
    run.ranks.broadcast(list(model.state_dict().values()))
    loss, accuracy = evaluate(model, criterion, validation, run)
    if not math.isfinite(loss):
        raise HdnnError("the cross-validation loss of the initial network is not finite; check the features")
    schedule.start(loss)
    log.info("initial network: cross-validation loss %.4f, frame accuracy %.4f", loss, accuracy)
    return copy_state(model)


def _report(run: Run, frames: int, rate: float, cv_loss: float, cv_accuracy: float, verdict: str) -> dict:
    """The epoch's line of history; losses and accuracies are averages per frame. It is logged as Kaldi's train.sh does."""
    progress = run.progress
    line = {
        "epoch": progress.epoch,
        "learn_rate": rate,
        "train_loss": progress.sums["loss"] / frames,
        "train_accuracy": progress.sums["correct"] / frames,
        "cv_loss": cv_loss,
        "cv_accuracy": cv_accuracy,
        "accepted": verdict == "accepted",
        "seconds": progress.seconds,
        "frames_per_second": frames / progress.seconds,
    }
    log.info(
        "ITERATION %02d: TRAIN AVG.LOSS %.4f, (lrate %.6g), CROSSVAL AVG.LOSS %.4f, frame accuracy %.4f, "
        "nnet %s, %.0f frames/s",
        line["epoch"], line["train_loss"], rate, cv_loss, cv_accuracy, verdict,
        line["frames_per_second"],
    )  # fmt: skip
    return line


@torch.no_grad()
def evaluate(model: AcousticModel, criterion: Criterion, frames: FrameShuffler, run: Run) -> tuple[float, float]:
    """Average loss and accuracy per frame."""
    loss = torch.zeros((), dtype=torch.float64, device=run.device)
    correct = torch.zeros((), dtype=torch.float64, device=run.device)
    for batch in frames.epoch(-1):
        if len(batch.windows):
            minibatch_loss, right = criterion(model.logits(batch.windows), batch.targets)
            loss += minibatch_loss
            correct += right
    sums = run.ranks.sum(float(loss), float(correct), device=run.device)
    total = frames.total_frames()
    return sums[0] / total, sums[1] / total


def copy_state(model: AcousticModel) -> dict[str, Tensor]:
    """A copy of parameters and statistics, on their device."""
    return {name: value.detach().clone() for name, value in model.state_dict().items()}
