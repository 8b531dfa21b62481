"""What all trainings share: resuming, checkpoints by time and by signal, history, TensorBoard, progress."""

import json
import logging
import signal
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from hdnn_nnet.atomic import write_text
from hdnn_nnet.errors import HdnnError
from hdnn_nnet.progress import show_progress
from hdnn_nnet.train.checkpoint import load_checkpoint, save_checkpoint
from hdnn_nnet.train.distributed import Ranks
from hdnn_nnet.train.events import Events

log = logging.getLogger(__name__)

#: steps after which the ranks agree on whether to stop or to write a checkpoint
_AGREE_EVERY = 50
#: options that checkpoints of version 0.1 held against a training that is to go on for longer
_ONCE_SIGNED = ("max_iters", "num_iters")
#: seconds between two lines on the steps of an epoch in a log: at its beginning, later, and the share of its time that they are


class Stopped(HdnnError):
    """The training was told to stop and has left a checkpoint."""


@dataclass
class Progress:
    """Where a training stands; with the tensors of a checkpoint it is all that resuming needs.

    Attributes:
        epoch, step: the ones at work; steps done in the epoch.
        seconds: spent in the steps of the epoch.
        sums: of the epoch's steps so far, over all ranks.
        history: one line for each epoch that is over.
    """

    epoch: int = 1
    step: int = 0
    seconds: float = 0.0
    sums: dict[str, float] = field(default_factory=dict)
    history: list[dict[str, Any]] = field(default_factory=list)


class Snapshot(NamedTuple):
    """What a loop puts into a checkpoint beside the progress: tensors by group, and JSON types."""

    tensors: dict[str, dict[str, Tensor]]
    state: dict[str, Any]


class Run:
    """One training that can be stopped after any step and goes on later with the result of an uninterrupted one.

    `checkpoint.safetensors` is written after every epoch, every `checkpoint_minutes`, and on SIGTERM or SIGINT.

    Args:
        directory: of the model.
        ranks, device: this process's place and processor.
        signature: everything that must be the same when the training is resumed; JSON types.
        checkpoint_minutes: between checkpoints inside an epoch.
        sums: names of what `add` collects.
        history: file for the lines of `end_epoch`.
        unit: what an epoch is called in messages.
    """

    def __init__(
        self,
        directory: Path,
        ranks: Ranks,
        device: torch.device,
        signature: dict[str, Any],
        checkpoint_minutes: float,
        sums: Sequence[str],
        history: str = "history.json",
        unit: str = "epoch",
    ) -> None:
        self.directory, self.ranks, self.device = directory, ranks, device
        self.signature = json.loads(json.dumps(signature))  # tuples are lists in a checkpoint
        self.checkpoint_minutes, self.history, self.unit = checkpoint_minutes, history, unit
        self.progress = Progress()
        #: what a checkpoint keeps besides the progress; the loop sets it
        self.snapshot: Callable[[], Snapshot] = lambda: Snapshot({}, {})
        self._sums = {name: torch.zeros((), dtype=torch.float64, device=device) for name in sums}
        self._signals: list[int] = []
        self._steps = 0
        self._since = self._saved_at = time.monotonic()
        self._events: Events | None = None

    @property
    def is_main(self) -> bool:
        return self.ranks.is_main

    @property
    def path(self) -> Path:
        return self.directory / "checkpoint.safetensors"

    def restore(self) -> Snapshot | None:
        """Go on from the checkpoint, if there is one: sets `progress`, gives what the loop had put there.

        Raises:
            HdnnError: a damaged checkpoint, or one of another set-up.
        """
        restored = load_checkpoint(self.path)
        if restored is None:
            return None
        tensors, saved = restored
        before = {name: value for name, value in saved["signature"].items() if name not in _ONCE_SIGNED}
        if before != self.signature:
            names = self.signature.keys() | before.keys()
            changed = sorted(k for k in names if before.get(k) != self.signature.get(k))
            raise HdnnError(f"{self.path} is of another set-up ({', '.join(changed)} changed); remove it to train anew")
        self.progress = Progress(**saved["progress"])
        return Snapshot(tensors, saved["state"])

    def checkpoint(self) -> None:
        """Write the checkpoint."""
        if self.is_main:
            tensors, state = self.snapshot()
            content = {"signature": self.signature, "progress": asdict(self.progress), "state": state}
            save_checkpoint(self.path, tensors, content)

    def finished(self, last: bool) -> bool:
        """Whether a training is over and its network written, so that nothing may be touched; says where it stands.

        Args:
            last: there is no epoch left.
        """
        final, done = self.directory / "final.safetensors", self.progress.epoch - 1
        if last and final.is_file() and final.stat().st_mtime_ns >= self.path.stat().st_mtime_ns:
            log.info("already trained: %d %s%s, nothing is left to do", done, self.unit, "s" * (done != 1))
            return True
        if done or self.progress.step:
            log.info("resuming at %s %d, step %d", self.unit, self.progress.epoch, self.progress.step)
        return False

    @contextmanager
    def stoppable(self) -> Iterator[None]:
        """Inside, a signal ends the training after the step at work."""
        with stop_signals() as self._signals:
            yield

    def epoch(self, batches: Iterable[Any], steps: int) -> Iterator[Any]:
        """The batches of the epoch's steps from `progress.step` on, with a bar; call `tick` after each.

        Args:
            steps: of the whole epoch.
        """
        self._steps = steps
        self._since = self._saved_at = time.monotonic()
        for name, own in self._sums.items():  # in the order of an uninterrupted epoch, to the last digit
            own.fill_(self.progress.sums.get(name, 0.0) if self.is_main else 0.0)
        yield from show_progress(batches, f"{self.unit} {self.progress.epoch}", steps, self.progress.step, self.is_main)
        self._collect()

    def add(self, **values: Tensor | float) -> None:
        """Add to this rank's sums; tensors stay on their device, so that nothing waits for it."""
        for name, value in values.items():
            self._sums[name] += value

    def tick(self) -> None:
        """One step is done: write a checkpoint where it is time, and stop where a signal asks for it.

        Raises:
            Stopped: after a signal, with the checkpoint written.
        """
        progress = self.progress
        progress.step += 1
        elapsed, stopping = time.monotonic() - self._saved_at, bool(self._signals)
        if self.ranks.world > 1:
            # All ranks must agree, else one would wait for the others' gradients for ever.
            if progress.step % _AGREE_EVERY == 0 or progress.step == self._steps:
                stopping = self.ranks.any(stopping, self.device)
                elapsed = self.ranks.sum(elapsed, device=self.device)[0] / self.ranks.world
            else:
                stopping, elapsed = False, 0.0
        if stopping or elapsed > 60 * self.checkpoint_minutes:
            self._collect()
            self._saved_at = time.monotonic()
            self.checkpoint()
        if stopping:
            raise Stopped(
                f"stopped by a signal in {self.unit} {progress.epoch}, step {progress.step} of {self._steps}; "
                "run the same command again to go on"
            )

    def end_epoch(self, line: dict[str, Any]) -> None:
        """Keep the epoch's figures (they also go to TensorBoard) and go to the next one, with a checkpoint."""
        self.progress = Progress(self.progress.epoch + 1, history=[*self.progress.history, line])
        if self.is_main:
            write_text(self.directory / self.history, json.dumps(self.progress.history, indent=1) + "\n")
            if self._events is None:  # not before there is something to write
                self._events = Events(self.directory / "events")
            numbers = {n: v for n, v in line.items() if isinstance(v, int | float) and not isinstance(v, bool)}
            self._events.add(numbers, self.progress.epoch - 1)
        self.checkpoint()

    def _collect(self) -> None:
        """Bring the sums and the time so far into `progress`."""
        totals = self.ranks.sum(*map(float, self._sums.values()), device=self.device)
        self.progress.sums = dict(zip(self._sums, totals, strict=True))
        now = time.monotonic()
        self.progress.seconds += now - self._since
        self._since = now


@contextmanager
def stop_signals() -> Iterator[list[int]]:
    """A list that becomes non-empty when a signal asks for an end, so that the loop can stop between two steps.

    SIGTERM comes from Slurm before its time limit, SIGUSR1 (soft limit s_rt) and SIGUSR2 (qsub -notify) from GridEngine.
    """
    received: list[int] = []
    caught = [signal.SIGTERM, signal.SIGINT, signal.SIGUSR1, signal.SIGUSR2]
    if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:  # as nohup leaves it
        caught.append(signal.SIGHUP)
    previous = {s: signal.signal(s, lambda number, _: received.append(number)) for s in caught}
    try:
        yield received
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
