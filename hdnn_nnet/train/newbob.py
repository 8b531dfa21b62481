"""The newbob learning-rate schedule of Kaldi's nnet1 (`steps/nnet/train_scheduler.sh`)."""

import dataclasses
import math
from dataclasses import dataclass, field
from typing import Any

from hdnn_nnet.train.options import NewbobOptions


@dataclass
class NewbobState:
    """Where the schedule stands; JSON types.

    Attributes:
        epoch: epochs judged so far.
        earlier: the lowest losses before each of the last `halving_patience` epochs, or of those since halving began.
        finished: the gain has become too small; an end by `max_iters` is not kept, so that more epochs may be asked for.
    """

    learn_rate: float
    best_loss: float = math.inf
    epoch: int = 0
    halving: bool = False
    earlier: list[float] = field(default_factory=list)
    finished: bool = False


class Newbob:
    """Decides after every epoch whether it is kept, what the next rate is, and when to stop.

    An epoch is accepted only if the cross-validation loss drops (or `epoch <= keep_lr_iters`). A relative gain of the last
    `halving_patience` epochs together under `start_halving_impr` starts halving, which then goes on every epoch; while
    halving, a gain under `end_halving_impr` ends the training. All losses are averages per frame.

    nnet1 has a patience of one epoch, and goes on from the best parameters after an epoch that is not accepted. With a longer
    one training goes on from that epoch all the same; only halving begins from the best.

    Attributes:
        tolerant: training goes on from the epoch judged last even if it was not accepted.
    """

    def __init__(self, learn_rate: float, options: NewbobOptions | None = None) -> None:
        self.options = options or NewbobOptions()
        self.state = NewbobState(learn_rate)
        self.tolerant = True

    @property
    def learn_rate(self) -> float:
        """Of the next epoch."""
        return self.state.learn_rate

    @property
    def best_loss(self) -> float:
        return self.state.best_loss

    @property
    def finished(self) -> bool:
        return self.state.finished or self.state.epoch >= self.options.max_iters

    def start(self, initial_loss: float) -> None:
        """Set the loss of the untrained (or given) parameters that the first epoch is compared with."""
        self.state.best_loss = initial_loss

    def judge(self, loss: float) -> bool:
        """Take the cross-validation loss of one more epoch; True if its parameters are accepted.

        A loss that is not finite is never accepted: the rate is halved instead.
        """
        state, options = self.state, self.options
        finite, patience = math.isfinite(loss), options.halving_patience
        state.epoch += 1
        state.earlier = [*state.earlier, state.best_loss][-patience:]
        accepted = finite and (loss < state.best_loss or state.epoch <= max(options.keep_lr_iters, options.min_iters))
        if accepted:
            state.best_loss = loss
        self.tolerant = finite and patience > 1
        if state.epoch <= options.keep_lr_iters:
            return accepted
        gain = _gain(state.earlier[0], state.best_loss) if len(state.earlier) == patience else math.inf
        if state.halving and gain < options.end_halving_impr:
            state.finished = state.finished or state.epoch > options.min_iters
            return accepted  # neither the last epoch nor one that min_iters asks for halves
        if not state.halving and (gain < options.start_halving_impr or not finite):
            state.halving, state.earlier = True, []
            self.tolerant = False
        if state.halving:
            state.learn_rate *= options.halving_factor
        return accepted

    def saved(self) -> dict[str, Any]:
        """Everything needed to go on later, as JSON types."""
        return dataclasses.asdict(self.state)

    def restore(self, saved: dict[str, Any]) -> None:
        """Go on from what `saved` gave."""
        self.state = NewbobState(**saved)


def _gain(before: float, after: float) -> float:
    """By what share the loss has dropped."""
    return (before - after) / before if before not in (0.0, math.inf) else 1.0
