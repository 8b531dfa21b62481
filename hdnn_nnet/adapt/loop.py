"""Adaptation of one speaker: a few passes of stochastic gradient descent at a fixed rate, and a guard on held-back frames."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from hdnn_nnet.adapt.options import AdaptOptions
from hdnn_nnet.adapt.speaker import SpeakerData, generator
from hdnn_nnet.nn.networks import AcousticModel
from hdnn_nnet.train.criteria import Criterion
from hdnn_nnet.train.sgd import Sgd

#: why a speaker keeps the independent parameters
NO_LABELS, TOO_FEW, GUARDED, DIVERGED = "no usable labels", "too few frames", "held-back loss rose", "loss not finite"
_EVALUATION_FRAMES = 2048


@dataclass
class Outcome:
    """What became of a speaker.

    Attributes:
        tensors: name -> adapted parameter, on the CPU; None where the independent ones are kept.
        reason: why they are kept; empty for an adapted speaker.
        iteration: the pass that was taken.
        train_loss: average per frame in each pass, while the parameters move.
        held_loss: average per frame before the first pass and after each; empty where nothing is held back.
    """

    tensors: dict[str, Tensor] | None
    reason: str = ""
    iteration: int = 0
    train_loss: list[float] = field(default_factory=list)
    held_loss: list[float] = field(default_factory=list)


def adapt_speaker(
    model: AcousticModel,
    parameters: Mapping[str, nn.Parameter],
    base: Mapping[str, Tensor],
    criterion: Criterion,
    speaker: str,
    data: SpeakerData,
    options: AdaptOptions,
) -> Outcome:
    """Adapt `parameters` of `model` to one speaker, and put `base` back, whatever comes of it.

    The frames of a pass are shuffled by the speaker's name and the number of the pass alone, so that the result depends neither
    on other speakers nor on jobs.

    Args:
        parameters: name -> parameter that moves; all others need no gradient.
        base: the independent values of these.
    """
    if not data.utterances or not len(data.train):
        return Outcome(None, NO_LABELS)
    if len(data.train) < options.min_frames:
        return Outcome(None, TOO_FEW)
    try:
        return _adapt(model, parameters, criterion, speaker, data, options)
    finally:
        with torch.no_grad():
            for name, parameter in parameters.items():
                parameter.copy_(base[name])
                parameter.grad = None


def _adapt(
    model: AcousticModel,
    parameters: Mapping[str, nn.Parameter],
    criterion: Criterion,
    speaker: str,
    data: SpeakerData,
    options: AdaptOptions,
) -> Outcome:
    sgd = Sgd(list(parameters.values()))
    held = [average_loss(model, criterion, data)] if len(data.held) else []
    train: list[float] = []
    best: tuple[float, int, dict[str, Tensor] | None] = (held[0] if held else math.inf, 0, None)
    total = float(data.weights[data.train].sum())
    for iteration in range(1, options.iters + 1):
        order = data.train[generator(options.seed, speaker, iteration).permutation(len(data.train))]
        loss_sum = torch.zeros((), dtype=torch.float64, device=model.device)
        for windows, targets in data.minibatches(order, options.minibatch_size, model.device):
            loss, _ = criterion(model.logits(windows), targets)
            loss.backward()
            loss_sum += loss.detach()
            sgd.step(options.rate, options.momentum)
        train.append(float(loss_sum) / total)
        if held:
            held.append(average_loss(model, criterion, data))
        if not math.isfinite(train[-1]) or not all(bool(torch.isfinite(p).all()) for p in parameters.values()):
            return Outcome(None, DIVERGED, 0, train, held)
        if options.early_stop and held and held[-1] < best[0]:
            best = (held[-1], iteration, _copy(parameters))
    if options.early_stop and held:
        return Outcome(best[2], "" if best[1] else GUARDED, best[1], train, held)
    if options.guard and held and not held[-1] <= held[0]:
        return Outcome(None, GUARDED, 0, train, held)
    return Outcome(_copy(parameters), "", options.iters, train, held)


def _copy(parameters: Mapping[str, nn.Parameter]) -> dict[str, Tensor]:
    return {name: p.detach().cpu().clone() for name, p in parameters.items()}


@torch.no_grad()
def average_loss(model: AcousticModel, criterion: Criterion, data: SpeakerData) -> float:
    """Loss per frame on the held-back frames."""
    total = torch.zeros((), dtype=torch.float64, device=model.device)
    for windows, targets in data.minibatches(data.held, _EVALUATION_FRAMES, model.device):
        total += criterion(model.logits(windows), targets)[0]
    return float(total) / float(data.weights[data.held].sum())
