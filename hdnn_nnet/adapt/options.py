"""Options of the adaptation; rate and iterations are those of Lu, Guo and Renals 2017."""

from dataclasses import dataclass

from hdnn_nnet.device.options import AdaptationDevice
from hdnn_nnet.errors import HdnnError
from hdnn_nnet.nn.config import chosen_groups
from hdnn_nnet.nn.options import WEIGHTS
from hdnn_nnet.options import Options, argument, group, option
from hdnn_nnet.train.options import SoftLabelOptions

KINDS = ("hard", "soft", "supervised")


@dataclass(frozen=True, kw_only=True)
class AdaptOptions(Options):
    """Updates."""

    iters: int = option(5, "passes over a speaker's frames", at_least=1)
    rate: float = option(2e-4, "learning rate per frame (gradients are sums over a minibatch)", above=0)
    minibatch_size: int = option(256, "frames of an update", at_least=1)
    momentum: float = option(0.0, "of the updates; the rate is scaled by 1 - momentum", at_least=0, below=1)
    held_out: float = option(0.1, "share of a speaker's frames that is held back; 0: none", at_least=0, below=1)
    guard: bool = option(True, "a speaker whose held-back loss rises keeps the independent parameters")
    early_stop: bool = option(False, "take the pass with the lowest held-back loss instead of the last one")
    min_frames: int = option(100, "speakers with fewer keep the independent parameters", at_least=0)
    seed: int = option(777, "of the order of frames and of what is held back", at_least=0)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.early_stop and not self.held_out:
            raise HdnnError("--early-stop needs frames to judge by; give --held-out above 0")


@dataclass(frozen=True, kw_only=True)
class LabelOptions(Options):
    """Labels."""

    labels: str = option("hard", "what <source> is", choices=KINDS)
    min_confidence: float = option(0.0, "hard: leave out frames below", at_least=0, at_most=1)
    weight_frames: bool = option(False, "hard: weight frames by confidence")
    skip_unseen: bool = option(True, "hard, supervised: leave out frames of pdfs that training has not seen")
    soft: SoftLabelOptions = group(SoftLabelOptions, "Soft labels (--labels soft)")


@dataclass(frozen=True, kw_only=True)
class Adaptation(Options):
    """Adaptation."""

    data_dir: str = argument("data directory (its CMVN and deltas as in training)")
    model_dir: str = argument("directory of the speaker-independent network")
    source: str = argument(
        "hard: post.scp of best paths; soft: teachers, stored soft labels or a table; supervised: alignments"
    )
    dir: str = argument("directory of adapted parameters to write")
    update: tuple[str, ...] = option(("gates",), "parameter groups that move: gates, hidden, softmax, or all")
    weights: str = option(WEIGHTS, "weights file in model_dir")
    max_missing: float = option(0.1, "share of utterances that may lack features", at_least=0, at_most=1, free=True)
    job: int = option(1, "number in the name of part.JOB.json", at_least=1)
    labels: LabelOptions = group(LabelOptions)
    updates: AdaptOptions = group(AdaptOptions)
    compute: AdaptationDevice = group(AdaptationDevice)

    def __post_init__(self) -> None:
        super().__post_init__()
        chosen_groups(self.update)
