"""The newbob learning-rate schedule of Kaldi's nnet1 (`steps/nnet/train_scheduler.sh`)."""

import dataclasses
from dataclasses import dataclass


@dataclass
class Newbob:
    """Decides after every epoch whether it is kept, what the next rate is, and when to stop.

    An epoch is accepted only if the cross-validation loss drops (or `epoch <= keep_lr_iters`); otherwise training goes on
    from the best parameters. A relative gain under `start_halving_impr` starts halving, which then goes on every epoch;
    while halving, a gain under `end_halving_impr` ends the training. All losses are averages per frame.
    """

    learn_rate: float = 0.008
    start_halving_impr: float = 0.01
    end_halving_impr: float = 0.001
    halving_factor: float = 0.5
    max_iters: int = 20
    min_iters: int = 0
    keep_lr_iters: int = 0
    best_loss: float = float("inf")
    epoch: int = 0  #: epochs judged so far
    halving: bool = False
    finished: bool = False

    def start(self, initial_loss: float) -> None:
        """Set the loss of the untrained (or given) parameters that the first epoch is compared with."""
        self.best_loss = initial_loss

    def judge(self, loss: float) -> bool:
        """Take the cross-validation loss of one more epoch; True if its parameters are accepted.

        A loss that is not finite is never accepted: the rate is halved instead.
        """
        self.epoch += 1
        previous = self.best_loss
        finite = loss == loss and abs(loss) != float("inf")
        accepted = finite and (loss < previous or self.epoch <= max(self.keep_lr_iters, self.min_iters))
        if accepted:
            self.best_loss = loss
        if self.epoch >= self.max_iters:
            self.finished = True
        if self.epoch <= self.keep_lr_iters:
            return accepted
        gain = (previous - self.best_loss) / previous if previous not in (0.0, float("inf")) else 1.0
        if self.halving and gain < self.end_halving_impr:
            self.finished = self.finished or self.epoch > self.min_iters
            return accepted  # neither the last epoch nor one that min_iters asks for halves
        if gain < self.start_halving_impr:
            self.halving = True
        if self.halving:
            self.learn_rate *= self.halving_factor
        return accepted

    def state(self) -> dict[str, float | int | bool]:
        """Everything needed to go on later, as JSON types."""
        return dataclasses.asdict(self)
