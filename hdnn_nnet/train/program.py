"""What the frame-level training programs have in common: network, shuffled frames, signature, model directory."""

import logging
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from hdnn_nnet.atomic import write_text
from hdnn_nnet.device.precision import choose_device, choose_dtype, choose_threads
from hdnn_nnet.feats.description import FeatureDescription
from hdnn_nnet.kaldi.alignments import write_counts
from hdnn_nnet.kaldi.data_dir import FEATS_OF, copy_feat_opts
from hdnn_nnet.nn.config import NetworkConfig, parse_name
from hdnn_nnet.nn.model_dir import copy_kaldi_files, load_weights, require_frame_rate
from hdnn_nnet.nn.networks import AcousticModel, build_network
from hdnn_nnet.nn.prior import forget_priors
from hdnn_nnet.options import flatten
from hdnn_nnet.train.criteria import Criterion
from hdnn_nnet.train.data import LabelledData, TrainingData, read_training_data
from hdnn_nnet.train.dataset import STATISTICS_FRAMES, global_statistics
from hdnn_nnet.train.distributed import Ranks, join
from hdnn_nnet.train.frames import FrameShuffler, TargetsOf
from hdnn_nnet.train.loop import SUMS, train
from hdnn_nnet.train.masks import Masks
from hdnn_nnet.train.newbob import Newbob
from hdnn_nnet.train.options import FrameTraining
from hdnn_nnet.train.run import Run

log = logging.getLogger(__name__)

_WIDE = 256
#: features in a block, so that one of 256 columns or fewer has as many frames as it should: 1 GiB
_BLOCK_NUMBERS = 1 << 28


def default_rate(config: NetworkConfig) -> float:
    """Learning rate per frame where none is given.

    The gates make highway layers steeper than plain ones, and wide ones steeper than narrow ones: 0.008 overshoots in the
    first epoch, and 256 units end 0.9 points of WER worse at 0.004 than at 0.003 (docs/experiments).
    """
    if config.arch == "dnn":
        return 0.008
    return 0.004 if config.width < _WIDE else 0.003


class Training:
    """One training from its options to the finished model directory.

    Attributes:
        ranks, device: this process's part of the work and where it computes.
        data: features and labels; `data.*.frames` may be cut down before `run`.
    """

    def __init__(self, options: FrameTraining, unlabelled: Sequence[str] = ()) -> None:
        self.options = options
        self.ranks: Ranks = join(options.compute.device)
        if not self.ranks.is_main:
            logging.getLogger().setLevel(logging.WARNING)
        self.device = choose_device(options.compute.device, self.ranks.local_rank)
        self.directory = Path(options.dir)
        self.directory.mkdir(parents=True, exist_ok=True)
        self.data: TrainingData = read_training_data(
            options.data_train, options.data_cv, options.ali_train, options.ali_cv,
            options.features.cmvn_opts, options.features.delta_opts, unlabelled,
        )  # fmt: skip

    def _network(self) -> AcousticModel:
        options, data = self.options.network, self.data
        arch, width, depth = parse_name(options.network)
        choose_threads(self.options.compute.num_threads, width)
        config = NetworkConfig(
            arch=arch,
            feat_dim=data.train.features.dim,
            num_pdfs=data.num_pdfs,
            width=width,
            depth=depth,
            left_context=options.splice,
            right_context=options.splice,
            activation=options.activation,
            gates=options.gates,
            tied_gates=options.tied_gates,
            frame_factor=data.train.features.frame_factor,
        )
        model = build_network(config, self.options.checkpoint.seed)
        if options.init:  # on resuming too: features are normalised with its statistics
            for reader in data.train.features.readers:
                require_frame_rate(Path(options.init).parent, reader)
            load_weights(model, options.init)
        else:
            mean, variance = global_statistics(data.train.features, data.train.frames)
            model.set_normalisation(torch.from_numpy(mean), torch.from_numpy(variance))
        model.to(self.device)
        model.compute_dtype = choose_dtype(self.options.compute.precision, self.device)
        log.info(
            "%s: %d parameters, %d inputs, %d pdfs; %s on %s; %d + %d frames",
            config.name, model.num_parameters(), config.input_dim, config.num_pdfs,
            "bf16" if model.compute_dtype else "fp32", self.device,
            sum(data.train.frames.values()), sum(data.cv.frames.values()),
        )  # fmt: skip
        return model

    def _shuffler(
        self, model: AcousticModel, data: LabelledData, targets: TargetsOf, minibatch_size: int, more_columns: int
    ) -> FrameShuffler:
        normalise = model.array_normaliser()

        def normalised(utt: str) -> np.ndarray:
            return normalise(data.features[utt])

        options = self.options
        block_frames = min(options.update.block_frames, _BLOCK_NUMBERS // (model.feat_dim + more_columns))
        return FrameShuffler(
            data.frames, normalised, targets, model.left_context, model.right_context, minibatch_size,
            block_frames=block_frames, seed=options.checkpoint.seed, rank=self.ranks.rank,
            world=self.ranks.world, device=self.device,
        )  # fmt: skip

    def _masks(self) -> Masks | None:
        """What hides parts of the training features, if anything does."""
        options, features = self.options, self.data.train.features
        if not options.masking.wanted:
            return None
        kind = FeatureDescription.read(options.data_train)
        adapted = (Path(options.data_train) / FEATS_OF).exists()
        if options.masking.freq_masks and (adapted or (kind is not None and kind.kind != "fbank")):
            log.warning("%s: frequency masks are made for log-mel features, which these are not", options.data_train)
        deltas = features.readers[0].deltas
        order = deltas.delta_order if deltas is not None else 0
        return Masks(options.masking, options.checkpoint.seed, features.dim // (order + 1))

    def _prepare(self, description: str) -> None:
        """What decoding needs; the counts are over all alignments, of utterances with and without features."""
        options = self.options
        forget_priors(self.directory)
        copy_kaldi_files(options.ali_train, self.directory)
        # Half a frame is added to every pdf, as analyze-counts does.
        write_counts(self.directory / "ali_train_pdf.counts", self.data.counts + 0.5)
        write_text(self.directory / "cmvn_opts", options.features.cmvn_opts + "\n")
        write_text(self.directory / "delta_opts", options.features.delta_opts + "\n")
        copy_feat_opts(options.data_train, self.directory)
        write_text(self.directory / "criterion", description + "\n")

    def run(
        self,
        criterion: Criterion,
        targets: Callable[[LabelledData], TargetsOf],
        description: str,
        signature: dict[str, Any] | None = None,
        cv_minibatch: int = 4096,
        more_columns: int = 0,
    ) -> None:
        """Train, and leave a model directory that can be decoded.

        Args:
            targets: gives, for data, the function from an utterance to its targets.
            description: of the criterion, written to the file `criterion` of the model directory.
            signature: what else must be the same when the training is resumed.
            more_columns: of features that targets bring, which are held in memory too.
        """
        options, data = self.options, self.data
        model = self._network()
        rate = options.schedule.learn_rate
        schedule = Newbob(default_rate(model.config) if rate is None else rate, options.schedule)
        full = flatten(options, free=False)
        full |= {"feat_dim": model.feat_dim, "num_pdfs": model.num_pdfs, "world": self.ranks.world}
        full |= {"precision": str(model.compute_dtype), "device": self.device.type}
        # Alignments or features regenerated under the same names are another task.
        for name, part in (("train", data.train), ("cv", data.cv)):
            full[f"{name} utterances and alignment"] = part.digest()
            full[f"{name} features"] = part.features.digest(part.frames)
        if sum(data.train.frames.values()) > STATISTICS_FRAMES:  # other values than earlier versions had
            full["frames of the features' statistics"] = STATISTICS_FRAMES
        full |= signature or {}
        if not options.masking.wanted:  # as checkpoints of versions without masking have it
            full = {name: value for name, value in full.items() if name not in flatten(options.masking)}
        if options.schedule.halving_patience == 1:  # as earlier versions and nnet1
            del full["halving_patience"]
        minutes = options.checkpoint.checkpoint_minutes
        training = self._shuffler(model, data.train, targets(data.train), options.update.minibatch_size, more_columns)
        training = replace(training, masking=self._masks())
        validation = self._shuffler(model, data.cv, targets(data.cv), cv_minibatch, more_columns)
        run = Run(self.directory, self.ranks, self.device, full, minutes, SUMS)
        train(model, criterion, training, validation, schedule, options.update, run, lambda: self._prepare(description))
        accuracy = next(line["cv_accuracy"] for line in reversed(run.progress.history) if line["accepted"])
        text = "done: cross-validation loss %.4f, frame accuracy %.4f, model in %s"
        log.info(text, schedule.best_loss, accuracy, self.directory)
        if not schedule.state.finished:
            log.warning("ended by --max-iters before the loss stood still; a larger number goes on from here")
