"""How training with a tree begins: alignments of an earlier system, statistics, questions, tree, model, alignments.

What Kaldi's train_deltas.sh, train_lda_mllt.sh and train_sat.sh do before their first pass, on whatever features the
workers have.
"""

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from hdnn_nnet.errors import HdnnError
from hdnn_nnet.feats.reader import FeatureReader
from hdnn_nnet.gmm.auto_questions import automatic_questions
from hdnn_nnet.gmm.build_tree import build_tree
from hdnn_nnet.gmm.context_stats import ContextWindow, sum_statistics
from hdnn_nnet.gmm.em import split_gmms, split_targets
from hdnn_nnet.gmm.init_model import init_model
from hdnn_nnet.gmm.options import TriphoneOptions
from hdnn_nnet.gmm.passes import GmmSystem, Schedule, realign_with, silence_pdfs
from hdnn_nnet.gmm.team import Workers, failures
from hdnn_nnet.kaldi.alignments import read_alignments
from hdnn_nnet.kaldi.questions import compile_questions, read_phone_sets
from hdnn_nnet.kaldi.roots import read_roots
from hdnn_nnet.kaldi.symbols import check_phones, read_integers
from hdnn_nnet.kaldi.topology import HmmTopology
from hdnn_nnet.kaldi.transitions import TransitionModel
from hdnn_nnet.kaldi.tree import ContextDependency
from hdnn_nnet.kaldi.tree_stats import TreeStats

log = logging.getLogger(__name__)

MIXUP_POWER = 0.2  # gmm-mixup's default for --power


@dataclass(frozen=True)
class AlignedSource:
    """Alignments to begin with, and the model whose transition-ids they are.

    Attributes:
        alignments: utterance -> int32, shape (T,).
    """

    transition_model: TransitionModel
    alignments: Mapping[str, np.ndarray]


def read_source(ali_dir: Path, lang: Path, reader: FeatureReader) -> AlignedSource:
    """Read an alignment directory, and leave out alignments of utterances that `reader` has with another length.

    Raises:
        HdnnError: other phones or another topology than those of `lang`, or no alignment that fits.
    """
    check_phones(lang, ali_dir)
    model = TransitionModel.read(ali_dir / "final.mdl")
    if model.topology != HmmTopology.read(lang / "topo"):
        raise HdnnError(
            f"{ali_dir}/final.mdl and {lang}/topo have different topologies; align with this lang directory"
        )
    found = read_alignments(ali_dir)
    alignments = {u: path for u, path in found.items() if reader.num_frames.get(u) == len(path)}
    unfit = sum(u in reader.num_frames for u in found) - len(alignments)
    if unfit:
        log.warning("%s: %d alignments have another length than the features and are not used", ali_dir, unfit)
    if not alignments:
        raise HdnnError(f"{ali_dir}: no alignment fits the features in {reader.data_dir}; align this data first")
    largest = max(int(path.max(initial=0)) for path in alignments.values())
    if largest > model.num_transition_ids:
        raise HdnnError(f"{ali_dir}: transition-id {largest} is not in {ali_dir}/final.mdl; align again")
    return AlignedSource(model, alignments)


@dataclass(frozen=True)
class TreeParts:
    """A tree and the sets of phones that its questions came from."""

    tree: ContextDependency
    questions: list[list[int]]


def make_tree(stats: TreeStats, lang: Path, num_leaves: int, options: TriphoneOptions) -> TreeParts:
    """Questions by clustering, those of extra_questions.int, and the tree.

    Raises:
        HdnnError: files of `lang` that list other phones than its topology or the statistics.
    """
    topology = HmmTopology.read(lang / "topo")
    phones = lang / "phones"
    central = options.central_position
    questions = automatic_questions(stats, read_phone_sets(phones / "sets.int", topology), central)
    if (phones / "extra_questions.int").exists():
        questions += read_phone_sets(phones / "extra_questions.int", topology)
    compiled = compile_questions(questions, topology, options.context_width)
    try:
        tree = build_tree(
            stats, read_roots(phones / "roots.int"), compiled, topology,
            max_leaves=num_leaves, cluster_threshold=options.cluster_thresh, central=central,
        )  # fmt: skip
    except HdnnError as error:
        raise HdnnError(f"{phones}/roots.int: {error}") from error
    return TreeParts(tree, questions)


@dataclass(frozen=True)
class Start:
    """What the passes begin with."""

    system: GmmSystem
    questions: list[list[int]]


def start_triphones(
    team: Workers,
    source: TransitionModel,
    lang: Path,
    num_leaves: int,
    options: TriphoneOptions,
    mix_up: bool,
    generator: np.random.Generator,
) -> Start:
    """Make a tree from the workers' alignments, and a model; convert the alignments; compile training graphs.

    Args:
        team: workers whose alignments are of the model `source`, with the features that the new model is to have.
        num_leaves: leaves before clustering, at most.
        mix_up: split Gaussians at once until there are `num_leaves` (train_deltas.sh; the others do not).
    """
    independent = tuple(read_integers(lang / "phones" / "context_indep.csl"))
    window = ContextWindow(options.context_width, options.central_position, independent)
    stats = sum_statistics(team.call("tree_statistics", source, window))
    parts = make_tree(stats, lang, num_leaves, options)
    model, gmms, occupancies = init_model(parts.tree, stats, HmmTopology.read(lang / "topo"))
    if mix_up:
        gmms = split_gmms(gmms, split_targets(occupancies, num_leaves, MIXUP_POWER, min_count=20.0), generator)
    failed = failures(team.call("convert_alignments", source, model, parts.tree))
    if failed:
        log.warning("%d alignments are not whole phones and are not used: %s", len(failed), " ".join(failed[:20]))
    team.call("compile_graphs", model, parts.tree)
    log.info("%d pdfs, %d transition-ids", parts.tree.num_pdfs, model.num_transition_ids)
    return Start(GmmSystem(model, parts.tree, gmms, occupancies), parts.questions)


def triphone_schedule(
    where: Path, system: GmmSystem, lang: Path, num_leaves: int, tot_gauss: int, options: TriphoneOptions
) -> Schedule:
    """The passes of Kaldi's scripts for triphones; hooks can be added by dataclasses.replace."""
    return Schedule(
        where=where, num_iters=options.num_iters, max_iter_inc=options.max_iter_inc, num_gauss=num_leaves,
        growth=int((tot_gauss - num_leaves) / options.max_iter_inc), power=options.power,
        realign=realign_with(options.align, options.realign_iters),
        silence_pdfs=silence_pdfs(system.transition_model, lang), boost_silence=options.boost_silence,
    )  # fmt: skip
