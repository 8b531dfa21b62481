"""What the frame-level training programs have in common: options, network, shuffled frames, signature."""

import argparse
import logging
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from hdnn_nnet.atomic import write_text
from hdnn_nnet.cli import OptionParser, kaldi_bool
from hdnn_nnet.kaldi.alignments import write_counts
from hdnn_nnet.kaldi.data_dir import copy_feat_opts
from hdnn_nnet.model_dir import copy_kaldi_files, load_weights
from hdnn_nnet.nn.config import ACTIVATIONS, GATES, NetworkConfig, parse_name
from hdnn_nnet.nn.networks import AcousticModel, build_network
from hdnn_nnet.precision import PRECISIONS, choose_device, choose_dtype, choose_threads
from hdnn_nnet.prior import forget_priors
from hdnn_nnet.train.dataset import global_statistics
from hdnn_nnet.train.distributed import Job, join
from hdnn_nnet.train.frames import FrameShuffler, TargetsOf
from hdnn_nnet.train.loop import Criterion, LoopOptions, train
from hdnn_nnet.train.newbob import Newbob
from hdnn_nnet.train.task import Part, Task, read_task

log = logging.getLogger(__name__)

_WIDE = 256

#: options that do not change the result, so that a resumed run may have others
_UNIMPORTANT = ("config", "verbose", "checkpoint_minutes", "device", "dir", "num_threads")


def add_training_options(options: OptionParser) -> None:
    """Arguments and options of every frame-level training; defaults as in Kaldi's nnet1 recipe but for momentum and rate."""
    options.add_argument("data_train", help="Kaldi data directory with feats.scp")
    options.add_argument("data_cv", help="the same for cross-validation: other speakers")
    options.add_argument("ali_train", help="alignment directory (ali.*.gz, final.mdl) of data_train")
    options.add_argument("ali_cv", help="alignment directory of data_cv; may be the same")
    options.add_argument("dir", help="model directory to write")
    options.add_argument("--network", default="hdnn-h128l10", help="architecture, width and depth: [h]dnn-hHlL")
    options.add_argument("--splice", type=int, default=5, help="frames of context on either side")
    options.add_argument("--activation", choices=ACTIVATIONS, default="sigmoid", help="hidden non-linearity")
    options.add_argument("--gates", choices=GATES, default="both", help="gates of the highway layers")
    options.add_argument("--tied-gates", type=kaldi_bool, default=True, help="share the gates among layers")
    options.add_argument("--cmvn-opts", default="", help="as for apply-cmvn; empty: no CMVN")
    options.add_argument("--delta-opts", default="", help="as for add-deltas; empty: none")
    options.add_argument(
        "--learn-rate", type=float, help="per frame; default: 0.008 (dnn), 0.004 (hdnn), 0.003 (from 256 units)"
    )
    options.add_argument("--minibatch-size", type=int, default=256, help="frames, over all processes together")
    options.add_argument("--momentum", type=float, default=0.9, help="0: none")
    options.add_argument("--momentum-from-epoch", type=int, default=1, help="the paper sets in after the first: 2")
    options.add_argument("--scale-rate", type=kaldi_bool, default=True, help="by (1 - momentum); nnet1 does not")
    options.add_argument("--max-iters", type=int, default=20, help="most epochs")
    options.add_argument("--min-iters", type=int, default=0, help="least epochs")
    options.add_argument("--keep-lr-iters", type=int, default=0, help="epochs before halving may start")
    options.add_argument("--start-halving-impr", type=float, default=0.01, help="relative gain that starts halving")
    options.add_argument("--end-halving-impr", type=float, default=0.001, help="relative gain that ends training")
    options.add_argument("--halving-factor", type=float, default=0.5, help="rate factor while halving")
    options.add_argument("--block-frames", type=int, default=1 << 20, help="frames shuffled (and held) at a time")
    options.add_argument("--checkpoint-minutes", type=float, default=10.0, help="between checkpoints inside an epoch")
    options.add_argument("--init", default="", help="weights file to start from instead of random weights")
    options.add_argument("--seed", type=int, default=777, help="of initial weights and frame order")
    options.add_argument(
        "--num-threads", type=int, default=0, help="CPU threads; 0: one for widths under 256, else all"
    )
    options.add_argument("--device", default="auto", help="auto, cpu, cuda or cuda:N")
    options.add_argument("--precision", choices=PRECISIONS, default="auto", help="of the matrix products")


def default_rate(config: NetworkConfig) -> float:
    """Learning rate per frame where none is given.

    The gates make highway layers steeper than plain ones, and wide ones steeper than narrow ones: 0.008 overshoots in the
    first epoch, and 256 units end 0.9 points of WER worse at 0.004 than at 0.003 (RESULTS.md, mini corpus).
    """
    if config.arch == "dnn":
        return 0.008
    return 0.004 if config.width < _WIDE else 0.003


class Training:
    """One training from its options to the finished model directory.

    Attributes:
        job, device: this process's part of the work and where it computes.
        task: features and labels; `task.*.frames` may be cut down before `run`.
    """

    def __init__(self, args: argparse.Namespace, unlabelled: Sequence[str] = ()) -> None:
        self.args = args
        self.job: Job = join(args.device)
        if not self.job.is_main:
            logging.getLogger().setLevel(logging.WARNING)
        self.device = choose_device(args.device, self.job.local_rank)
        self.directory = Path(args.dir)
        self.directory.mkdir(parents=True, exist_ok=True)
        self.task: Task = read_task(
            args.data_train, args.data_cv, args.ali_train, args.ali_cv, args.cmvn_opts, args.delta_opts, unlabelled
        )

    def _network(self) -> AcousticModel:
        args = self.args
        arch, width, depth = parse_name(args.network)
        choose_threads(args.num_threads, width)
        config = NetworkConfig(
            arch=arch,
            feat_dim=self.task.train.features.dim,
            num_pdfs=self.task.num_pdfs,
            width=width,
            depth=depth,
            left_context=args.splice,
            right_context=args.splice,
            activation=args.activation,
            gates=args.gates,
            tied_gates=args.tied_gates,
        )
        model = build_network(config, args.seed)
        if args.init:  # on resuming too: features are normalised with its statistics
            load_weights(model, args.init)
        else:
            mean, variance = global_statistics(self.task.train.features, self.task.train.frames)
            model.set_normalisation(torch.from_numpy(mean), torch.from_numpy(variance))
        model.to(self.device)
        model.compute_dtype = choose_dtype(args.precision, self.device)
        log.info(
            "%s: %d parameters, %d inputs, %d pdfs; %s on %s; %d + %d frames",
            config.name,
            model.num_parameters(),
            config.input_dim,
            config.num_pdfs,
            "bf16" if model.compute_dtype else "fp32",
            self.device,
            sum(self.task.train.frames.values()),
            sum(self.task.cv.frames.values()),
        )
        return model

    def _shuffler(self, model: AcousticModel, part: Part, targets: TargetsOf, minibatch_size: int) -> FrameShuffler:
        mean, scale = model.mean.cpu().numpy(), model.inverse_std.cpu().numpy()

        def normalised(utt: str) -> np.ndarray:
            return (part.features[utt] - mean) * scale

        args = self.args
        return FrameShuffler(
            part.frames, normalised, targets, args.splice, args.splice, minibatch_size,
            block_frames=args.block_frames, seed=args.seed, rank=self.job.rank, world=self.job.world, device=self.device,
        )  # fmt: skip

    def run(
        self,
        criterion: Criterion,
        targets: Callable[[Part], TargetsOf],
        description: str,
        signature: dict[str, Any] | None = None,
        cv_minibatch: int = 4096,
    ) -> None:
        """Train, and leave a model directory that can be decoded.

        Args:
            targets: gives, for a part, the function from an utterance to its targets.
            description: of the criterion, written to the file `criterion` of the model directory.
            signature: what else must be the same when the training is resumed.
        """
        args, task = self.args, self.task
        model = self._network()

        def prepare() -> None:
            """What decoding needs; the counts are over all alignments, of utterances with and without features."""
            forget_priors(self.directory)
            copy_kaldi_files(args.ali_train, self.directory)
            # Half a frame is added to every pdf, as analyze-counts does.
            write_counts(self.directory / "ali_train_pdf.counts", task.counts + 0.5)
            write_text(self.directory / "cmvn_opts", args.cmvn_opts + "\n")
            write_text(self.directory / "delta_opts", args.delta_opts + "\n")
            copy_feat_opts(args.data_train, self.directory)
            write_text(self.directory / "criterion", description + "\n")

        rate = args.learn_rate
        if rate is None:
            rate = default_rate(model.config)
        schedule = Newbob(
            rate, args.start_halving_impr, args.end_halving_impr, args.halving_factor, args.max_iters, args.min_iters,
            args.keep_lr_iters,
        )  # fmt: skip
        loop = LoopOptions(
            momentum=args.momentum,
            momentum_from_epoch=args.momentum_from_epoch,
            scale_rate=args.scale_rate,
            checkpoint_minutes=args.checkpoint_minutes,
        )
        full = {k: v for k, v in vars(args).items() if k not in _UNIMPORTANT}
        full |= {"feat_dim": model.feat_dim, "num_pdfs": model.num_pdfs, "world": self.job.world}
        full |= {"precision": str(model.compute_dtype), "device": self.device.type}
        # Alignments or features made again under the same names are another task.
        for name, part in (("train", task.train), ("cv", task.cv)):
            full[f"{name} utterances and alignment"] = part.digest()
            full[f"{name} features"] = part.features.digest(part.frames)
        full |= signature or {}
        train(
            model, criterion, self._shuffler(model, task.train, targets(task.train), args.minibatch_size),
            self._shuffler(model, task.cv, targets(task.cv), cv_minibatch), schedule, self.directory, loop, self.job,
            self.device, full, prepare,
        )  # fmt: skip
        log.info("done: cross-validation loss %.4f, model in %s", schedule.best_loss, self.directory)
        self.job.close()
