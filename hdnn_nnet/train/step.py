"""The update that a minibatch makes; on a GPU its kernels are recorded once and from then on started together.

The kernels of a small network are shorter than the time that it takes to start them one by one: HDNN-H128L10 keeps an H100 busy
for a ninth of a step. A recording starts all of them with one call. It reads and writes the same memory each time: minibatches
are copied to where the recorded one lay, and rate and momentum stay those that it was made with.
"""

import logging
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from hdnn_nnet.device.recording import Recording, can_record
from hdnn_nnet.nn.distillation import SoftLabels
from hdnn_nnet.nn.networks import AcousticModel
from hdnn_nnet.train.criteria import Criterion
from hdnn_nnet.train.frames import Minibatch
from hdnn_nnet.train.run import Run
from hdnn_nnet.train.sgd import Sgd

log = logging.getLogger(__name__)

#: updates before one is recorded: they make what is made once, such as velocities
_WARM = 3
#: room for soft labels in a recording, by the number of those that it was made with
_ROOM = 1.5
#: weight of a soft label that is none: with its logarithm it vanishes beside what it is added to
_NOTHING = torch.finfo(torch.float32).tiny


class Step:
    """`step(batch)` updates the network. It looks at no value, so a GPU gets its work without waiting to be asked.

    Args:
        rate, momentum: of all updates: a Step serves one epoch.
        record: record kernels where that is possible, which is on one GPU.
    """

    def __init__(
        self, model: AcousticModel, criterion: Criterion, sgd: Sgd, rate: float, momentum: float, run: Run, record: bool = True
    ) -> None:  # fmt: skip
        self.model, self.criterion, self.sgd, self.run = model, criterion, sgd, run
        self.rate, self.momentum = rate, momentum
        #: whether updates are still to be recorded
        self.records = record and run.ranks.world == 1 and can_record(run.device)
        self._done = 0
        self._recorded: _Recorded | None = None

    def __call__(self, batch: Minibatch) -> None:
        """One minibatch; an empty one takes part in the sum over processes."""
        if self.records and self._done >= _WARM and len(batch.windows):
            if self._recorded is None:
                self._record(batch)
            if self._recorded is not None and self._recorded.run(batch):
                return
        self._done += 1
        self._update(batch)

    def _update(self, batch: Minibatch) -> None:
        if len(batch.windows):
            loss, correct = self.criterion(self.model.logits(batch.windows), batch.targets)
            loss.backward()
            self.run.add(loss=loss.detach(), correct=correct)
        self.run.ranks.sum_gradients(self.sgd.parameters)
        self.sgd.step(self.rate, self.momentum)

    def _record(self, batch: Minibatch) -> None:
        """Record the update of such a minibatch, or give up recording."""
        try:
            self._recorded = _Recorded(batch, self._update)
        except RuntimeError as error:
            self.records = False
            for parameter in self.sgd.parameters:
                parameter.grad = None
            reason = str(error).partition("\n")[0]
            log.warning("updates cannot be recorded, so each of their kernels is started by itself: %s", reason)


class _Recorded:
    """The update of minibatches of one shape, whose soft labels may be fewer and, as far as there is room, more."""

    def __init__(self, batch: Minibatch, update: Callable[[Minibatch], None]) -> None:
        self._batch = Minibatch(torch.empty_like(batch.windows), tuple(map(room_for, batch.targets)))
        assert self._take(batch)
        self._recording = Recording(lambda: update(self._batch), batch.windows.device)

    def run(self, batch: Minibatch) -> bool:
        """Do the update, unless the minibatch has another shape."""
        fits = self._take(batch)
        if fits:
            self._recording.run()
        return fits

    def _take(self, batch: Minibatch) -> bool:
        if batch.windows.shape != self._batch.windows.shape:
            return False
        self._batch.windows.copy_(batch.windows)
        return all(put(there, given) for there, given in zip(self._batch.targets, batch.targets, strict=True))


def room_for(target: Tensor | SoftLabels) -> Any:
    """Memory for the targets of minibatches like this one, soft labels with room for more; the values are arbitrary."""
    if isinstance(target, Tensor):
        return torch.empty_like(target)
    entries = int(_ROOM * len(target.rows))
    rows = torch.arange(entries, device=target.rows.device) % len(target.best)
    return SoftLabels(
        rows, torch.zeros_like(rows), target.weights.new_full((entries,), _NOTHING), torch.empty_like(target.best)
    )


def put(there: Tensor | SoftLabels, target: Tensor | SoftLabels) -> bool:
    """Copy the targets of a minibatch to memory of `room_for`; False: they are too many."""
    if isinstance(there, Tensor):
        assert isinstance(target, Tensor)
        there.copy_(target)
        return True
    assert isinstance(target, SoftLabels)
    entries = len(target.rows)
    if entries > len(there.rows):
        return False
    for to, given in zip(there[:3], target[:3], strict=True):
        to[:entries].copy_(given)
    there.weights[entries:].fill_(_NOTHING)
    there.best.copy_(target.best)
    return True
