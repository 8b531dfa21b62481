"""Monophone training from a flat start, by the schedule of Kaldi's steps/train_mono.sh.

The utterances are dealt out to worker processes, each of which keeps its training graphs and alignments (and, if they
fit, its features) in memory; a pass sends the model to the workers and adds up the statistics that come back.
"""

import contextlib
import itertools
import logging
import multiprocessing
import traceback
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from hdnn_nnet.align.aligner import Aligner, GraphCompiler, equal_alignment
from hdnn_nnet.align.options import AlignOptions
from hdnn_nnet.errors import HdnnError
from hdnn_nnet.feats.reader import FeatureReader
from hdnn_nnet.gmm.em import BLOCK_FRAMES, Statistics, split_gmms, split_targets, update_gmms, update_transitions
from hdnn_nnet.gmm.model import DiagGmms, LogLikelihoods
from hdnn_nnet.gmm.options import MonoOptions
from hdnn_nnet.kaldi.symbols import read_integer_lines, read_integers
from hdnn_nnet.kaldi.topology import HmmTopology
from hdnn_nnet.kaldi.transitions import TransitionModel
from hdnn_nnet.kaldi.tree import ContextDependency, monophone_tree, monophone_tuples
from hdnn_nnet.lang.transcripts import Transcripts

log = logging.getLogger(__name__)


@dataclass
class PassResult:
    """What one worker did in one pass."""

    statistics: Statistics | None = None
    retried: int = 0
    failed: list[str] = field(default_factory=list)


class UtteranceSet:
    """A share of the utterances with their graphs and alignments; lives in one worker."""

    def __init__(
        self,
        reader: FeatureReader,
        words: Mapping[str, Sequence[int]],
        lang: Path,
        transition_model: TransitionModel,
        tree: ContextDependency,
        cache: bool,
    ) -> None:
        self.reader = reader
        self.tree = tree
        self._cache: dict[str, np.ndarray] | None = {} if cache else None
        compiler = GraphCompiler(transition_model, tree, lang)
        self.graphs = {utterance: compiler.compile(numbers) for utterance, numbers in words.items()}
        self.alignments: dict[str, np.ndarray] = {}

    def features(self, utterance: str) -> np.ndarray:
        if self._cache is None:
            return self.reader[utterance]
        if utterance not in self._cache:
            self._cache[utterance] = self.reader[utterance]
        return self._cache[utterance]

    def align_equally(self) -> PassResult:
        """Spread the frames over the states of a random path; the same path in every run."""
        result = PassResult()
        for utterance, graph in self.graphs.items():
            frames = len(self.features(utterance))
            path = (
                None if graph is None else equal_alignment(graph, frames, zlib.crc32(utterance.encode()) & 0x7FFFFFFF)
            )
            if path is None:
                result.failed.append(utterance)
            else:
                self.alignments[utterance] = path
        return result

    def align(self, transition_model: TransitionModel, gmms: DiagGmms, options: AlignOptions) -> PassResult:
        """Align anew; an utterance that fails loses its alignment until the next time."""
        result = PassResult()
        aligner = Aligner(transition_model, self.tree, options)
        log_likelihoods = LogLikelihoods(gmms)
        for utterance, graph in self.graphs.items():
            path = None
            if graph is not None:
                path = aligner.align(utterance, graph, log_likelihoods(self.features(utterance)))
            if path is None:
                self.alignments.pop(utterance, None)
                result.failed.append(utterance)
            else:
                self.alignments[utterance] = path
        result.retried = aligner.retried
        return result

    def accumulate(self, transition_model: TransitionModel, gmms: DiagGmms) -> PassResult:
        """Statistics of all aligned utterances."""
        statistics = Statistics.zeros(gmms, transition_model)
        for block in _blocks(self.alignments):
            features = np.concatenate([self.features(utterance) for utterance in block])
            ids = np.concatenate([self.alignments[utterance] for utterance in block])
            statistics.accumulate(gmms, transition_model, features, ids)
        return PassResult(statistics)

    def get_alignments(self) -> dict[str, np.ndarray]:
        return self.alignments


def _blocks(alignments: Mapping[str, np.ndarray], frames: int = BLOCK_FRAMES) -> Iterator[list[str]]:
    """Utterances in groups of about `frames` frames: large enough to be fast, small enough for the memory."""
    block: list[str] = []
    count = 0
    for utterance, path in alignments.items():
        block.append(utterance)
        count += len(path)
        if count >= frames:
            yield block
            block, count = [], 0
    if block:
        yield block


class Workers:
    """Calls a method of every worker's UtteranceSet. With one worker everything runs in this process."""

    def __init__(self, sets: Sequence[tuple[Any, ...]]) -> None:
        self._local: UtteranceSet | None = None
        self._pipes: list[Any] = []
        self._processes: list[Any] = []
        if len(sets) == 1:
            self._local = UtteranceSet(*sets[0])
            return
        # Forked, so that the data reach the workers without being copied.
        context = multiprocessing.get_context("fork")
        for arguments in sets:
            ours, theirs = context.Pipe()
            process = context.Process(target=_serve, args=(theirs, arguments), daemon=True)
            process.start()
            theirs.close()
            self._pipes.append(ours)
            self._processes.append(process)
        self._collect()

    def call(self, method: str, *arguments: Any) -> list[Any]:
        """Call `method` in all workers at once; their answers in order."""
        if self._local is not None:
            return [getattr(self._local, method)(*arguments)]
        for pipe in self._pipes:
            pipe.send((method, arguments))
        return self._collect()

    def _collect(self) -> list[Any]:
        answers = []
        for number, pipe in enumerate(self._pipes, 1):
            try:
                good, answer = pipe.recv()
            except EOFError as error:
                raise HdnnError(f"training process {number} died (out of memory?); use fewer with --nj") from error
            if not good:
                raise HdnnError(f"training process {number}: {answer}")
            answers.append(answer)
        return answers

    def close(self) -> None:
        for pipe, process in zip(self._pipes, self._processes, strict=True):
            # Said in so many words: workers forked later hold copies of the pipe, so closing it would not be noticed.
            with contextlib.suppress(OSError):
                pipe.send(None)
            pipe.close()
            process.join(timeout=10)
            if process.is_alive():
                process.terminate()


def _serve(pipe: Any, arguments: tuple[Any, ...]) -> None:
    try:
        utterances = UtteranceSet(*arguments)
        pipe.send((True, None))
        while True:
            request = pipe.recv()
            if request is None:
                return
            method, words = request
            pipe.send((True, getattr(utterances, method)(*words)))
    except HdnnError as error:
        pipe.send((False, str(error)))
    except Exception:
        pipe.send((False, traceback.format_exc()))


def deal(utterances: Sequence[str], parts: int) -> list[list[str]]:
    """Contiguous parts of about equal size; none is empty."""
    parts = max(1, min(parts, len(utterances)))
    bounds = [len(utterances) * part // parts for part in range(parts + 1)]
    return [list(utterances[first:last]) for first, last in itertools.pairwise(bounds)]


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


def silence_pdfs(transition_model: TransitionModel, lang: Path) -> list[int]:
    """The pdfs of the optional silence."""
    phones = read_integers(lang / "phones" / "optional_silence.int")
    return sorted(set(transition_model.tid_to_pdf[np.isin(transition_model.tid_to_phone, phones)].tolist()))


@dataclass
class MonoResult:
    """A trained system: model, tree, alignments by worker, and the utterances that have none."""

    transition_model: TransitionModel
    tree: ContextDependency
    gmms: DiagGmms
    occupancies: np.ndarray
    alignments: list[dict[str, np.ndarray]]
    failed: list[str]


def train_mono(
    reader: FeatureReader, texts: Mapping[str, str], lang: Path, options: MonoOptions, workers: int = 1
) -> MonoResult:
    """Train monophones on all utterances of `reader` that have a transcript in `texts`."""
    transcripts = Transcripts(lang)
    utterances = [utterance for utterance in reader.utts if utterance in texts]
    if not utterances:
        raise HdnnError(f"{reader.data_dir}: no utterance has both features and a transcript")
    words = {utterance: transcripts.numbers(texts[utterance]) for utterance in utterances}
    log.info("%d utterances, %d unknown words", len(utterances), transcripts.unknown)
    transition_model, tree, gmms = flat_start(reader, lang)
    frames = sum(reader.num_frames[utterance] for utterance in utterances)
    cache = frames * reader.dim * 4 <= options.cache_bytes
    parts = deal(utterances, workers)
    team = Workers([(reader, {u: words[u] for u in part}, lang, transition_model, tree, cache) for part in parts])
    generator = np.random.default_rng(options.seed)
    try:
        failed = _failures(team.call("align_equally"))
        statistics = _sum(team.call("accumulate", transition_model, gmms))
        transition_model = update_transitions(transition_model, statistics.transitions)
        gmms = update_gmms(gmms, statistics, min_occupancy=3)
        num_gauss = float(gmms.num_gauss)
        growth = (options.totgauss - num_gauss) / options.max_iter_inc
        occupancies = np.ones(gmms.num_pdfs)
        for iteration in range(1, options.num_iters):
            if iteration in options.realign_iters:
                beam = options.initial_beam if iteration == 1 else options.align.beam
                boosted = gmms.boosted(silence_pdfs(transition_model, lang), options.boost_silence)
                align = replace(options.align, beam=beam)
                results = team.call("align", transition_model, boosted, align)
                failed = _failures(results)
                log.info(
                    "pass %d: %d utterances retried with beam %g, %d failed",
                    iteration, sum(r.retried for r in results), align.retry_beam, len(failed),
                )  # fmt: skip
                if len(failed) == len(utterances):
                    raise HdnnError(f"{reader.data_dir}: no utterance could be aligned; do transcripts and audio fit?")
            statistics = _sum(team.call("accumulate", transition_model, gmms))
            occupancies = np.add.reduceat(statistics.occupancy, gmms.offsets[:-1])
            transition_model = update_transitions(transition_model, statistics.transitions)
            gmms = update_gmms(gmms, statistics)
            targets = split_targets(occupancies, int(num_gauss), options.power, min_count=20.0)
            gmms = split_gmms(gmms, targets, generator)
            log.info(
                "pass %d: log-likelihood %.4f a frame over %d frames, %d Gaussians",
                iteration, statistics.log_likelihood / statistics.frames, statistics.frames, gmms.num_gauss,
            )  # fmt: skip
            if iteration <= options.max_iter_inc:
                num_gauss += growth
        alignments = team.call("get_alignments")
    finally:
        team.close()
    return MonoResult(transition_model, tree, gmms, occupancies, alignments, failed)


def _failures(results: Sequence[PassResult]) -> list[str]:
    return [utterance for result in results for utterance in result.failed]


def _sum(results: Sequence[PassResult]) -> Statistics:
    total = results[0].statistics
    assert total is not None
    for result in results[1:]:
        assert result.statistics is not None
        total.add(result.statistics)
    return total
