"""Options of sequence training; names and meanings are those of Kaldi's nnet-train-mpe-sequential and its scripts."""

from dataclasses import dataclass

from hdnn_nnet.device.options import TrainingDevice
from hdnn_nnet.errors import HdnnError
from hdnn_nnet.nn.config import chosen_groups
from hdnn_nnet.nn.options import WEIGHTS
from hdnn_nnet.options import Options, argument, group, option
from hdnn_nnet.train.options import CheckpointOptions, SoftLabelOptions

CRITERIA = ("smbr", "mpfe", "mmi")
ENGINES = ("auto", "k2", "torch")


@dataclass(frozen=True, kw_only=True)
class SequenceOptions(Options):
    """Criterion.

    `smbr` counts frames with the reference's pdf, `mpfe` those with its phone, `mmi` is the log-posterior of the reference.
    """

    criterion: str = option("smbr", "what is maximised", choices=CRITERIA)
    acoustic_scale: float = option(0.1, "of log-likelihoods in lattices", above=0, aliases=["acwt"])
    lm_scale: float = option(1.0, "of the lattices' graph costs", at_least=0, aliases=["lmwt"])
    old_acoustic_scale: float = option(
        0.0, "of the lattice's own acoustic costs, added to the log-likelihoods", at_least=0
    )
    silence_phones: tuple[int, ...] = option(
        (), "ids with colons; default: lang/phones/silence.csl", at_least=1, metavar="ID:ID:..."
    )
    one_silence_class: bool = option(True, "silence is right in silence of the reference; false: it never is right")
    boost: float = option(0.0, "MMI: b of boosted MMI; log scores of frames with a wrong phone rise by it", at_least=0)
    max_silence_error: float = option(0.0, "MMI: error of a wrong frame of silence in boosting", at_least=0, at_most=1)
    drop_frames: bool = option(True, "MMI: no gradient in frames where the reference's pdf is not in the lattice")
    engine: str = option("auto", "of the lattice passes", choices=ENGINES, free=True)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.boost and self.criterion != "mmi":
            raise HdnnError(f"--boost belongs to mmi, not to {self.criterion}")


@dataclass(frozen=True, kw_only=True)
class SequenceUpdates(Options):
    """Updates."""

    num_iters: int = option(
        4,
        "passes over the data; each leaves iter<N>.safetensors; more go on with a finished training",
        at_least=1,
        free=True,
    )
    learn_rate: float = option(1e-5, "per frame, as in Kaldi", at_least=0)
    momentum: float = option(0.0, "of the updates", at_least=0, below=1)
    batch_utts: int = option(1, "utterances of an update, over all processes", at_least=1)
    smooth_ce: float = option(0.0, "p: weight of the cross-entropy with the reference", at_least=0)
    smooth_kd: float = option(0.0, "p: weight of the divergence from the teacher", at_least=0)
    update: tuple[str, ...] = option(("all",), "parameter groups that are trained: hidden, gates, softmax, or all")
    max_frames: int = option(6000, "longer utterances are skipped", at_least=1)
    max_entries: int = option(5_000_000, "arcs and their frames; larger lattices are pruned, then skipped", at_least=1)
    max_skipped: float = option(0.1, "share of utterances that may be skipped", at_least=0, at_most=1)

    def __post_init__(self) -> None:
        super().__post_init__()
        chosen_groups(self.update)


@dataclass(frozen=True, kw_only=True)
class LatticeOptions(Options):
    """Lattices."""

    decode: bool = option(False, "make the lattices during training")
    refresh: str = option("epoch", "with --decode: whose lattices", choices=("epoch", "batch"))
    beam: float = option(13.0, "with --decode", above=0)
    lattice_beam: float = option(7.0, "that the lattices were made with; narrower to prune large ones", above=0)
    max_active: int = option(5000, "with --decode", at_least=1)


@dataclass(frozen=True, kw_only=True)
class SequenceTraining(Options):
    """Sequence training."""

    data: str = argument("data directory")
    lang: str = argument("lang directory (phones/silence.csl)")
    src_dir: str = argument("model directory of the network to start from")
    ali_dir: str = argument("alignment directory of the data: the reference")
    denlats: str = argument("directory with lat.scp; with --decode, the denominator graph HCLG.fst")
    dir: str = argument("model directory to write", free=True)
    criterion: SequenceOptions = group(SequenceOptions)
    updates: SequenceUpdates = group(SequenceUpdates)
    lattices: LatticeOptions = group(LatticeOptions)
    teacher: str = option("", "for --smooth-kd: model directories, soft labels, or a table")
    soft: SoftLabelOptions = group(SoftLabelOptions, "Soft labels (--smooth-kd)")
    weights: str = option(WEIGHTS, "weights file in src_dir")
    class_frame_counts: str = option("", "for the prior; default: those of src_dir")
    checkpoint: CheckpointOptions = group(CheckpointOptions)
    compute: TrainingDevice = group(TrainingDevice)

    def __post_init__(self) -> None:
        super().__post_init__()
        if bool(self.teacher) != bool(self.updates.smooth_kd):
            raise HdnnError("--smooth-kd and --teacher belong together")
