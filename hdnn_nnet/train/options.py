"""Options of trainings. Rates are per frame; defaults are those of Kaldi's nnet1 recipe but for momentum, rate and epochs.

nnet1 ends after 20 epochs. A student's divergence from its teacher still falls then, by less in an epoch than chance moves it
up and down: distillation has a longer schedule (docs/experiments/libri5.md).
"""

from dataclasses import dataclass

from hdnn_nnet.device.options import TrainingDevice
from hdnn_nnet.nn.options import NetworkOptions
from hdnn_nnet.options import Options, argument, group, option

_MOST = "most epochs; a larger number goes on with a finished training"
_PATIENCE = "epochs that must gain too little together before halving starts, and before the end"


@dataclass(frozen=True, kw_only=True)
class CheckpointOptions(Options):
    """Resuming."""

    checkpoint_minutes: float = option(10.0, "between checkpoints inside an epoch", above=0, free=True)
    seed: int = option(777, "of initial weights and of the order of the data", at_least=0)


@dataclass(frozen=True, kw_only=True)
class NewbobOptions(Options):
    """Learning rate schedule (newbob)."""

    learn_rate: float | None = option(
        None, "per frame; default: 0.008 (dnn), 0.004 (hdnn), 0.003 (hdnn of 256 units and more)", at_least=0
    )
    max_iters: int = option(40, _MOST, at_least=1, free=True)
    min_iters: int = option(0, "least epochs", at_least=0)
    keep_lr_iters: int = option(0, "epochs before halving may start", at_least=0)
    halving_patience: int = option(1, _PATIENCE, at_least=1)
    start_halving_impr: float = option(0.01, "relative gain that starts halving")
    end_halving_impr: float = option(0.001, "relative gain that ends training")
    halving_factor: float = option(0.5, "rate factor while halving", above=0, at_most=1)


@dataclass(frozen=True, kw_only=True)
class UpdateOptions(Options):
    """Updates."""

    minibatch_size: int = option(256, "frames, over all processes together", at_least=1)
    momentum: float = option(0.9, "0: none", at_least=0, below=1)
    momentum_from_epoch: int = option(1, "the paper sets in after the first: 2", at_least=1)
    scale_rate: bool = option(True, "by (1 - momentum); nnet1 does not")
    block_frames: int = option(
        1 << 20, "frames shuffled (and held) at a time; of wide features fewer, at most 1 GiB", at_least=1
    )


@dataclass(frozen=True, kw_only=True)
class FeatureOptions(Options):
    """Features."""

    cmvn_opts: str = option("", "as for apply-cmvn; empty: no CMVN")
    delta_opts: str = option("", "as for add-deltas; empty: none")

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.cmvn_opts or self.delta_opts:
            from hdnn_nnet.feats.transforms import Cmvn, Deltas

            Cmvn.parse(self.cmvn_opts)
            Deltas.parse(self.delta_opts)


@dataclass(frozen=True, kw_only=True)
class MaskOptions(Options):
    """Masking of the training features (SpecAugment)."""

    freq_masks: int = option(0, "stretches of frequency hidden in each utterance (log-mel features)", at_least=0)
    freq_mask_width: int = option(8, "widest of them, in columns of the features", at_least=0)
    time_masks: int = option(0, "stretches of time hidden in each utterance", at_least=0)
    time_mask_width: int = option(10, "longest of them, in frames", at_least=0)
    time_mask_share: float = option(0.2, "and in shares of the utterance", at_least=0, at_most=1)

    @property
    def wanted(self) -> bool:
        """Whether anything is hidden."""
        return bool(self.freq_masks or self.time_masks)


@dataclass(frozen=True, kw_only=True)
class FrameTraining(Options):
    """What every frame-level training takes."""

    data_train: str = argument("Kaldi data directory with feats.scp")
    data_cv: str = argument("the same for cross-validation: other speakers")
    ali_train: str = argument("alignment directory (ali.*.gz, final.mdl) of data_train")
    ali_cv: str = argument("alignment directory of data_cv; may be the same")
    dir: str = argument("model directory to write", free=True)
    network: NetworkOptions = group(NetworkOptions)
    features: FeatureOptions = group(FeatureOptions)
    schedule: NewbobOptions = group(NewbobOptions)
    update: UpdateOptions = group(UpdateOptions)
    masking: MaskOptions = group(MaskOptions)
    checkpoint: CheckpointOptions = group(CheckpointOptions)
    compute: TrainingDevice = group(TrainingDevice)


@dataclass(frozen=True, kw_only=True)
class DistillationSchedule(NewbobOptions):
    """Learning rate schedule (newbob)."""

    max_iters: int = option(60, _MOST, at_least=1, free=True)
    halving_patience: int = option(3, _PATIENCE, at_least=1)


@dataclass(frozen=True, kw_only=True)
class StudentTraining(FrameTraining):
    """What distillation takes of what every frame-level training takes."""

    schedule: DistillationSchedule = group(DistillationSchedule)


@dataclass(frozen=True, kw_only=True)
class SoftLabelOptions(Options):
    """Soft labels."""

    temperature: float = option(1.0, "T, divides the logits of teacher and student", above=0)
    teacher_data: str = option("", "data directories with the teacher's features, in quotes; default: the student's")
    keep_mass: float = option(0.999, "share kept of full posterior matrices", above=0, at_most=1)


@dataclass(frozen=True, kw_only=True)
class DistillationOptions(Options):
    """Distillation."""

    teacher: str = argument("model directories, stored soft labels, or a table of posteriors")
    training: StudentTraining = group(StudentTraining)
    soft: SoftLabelOptions = group(SoftLabelOptions)
    hard_weight: float = option(0.0, "q: weight of the cross-entropy with the alignment", at_least=0)
    square_temperature: bool = option(False, "multiply the soft term by T^2 (the paper does not)")
    unlabelled_data: str = option("", "data directories without alignments, in quotes")
