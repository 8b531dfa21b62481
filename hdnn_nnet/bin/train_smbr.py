"""Train a network on lattices by sMBR, MPFE or (boosted) MMI (the counterpart of steps/nnet/train_mpe.sh and train_mmi.sh).

Lattices are those of make_denlats.sh (`lat.scp`), or are decoded during the training on a denominator graph.
"""

import logging
import zlib
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import torch

from hdnn_nnet.atomic import copy_file, write_text
from hdnn_nnet.cli import OptionParser, kaldi_bool, run
from hdnn_nnet.errors import HdnnError
from hdnn_nnet.kaldi.alignments import read_alignments
from hdnn_nnet.kaldi.data_dir import copy_feat_opts
from hdnn_nnet.kaldi.symbols import read_integers
from hdnn_nnet.kaldi.transitions import TransitionModel
from hdnn_nnet.model_dir import copy_kaldi_files, load_model, read_option_file
from hdnn_nnet.precision import PRECISIONS, choose_device, choose_dtype, choose_threads
from hdnn_nnet.prior import counts_path, forget_priors, read_log_prior
from hdnn_nnet.sequence.engines import get_engine
from hdnn_nnet.sequence.loop import Corpus, SequenceLoopOptions, SequenceTrainer
from hdnn_nnet.sequence.objectives import CRITERIA, SequenceOptions
from hdnn_nnet.sequence.sources import DecodedLattices, LatticeSource, StoredLattices
from hdnn_nnet.train.dataset import keep_with_targets
from hdnn_nnet.train.distributed import join
from hdnn_nnet.train.soft_sources import open_source
from hdnn_nnet.train.task import FeatureSource, Part
from hdnn_nnet.train.teacher import checksum

log = logging.getLogger(__name__)
PROGRAM = "hdnn-train-smbr"
#: criteria as tables show them
_WRITTEN = {"smbr": "sMBR", "mpfe": "MPFE", "mmi": "MMI"}
#: options that do not change the result, so that a resumed run may have others
_UNIMPORTANT = ("config", "verbose", "checkpoint_minutes", "device", "dir", "num_threads", "engine")


def parser() -> OptionParser:
    options = OptionParser(PROGRAM, __doc__ or "")
    options.add_argument("data", help="data directory")
    options.add_argument("lang", help="lang directory (phones/silence.csl)")
    options.add_argument("src_dir", help="model directory of the network to start from")
    options.add_argument("ali_dir", help="alignment directory of the data: the reference")
    options.add_argument("denlats", help="directory with lat.scp; with --decode, the denominator graph HCLG.fst")
    options.add_argument("dir", help="model directory to write")
    options.add_argument("--criterion", choices=CRITERIA, default="smbr", help="what is maximised")
    options.add_argument("--num-iters", type=int, default=4, help="passes over the data")
    options.add_argument("--learn-rate", type=float, default=1e-5, help="per frame")
    options.add_argument("--momentum", type=float, default=0.0, help="of the updates")
    options.add_argument("--batch-utts", type=int, default=1, help="utterances of an update, over all processes")
    options.add_argument("--acoustic-scale", type=float, default=0.1, help="of log-likelihoods in lattices")
    options.add_argument("--lm-scale", type=float, default=1.0, help="of the lattices' graph costs")
    options.add_argument("--one-silence-class", type=kaldi_bool, default=True, help="silence for silence is right")
    options.add_argument("--silence-phones", default="", help="colon-separated ids; default: lang/phones/silence.csl")
    options.add_argument("--boost", type=float, default=0.0, help="of boosted MMI")
    options.add_argument(
        "--drop-frames", type=kaldi_bool, default=True, help="MMI: where the reference is not in the lattice"
    )
    options.add_argument(
        "--smooth-ce", type=float, default=0.0, help="p: weight of the cross-entropy with the reference"
    )
    options.add_argument("--smooth-kd", type=float, default=0.0, help="p: weight of the divergence from the teacher")
    options.add_argument("--teacher", default="", help="for --smooth-kd: model directories, soft labels, or a table")
    options.add_argument("--teacher-data", default="", help="data directories with the teacher's features, if others")
    options.add_argument("--temperature", type=float, default=1.0, help="of the teacher's term")
    options.add_argument("--keep-mass", type=float, default=0.999, help="share kept of full posterior matrices")
    options.add_argument(
        "--update", default="all", help="parameter groups that are trained: hidden, gates, softmax, or all"
    )
    options.add_argument("--decode", type=kaldi_bool, default=False, help="make the lattices during training (k2)")
    options.add_argument("--refresh", choices=("epoch", "batch"), default="epoch", help="with --decode: whose lattices")
    options.add_argument("--beam", type=float, default=13.0, help="with --decode")
    options.add_argument(
        "--lattice-beam", type=float, default=7.0, help="of the lattices; narrower to prune large ones"
    )
    options.add_argument("--max-active", type=int, default=5000, help="with --decode")
    options.add_argument("--max-frames", type=int, default=6000, help="longer utterances are skipped")
    options.add_argument("--max-entries", type=int, default=5_000_000, help="arcs and their frames; larger is pruned")
    options.add_argument("--max-skipped", type=float, default=0.1, help="share of utterances that may be skipped")
    options.add_argument("--weights", default="final.safetensors", help="weights file in src_dir")
    options.add_argument("--class-frame-counts", default="", help="for the prior; default: those of src_dir")
    options.add_argument("--engine", choices=("auto", "k2", "torch"), default="auto", help="of the lattice passes")
    options.add_argument("--seed", type=int, default=777, help="of the order of utterances")
    options.add_argument(
        "--checkpoint-minutes", type=float, default=10.0, help="between checkpoints inside an iteration"
    )
    options.add_argument(
        "--num-threads", type=int, default=0, help="CPU threads; 0: one for widths under 256, else all"
    )
    options.add_argument("--device", default="auto", help="auto, cpu, cuda or cuda:N")
    options.add_argument("--precision", choices=PRECISIONS, default="auto", help="of the matrix products")
    return options


def main(argv: Sequence[str] | None = None) -> int:
    args = parser().parse_args(argv)
    if min(args.num_iters, args.batch_utts) < 1 or min(args.smooth_ce, args.smooth_kd) < 0:
        raise HdnnError("--num-iters and --batch-utts must be at least 1, --smooth-ce and --smooth-kd not negative")
    if bool(args.teacher) != bool(args.smooth_kd):
        raise HdnnError("--smooth-kd and --teacher belong together")
    get_engine(args.engine)  # a missing k2 shall be noticed now
    job = join(args.device)
    if not job.is_main:
        logging.getLogger().setLevel(logging.WARNING)
    device = choose_device(args.device, job.local_rank)
    source, directory = Path(args.src_dir), Path(args.dir)
    directory.mkdir(parents=True, exist_ok=True)
    if source.resolve() == directory.resolve():
        raise HdnnError(f"{directory} is the network to start from; give another directory to write")

    network = load_model(source, args.weights).to(device).train()
    network.compute_dtype = choose_dtype(args.precision, device)
    choose_threads(args.num_threads, network.config.width)
    transitions = TransitionModel.read(Path(args.ali_dir) / "final.mdl")
    if transitions.num_pdfs != network.num_pdfs:
        raise HdnnError(
            f"{source} has {network.num_pdfs} pdfs, {args.ali_dir}/final.mdl {transitions.num_pdfs}; "
            "take alignments of the network's own tree"
        )
    counts = Path(args.class_frame_counts) if args.class_frame_counts else counts_path(source)
    log_prior = torch.from_numpy(read_log_prior(counts, network.num_pdfs)).float()
    cmvn_opts, delta_opts = (read_option_file(source / name) for name in ("cmvn_opts", "delta_opts"))
    features = FeatureSource([args.data], cmvn_opts, delta_opts)
    if features.dim != network.feat_dim:
        raise HdnnError(f"{args.data} has {features.dim} features a frame, {source} takes {network.feat_dim}")
    alignments = read_alignments(args.ali_dir)
    lattices: LatticeSource
    if args.decode:
        graph = Path(args.denlats)
        if graph.is_dir():  # a graph directory, or that of make_denlats.sh
            graph /= "HCLG.fst" if (graph / "HCLG.fst").is_file() else "dengraph/HCLG.fst"
        lattices = DecodedLattices(
            str(graph), transitions, args.acoustic_scale, args.beam,
            args.lattice_beam, args.max_active,
        )  # fmt: skip
    else:
        lattices = StoredLattices(str(Path(args.denlats) / "lat.scp"))

    everything = features.num_frames()
    lengths = {utt: len(ali) for utt, ali in alignments.items()}
    frames = keep_with_targets(everything, lengths, args.ali_dir, args.max_skipped)
    soft = None
    if args.teacher:
        data = args.teacher_data.split() or [args.data]
        soft = open_source(
            args.teacher, data, network.num_pdfs, args.temperature, args.keep_mass, device, args.precision
        )
        frames = keep_with_targets(frames, soft.num_frames(), "soft labels", args.max_skipped)
    missing = Counter({"without alignment or soft labels": len(everything) - len(frames)})
    utts = [utt for utt in frames if utt in lattices]
    missing["without lattice"] = len(frames) - len(utts)
    missing = +missing
    if sum(missing.values()) > args.max_skipped * len(everything) or not utts:
        raise HdnnError(
            f"{args.denlats}: {len(utts)} of {len(everything)} utterances of {args.data} have a lattice and an alignment; "
            "make the lattices again"
        )

    given = [int(phone) for phone in args.silence_phones.split(":") if phone]
    silence = given or read_integers(Path(args.lang) / "phones" / "silence.csl")
    criterion = SequenceOptions(
        args.criterion,
        acoustic_scale=args.acoustic_scale,
        lm_scale=args.lm_scale,
        silence_phones=tuple(silence),
        one_silence_class=args.one_silence_class,
        boost=args.boost,
        drop_frames=args.drop_frames,
        engine=args.engine,
    )
    loop = SequenceLoopOptions(
        iterations=args.num_iters,
        learn_rate=args.learn_rate,
        momentum=args.momentum,
        batch_utts=args.batch_utts,
        smooth_ce=args.smooth_ce,
        smooth_kd=args.smooth_kd,
        temperature=args.temperature,
        update=tuple(args.update.split(",")),
        refresh=args.refresh,
        max_frames=args.max_frames,
        max_entries=args.max_entries,
        lattice_beam=args.lattice_beam,
        max_skipped=args.max_skipped,
        seed=args.seed,
        checkpoint_minutes=args.checkpoint_minutes,
    )
    signature = {k: v for k, v in vars(args).items() if k not in _UNIMPORTANT}
    signature |= {"seed network": checksum(source), "world": job.world, "lattices": lattices.signature()}
    part = Part(features, alignments, {utt: frames[utt] for utt in utts})
    signature |= {"utterances and alignment": part.digest()}
    signature |= {"features": features.digest(utts), "soft labels": soft.signature() if soft else None}
    signature |= {"precision": str(network.compute_dtype), "device type": device.type}
    signature |= {"prior": zlib.crc32(log_prior.numpy().tobytes()), "silence phones": list(silence)}
    signature |= {"transition model": zlib.crc32((Path(args.ali_dir) / "final.mdl").read_bytes())}
    log.info(
        "%s: %s of %d utterances, %d frames, on %s; %s",
        network.name, args.criterion, len(utts), sum(frames[u] for u in utts), device, dict(missing) or "all usable",
    )  # fmt: skip

    def prepare() -> None:
        """What decoding needs, from the seed network."""
        forget_priors(directory)
        copy_kaldi_files(args.ali_dir, directory)
        copy_file(counts, directory / "ali_train_pdf.counts")
        write_text(directory / "cmvn_opts", cmvn_opts + "\n")
        write_text(directory / "delta_opts", delta_opts + "\n")
        copy_feat_opts(source, directory)
        before = read_option_file(source / "criterion") or "CE"
        smoothing = f" p={args.smooth_ce:g} (CE)" if args.smooth_ce else ""
        smoothing += f" p={args.smooth_kd:g} (KD)" if args.smooth_kd else ""
        groups = {name: group for name, group in network.parameter_groups().items() if group}
        moved = [name for name, group in groups.items() if group[0].requires_grad]
        if len(moved) < len(groups):
            smoothing += f", {'+'.join(moved)} only"
        write_text(directory / "criterion", f"{before} + {_WRITTEN[args.criterion]}{smoothing}\n")

    corpus = Corpus(utts, features, alignments, lattices, transitions, soft, missing)
    trainer = SequenceTrainer(network, log_prior, corpus, criterion, loop, directory, job, device, signature)
    trainer.run(prepare)
    log.info("done: model in %s", directory)
    job.close()
    return 0


if __name__ == "__main__":
    run(main, PROGRAM)
