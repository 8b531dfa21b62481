"""Sequence training from its options to the finished model directory."""

import logging
import zlib
from collections import Counter
from dataclasses import replace
from pathlib import Path

import torch

from hdnn_nnet.atomic import copy_file, write_text
from hdnn_nnet.decode.options import SearchOptions
from hdnn_nnet.device.precision import choose_device, choose_dtype, choose_threads
from hdnn_nnet.errors import HdnnError
from hdnn_nnet.feats.source import FeatureSource
from hdnn_nnet.kaldi.accounting import Accounting
from hdnn_nnet.kaldi.alignments import read_alignments
from hdnn_nnet.kaldi.data_dir import copy_feat_opts
from hdnn_nnet.kaldi.symbols import read_integers
from hdnn_nnet.kaldi.transitions import TransitionModel
from hdnn_nnet.nn.model_dir import copy_kaldi_files, load_model, read_option_file, require_frame_rate
from hdnn_nnet.nn.networks import AcousticModel
from hdnn_nnet.nn.prior import counts_path, forget_priors, read_log_prior
from hdnn_nnet.options import flatten
from hdnn_nnet.sequence.forward_backward.engines import get_engine
from hdnn_nnet.sequence.loop import SUMS, Corpus, SequenceTrainer
from hdnn_nnet.sequence.options import SequenceTraining
from hdnn_nnet.sequence.sources import DecodedLattices, LatticeSource, StoredLattices
from hdnn_nnet.train.data import LabelledData
from hdnn_nnet.train.dataset import keep_with_targets, usable_utterances
from hdnn_nnet.train.distributed import join
from hdnn_nnet.train.run import Run
from hdnn_nnet.train.soft_sources import open_source, require_same_tree, some, warn_of_disagreement
from hdnn_nnet.train.teacher import checksum

log = logging.getLogger(__name__)
#: criteria as tables show them
_WRITTEN = {"smbr": "sMBR", "mpfe": "MPFE", "mmi": "MMI"}
#: what they maximise, per frame
_VALUES = {"smbr": "expected frame accuracy", "mpfe": "expected phone accuracy", "mmi": "MMI objective"}


def train_sequence(options: SequenceTraining) -> None:
    """Train a network on lattices and leave its model directory.

    Raises:
        HdnnError: missing or unreadable input, or files that do not belong together.
    """
    get_engine(options.criterion.engine)  # a missing k2 is noticed now
    ranks = join(options.compute.device)
    if not ranks.is_main:
        logging.getLogger().setLevel(logging.WARNING)
    device = choose_device(options.compute.device, ranks.local_rank)
    source, directory = Path(options.src_dir), Path(options.dir)
    directory.mkdir(parents=True, exist_ok=True)
    if source.resolve() == directory.resolve():
        raise HdnnError(f"{directory} is the network to start from; give another directory to write")

    network = load_model(source, options.weights).to(device).train()
    network.compute_dtype = choose_dtype(options.compute.precision, device)
    choose_threads(options.compute.num_threads, network.config.width)
    transitions = TransitionModel.read(Path(options.ali_dir) / "final.mdl")
    if transitions.num_pdfs != network.num_pdfs:
        raise HdnnError(
            f"{source} has {network.num_pdfs} pdfs, {options.ali_dir}/final.mdl {transitions.num_pdfs}; "
            "take alignments of the network's own tree"
        )
    counts = Path(options.class_frame_counts) if options.class_frame_counts else counts_path(source)
    log_prior = torch.from_numpy(read_log_prior(counts, network.num_pdfs)).float()
    corpus, frames = read_corpus(options, network, transitions, device)
    criterion = options.criterion
    if not criterion.silence_phones:
        silence = read_integers(Path(options.lang) / "phones" / "silence.csl")
        criterion = replace(criterion, silence_phones=tuple(silence))

    part = LabelledData(corpus.features, corpus.alignments, frames)
    signature = flatten(options, free=False) | {
        "seed network": checksum(source),
        "world": ranks.world,
        "lattices": corpus.lattices.signature(),
        "utterances and alignment": part.digest(),
        "features": corpus.features.digest(corpus.utts),
        "soft labels": corpus.soft.signature() if corpus.soft else None,
        "precision": str(network.compute_dtype),
        "device type": device.type,
        "prior": zlib.crc32(log_prior.numpy().tobytes()),
        "silence phones": list(criterion.silence_phones),
        "transition model": zlib.crc32((Path(options.ali_dir) / "final.mdl").read_bytes()),
    }
    log.info(
        "%s: %s of %d utterances, %d frames, on %s; %s",
        network.name, criterion.criterion, len(corpus.utts), sum(frames.values()), device,
        dict(corpus.missing) or "all usable",
    )  # fmt: skip
    minutes = options.checkpoint.checkpoint_minutes
    run = Run(directory, ranks, device, signature, minutes, SUMS, "history_sequence.json", "iteration")
    trainer = SequenceTrainer(
        network, log_prior, corpus, criterion, options.updates, run, options.checkpoint.seed, options.soft.temperature
    )
    trainer.train(lambda: prepare(options, network, counts))
    log.info(
        "done: %s %.4f, model in %s", _VALUES[criterion.criterion], run.progress.history[-1]["objective"], directory
    )


def read_corpus(
    options: SequenceTraining, network: AcousticModel, transitions: TransitionModel, device: torch.device
) -> tuple[Corpus, dict[str, int]]:
    """Everything by utterance, and the frames of the usable ones.

    Raises:
        HdnnError: too many utterances without lattice, alignment or soft labels.
    """
    source, limit = Path(options.src_dir), options.updates.max_skipped
    cmvn_opts, delta_opts = (read_option_file(source / name) for name in ("cmvn_opts", "delta_opts"))
    features = FeatureSource([options.data], cmvn_opts, delta_opts, source)
    require_frame_rate(source, features.readers[0])
    if features.dim != network.feat_dim:
        raise HdnnError(f"{options.data} has {features.dim} features a frame, {source} takes {network.feat_dim}")
    alignments = read_alignments(options.ali_dir)
    lattices = open_lattices(options, transitions)
    lengths = {utt: len(ali) for utt, ali in alignments.items()}
    announced = features.readers[0].announced
    frames = usable_utterances(features.readers[0], lengths, options.ali_dir, limit)
    everything = features.num_frames()
    soft = None
    if options.teacher:
        require_same_tree(options.teacher, options.ali_dir)
        soft = open_source(
            options.teacher, [options.data], network.num_pdfs, options.soft, device, options.compute.precision
        )
        soft.fit(frames)
        frames = keep_with_targets(frames, soft.num_frames, "soft labels", limit)
        warn_of_disagreement(soft, {utt: transitions.tid_to_pdf[alignments[utt]] for utt in some(frames)})
    account = Accounting(options.denlats, announced)
    account.require("without features", everything)
    account.require("without alignment or soft labels", frames)
    account.require("without lattice", (utt for utt in frames if utt in lattices))
    account.close(limit, "regenerate the lattices")
    utts = [utt for utt in frames if utt in lattices]
    missing = Counter({reason: len(lost) for reason, lost in account.left_out.items()})
    made = options.lattices
    corpus = Corpus(utts, features, alignments, lattices, transitions, soft, missing, made.refresh, made.lattice_beam)
    return corpus, {utt: frames[utt] for utt in utts}


def open_lattices(options: SequenceTraining, transitions: TransitionModel) -> LatticeSource:
    """The lattices that the options name: stored, or decoded during the training."""
    made = options.lattices
    if not made.decode:
        return StoredLattices(str(Path(options.denlats) / "lat.scp"))
    graph = Path(options.denlats)
    if graph.is_dir():  # a graph directory, or that of make_denlats.sh
        graph /= "HCLG.fst" if (graph / "HCLG.fst").is_file() else "dengraph/HCLG.fst"
    search = SearchOptions(
        acoustic_scale=options.criterion.acoustic_scale, beam=made.beam, lattice_beam=made.lattice_beam,
        max_active=made.max_active,
    )  # fmt: skip
    return DecodedLattices(str(graph), transitions, search)


def prepare(options: SequenceTraining, network: AcousticModel, counts: Path) -> None:
    """What decoding needs, from the seed network."""
    source, directory = Path(options.src_dir), Path(options.dir)
    forget_priors(directory)
    copy_kaldi_files(options.ali_dir, directory)
    copy_file(counts, directory / "ali_train_pdf.counts")
    for name in ("cmvn_opts", "delta_opts"):
        write_text(directory / name, read_option_file(source / name) + "\n")
    copy_feat_opts(source, directory)
    write_text(directory / "criterion", f"{describe(options, network)}\n")


def describe(options: SequenceTraining, network: AcousticModel) -> str:
    """The criterion as tables show it, after that of the seed network."""
    updates = options.updates
    text = read_option_file(Path(options.src_dir) / "criterion") or "CE"
    text += f" + {_WRITTEN[options.criterion.criterion]}"
    text += f" p={updates.smooth_ce:g} (CE)" if updates.smooth_ce else ""
    text += f" p={updates.smooth_kd:g} (KD)" if updates.smooth_kd else ""
    groups = {name: group for name, group in network.parameter_groups().items() if group}
    moved = [name for name, group in groups.items() if group[0].requires_grad]
    return text + (f", {'+'.join(moved)} only" if len(moved) < len(groups) else "")
