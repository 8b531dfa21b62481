"""Train a network by frame-level cross-entropy (the counterpart of steps/nnet/train.sh)."""

import functools
import logging
import zlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from hdnn_nnet.atomic import write_text
from hdnn_nnet.cli import OptionParser, kaldi_bool, run
from hdnn_nnet.errors import HdnnError
from hdnn_nnet.feats.reader import FeatureReader
from hdnn_nnet.kaldi.alignments import read_pdf_alignments, write_counts
from hdnn_nnet.kaldi.transitions import TransitionModel
from hdnn_nnet.model_dir import copy_kaldi_files, load_weights
from hdnn_nnet.nn.config import ACTIVATIONS, GATES, NetworkConfig, parse_name
from hdnn_nnet.nn.networks import build_network
from hdnn_nnet.precision import PRECISIONS, choose_device, choose_dtype, choose_threads
from hdnn_nnet.train.criteria import CrossEntropy
from hdnn_nnet.train.dataset import global_statistics, usable_utterances
from hdnn_nnet.train.distributed import join
from hdnn_nnet.train.frames import FrameShuffler
from hdnn_nnet.train.loop import LoopOptions, train
from hdnn_nnet.train.newbob import Newbob

log = logging.getLogger(__name__)
PROGRAM = "hdnn-train-ce"


def parser() -> OptionParser:
    """Options of the program; defaults as in Kaldi's nnet1 recipe but for momentum and rate (see RESULTS)."""
    options = OptionParser(PROGRAM, __doc__ or "")
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
    options.add_argument("--learn-rate", type=float, help="per frame; default 0.004 for hdnn, 0.008 for dnn")
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
    return options


def _digest(labels: dict[str, np.ndarray], frames: dict[str, int]) -> int:
    """Checksum of the utterances used, in order, and their pdf-ids."""
    checksum = 0
    for utt in frames:
        checksum = zlib.crc32(np.ascontiguousarray(labels[utt]).tobytes(), zlib.crc32(utt.encode(), checksum))
    return checksum


def _first_frames(features: FeatureReader, frames: dict[str, int]) -> int:
    """Checksum of the features of some twenty utterances, normalised as in training."""
    utts = list(frames)
    return functools.reduce(lambda c, u: zlib.crc32(features[u].tobytes(), c), utts[:: max(1, len(utts) // 20)], 0)


def main(argv: Sequence[str] | None = None) -> int:
    args = parser().parse_args(argv)
    job = join(args.device)
    if not job.is_main:
        logging.getLogger().setLevel(logging.WARNING)
    device = choose_device(args.device, job.local_rank)
    directory = Path(args.dir)
    directory.mkdir(parents=True, exist_ok=True)

    transitions = TransitionModel.read(Path(args.ali_train) / "final.mdl")
    features: dict[str, FeatureReader] = {}
    labels: dict[str, dict[str, np.ndarray]] = {}
    frames: dict[str, dict[str, int]] = {}
    counts = np.zeros(transitions.num_pdfs, dtype=np.int64)
    for part, data, ali in (("train", args.data_train, args.ali_train), ("cv", args.data_cv, args.ali_cv)):
        features[part] = FeatureReader(data, args.cmvn_opts, args.delta_opts)
        if part == "cv" and Path(ali).resolve() == Path(args.ali_train).resolve():
            alignments = labels["train"]
        else:
            alignments = read_pdf_alignments(ali, transitions)
            for pdfs in alignments.values():
                counts += np.bincount(pdfs, minlength=transitions.num_pdfs)
        labels[part] = alignments
        lengths = {utt: len(pdfs) for utt, pdfs in alignments.items()}
        frames[part] = usable_utterances(features[part], lengths, ali)
    shared = frames["train"].keys() & frames["cv"].keys()
    if shared:
        raise HdnnError(f"{len(shared)} utterances are in both {args.data_train} and {args.data_cv}; split by speaker")

    arch, width, depth = parse_name(args.network)
    choose_threads(args.num_threads, width)
    config = NetworkConfig(
        arch=arch,
        feat_dim=features["train"].dim,
        num_pdfs=transitions.num_pdfs,
        width=width,
        depth=depth,
        left_context=args.splice,
        right_context=args.splice,
        activation=args.activation,
        gates=args.gates,
        tied_gates=args.tied_gates,
    )
    model = build_network(config, args.seed)
    if args.init and not (directory / "checkpoint.safetensors").exists():
        load_weights(model, args.init)
    else:
        mean, variance = global_statistics(features["train"], frames["train"])
        model.set_normalisation(torch.from_numpy(mean), torch.from_numpy(variance))
    model.to(device)
    model.compute_dtype = choose_dtype(args.precision, device)
    log.info(
        "%s: %d parameters, %d inputs, %d pdfs; %s on %s; %d + %d frames",
        config.name,
        model.num_parameters(),
        config.input_dim,
        config.num_pdfs,
        "bf16" if model.compute_dtype else "fp32",
        device,
        sum(frames["train"].values()),
        sum(frames["cv"].values()),
    )

    mean, scale = model.mean.cpu().numpy(), model.inverse_std.cpu().numpy()

    def shuffler(part: str, size: int) -> FrameShuffler:
        reader, pdfs = features[part], labels[part]

        def normalised(utt: str) -> np.ndarray:
            return (reader[utt] - mean) * scale

        def targets(utt: str) -> tuple[np.ndarray, ...]:
            return (pdfs[utt].astype(np.int64),)

        return FrameShuffler(
            frames[part], normalised, targets, args.splice, args.splice, size,
            block_frames=args.block_frames, seed=args.seed, rank=job.rank, world=job.world, device=device,
        )  # fmt: skip

    def prepare() -> None:
        """What decoding needs; the counts are over all alignments, of utterances with and without features."""
        copy_kaldi_files(args.ali_train, directory)
        # Half a frame is added to every pdf, as analyze-counts does.
        write_counts(directory / "ali_train_pdf.counts", counts + 0.5)
        write_text(directory / "cmvn_opts", args.cmvn_opts + "\n")
        write_text(directory / "delta_opts", args.delta_opts + "\n")

    # The gates make highway layers steeper than plain ones: 0.008 overshoots in the first epoch and ends no better.
    learn_rate = args.learn_rate if args.learn_rate is not None else 0.004 if arch == "hdnn" else 0.008
    schedule = Newbob(
        learn_rate,
        args.start_halving_impr,
        args.end_halving_impr,
        args.halving_factor,
        args.max_iters,
        args.min_iters,
        args.keep_lr_iters,
    )
    loop = LoopOptions(
        momentum=args.momentum,
        momentum_from_epoch=args.momentum_from_epoch,
        scale_rate=args.scale_rate,
        checkpoint_minutes=args.checkpoint_minutes,
    )
    unimportant = ("config", "verbose", "checkpoint_minutes", "device", "dir", "num_threads")
    signature = {k: v for k, v in vars(args).items() if k not in unimportant}
    signature |= {"feat_dim": config.feat_dim, "num_pdfs": config.num_pdfs, "world": job.world}
    signature |= {"precision": str(model.compute_dtype), "device": device.type}
    for part in ("train", "cv"):  # alignments or features made again under the same names are another task
        signature[f"{part} utterances and alignment"] = _digest(labels[part], frames[part])
        signature[f"{part} features"] = _first_frames(features[part], frames[part])
    train(
        model, CrossEntropy(), shuffler("train", args.minibatch_size), shuffler("cv", 4096), schedule, directory, loop,
        job, device, signature, prepare,
    )  # fmt: skip
    log.info("done: cross-validation loss %.4f, model in %s", schedule.best_loss, directory)
    job.close()
    return 0


if __name__ == "__main__":
    run(main, PROGRAM)
