"""Monophone training from a flat start, by the schedule of Kaldi's steps/train_mono.sh."""

import logging
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np

from hdnn_nnet.errors import HdnnError
from hdnn_nnet.feats.reader import FeatureReader
from hdnn_nnet.gmm.em import update_gmms, update_transitions
from hdnn_nnet.gmm.model import DiagGmms
from hdnn_nnet.gmm.options import MonoOptions
from hdnn_nnet.gmm.passes import GmmSystem, Schedule, TrainResult, realign_with, run_passes, silence_pdfs
from hdnn_nnet.gmm.shares import independent_shares
from hdnn_nnet.gmm.team import Workers, failures, total
from hdnn_nnet.kaldi.accounting import Accounting
from hdnn_nnet.kaldi.symbols import read_integer_lines
from hdnn_nnet.kaldi.topology import HmmTopology
from hdnn_nnet.kaldi.transitions import TransitionModel
from hdnn_nnet.kaldi.tree import ContextDependency, monophone_tree, monophone_tuples
from hdnn_nnet.lang.transcripts import Transcripts

log = logging.getLogger(__name__)

MAX_LOST = 0.1  # share of utterances that may lack features or a transcript


def flat_start(
    reader: FeatureReader, lang: Path, utterances: int = 10
) -> tuple[TransitionModel, ContextDependency, DiagGmms]:
    """A model whose pdfs all have the mean and variance of the first utterances (Kaldi's gmm-init-mono)."""
    topology = HmmTopology.read(lang / "topo")
    tree = monophone_tree(read_integer_lines(lang / "phones" / "sets.int"), topology)
    transition_model = TransitionModel(topology, monophone_tuples(tree, topology))
    frames = np.concatenate([reader[utterance] for utterance in reader.utts[:utterances]]).astype(np.float64)
    variance = frames.var(axis=0)
    if not (variance > 0).all():
        raise HdnnError(
            f"{reader.data_dir}: a feature never changes in the first {utterances} utterances; extract again"
        )
    return transition_model, tree, DiagGmms.single(tree.num_pdfs, frames.mean(axis=0), variance)


def word_numbers(reader: FeatureReader, texts: Mapping[str, str], lang: Path) -> dict[str, list[int]]:
    """The words of all utterances that have features and a transcript.

    Raises:
        HdnnError: there is none, or more than MAX_LOST of those of the data directory lack one of them.
    """
    account = Accounting(reader.data_dir, reader.announced)
    account.require("without features", reader.utts)
    account.require("without transcript", texts)
    account.close(MAX_LOST, "complete feats.scp and text, or run fix_data_dir.sh")
    transcripts = Transcripts(lang)
    words = {utterance: transcripts.numbers(texts[utterance]) for utterance in reader.utts if utterance in texts}
    log.info("%d utterances, %d unknown words", len(words), transcripts.unknown)
    return words


def train_mono(
    reader: FeatureReader, texts: Mapping[str, str], lang: Path, options: MonoOptions, workers: int = 1
) -> TrainResult:
    """Train monophones on all utterances of `reader` that have a transcript in `texts`."""
    words = word_numbers(reader, texts, lang)
    transition_model, tree, gmms = flat_start(reader, lang)
    with Workers(independent_shares(reader, words, lang, workers, options.cache_bytes)) as team:
        team.call("compile_graphs", transition_model, tree)
        failed = failures(team.call("align_equally"))
        statistics = total(team.call("accumulate", transition_model, gmms))
        transition_model = update_transitions(transition_model, statistics.transitions)
        gmms = update_gmms(gmms, statistics, min_occupancy=3)
        system = GmmSystem(transition_model, tree, gmms, np.ones(gmms.num_pdfs), failed)
        realign = realign_with(options.align, options.realign_iters)
        if 1 in realign:
            realign[1] = replace(options.align, beam=options.initial_beam)
        schedule = Schedule(
            where=reader.data_dir,
            num_iters=options.num_iters, max_iter_inc=options.max_iter_inc, num_gauss=float(gmms.num_gauss),
            growth=(options.totgauss - gmms.num_gauss) / options.max_iter_inc, realign=realign, power=options.power,
            silence_pdfs=silence_pdfs(transition_model, lang), boost_silence=options.boost_silence,
        )  # fmt: skip
        run_passes(team, system, schedule, np.random.default_rng(options.seed))
        return TrainResult.of(team, system)
