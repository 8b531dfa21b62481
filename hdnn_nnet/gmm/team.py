"""Utterances dealt out to worker processes.

Each worker keeps the alignments of its share in memory, and as many features and training graphs as fit; a pass sends the
model to the workers and adds up the statistics that come back.
"""

import contextlib
import itertools
import multiprocessing
import os
import signal
import threading
import traceback
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from multiprocessing import forkserver
from multiprocessing.connection import wait
from pathlib import Path
from typing import Any

import numpy as np

from hdnn_nnet.align.aligner import GraphCompiler, equal_alignment
from hdnn_nnet.align.convert import AlignmentConverter
from hdnn_nnet.align.options import AlignOptions
from hdnn_nnet.errors import HdnnError
from hdnn_nnet.feats.reader import FeatureReader
from hdnn_nnet.gmm.aligner import GmmAligner
from hdnn_nnet.gmm.cache import Cache
from hdnn_nnet.gmm.context_stats import ContextStatistics, ContextWindow
from hdnn_nnet.gmm.em import BLOCK_FRAMES, Statistics, block_frames
from hdnn_nnet.gmm.model import DiagGmms
from hdnn_nnet.kaldi.transitions import TransitionModel
from hdnn_nnet.kaldi.tree import ContextDependency
from hdnn_nnet.kaldi.tree_stats import TreeStats
from hdnn_nnet.processes import cause_of_death

#: share of the memory for training graphs: they are needed in few passes, features in all
_GRAPHS = 0.25
#: bytes of a state with its arcs in OpenFst's vectors (measured: 133 for monophones and for triphones)
_STATE_BYTES = 133


def _graph_bytes(graph: Any) -> int:
    return 0 if graph is None else graph.num_states * _STATE_BYTES


@dataclass
class PassResult:
    """What one worker did in one pass."""

    statistics: Statistics | None = None
    retried: int = 0
    failed: list[str] = field(default_factory=list)


class UtteranceSet:
    """A share of the utterances with their graphs and alignments; lives in one worker.

    A subclass may give other features (`features`) and answer further calls of `Workers.call`.

    Args:
        reader: features of all utterances.
        words: utterance -> word numbers; these utterances are the share.
        cache_bytes: memory for features and training graphs; what does not fit is read or compiled when it is needed.
        alignments: utterance -> transition-ids to begin with, int32, shape (T,). Utterances that the mapping lacks are
            without alignment until they are aligned.
    """

    def __init__(
        self,
        reader: FeatureReader,
        words: Mapping[str, Sequence[int]],
        lang: Path,
        cache_bytes: int,
        alignments: Mapping[str, np.ndarray] | None = None,
    ) -> None:
        self.reader = reader
        self.words = words
        self.lang = lang
        graph_bytes = int(_GRAPHS * cache_bytes)
        self._cache: Cache[np.ndarray] = Cache(cache_bytes - graph_bytes, lambda features: features.nbytes)
        self._graphs: Cache[Any] = Cache(graph_bytes, _graph_bytes)
        self.alignments = {u: alignments[u] for u in words if u in alignments} if alignments else {}
        self._compiler: GraphCompiler | None = None
        self.tree: ContextDependency | None = None

    def compile_graphs(self, transition_model: TransitionModel, tree: ContextDependency) -> None:
        """Take training graphs by this tree from now on; its transition-ids are those of alignments to come."""
        self.tree = tree
        self._compiler = GraphCompiler(transition_model, tree, self.lang)
        self._graphs.clear()

    def graph(self, utterance: str) -> Any:
        """The training graph, a kaldifst.StdVectorFst; None if the lexicon cannot produce the words."""
        compiler = self._compiler
        assert compiler is not None, "compile_graphs comes first"
        return self._graphs.get(utterance, lambda utterance: compiler.compile(self.words[utterance], utterance))

    def features(self, utterance: str) -> np.ndarray:
        """float32, shape (T, D)."""
        return self._cache.get(utterance, self.reader.__getitem__)

    def align_equally(self) -> PassResult:
        """Spread the frames over the states of a random path; the same path in every run."""
        result = PassResult()
        for utterance in self.words:
            graph = self.graph(utterance)
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
        assert self.tree is not None, "graphs come first"
        result = PassResult()
        aligner = GmmAligner(transition_model, self.tree, gmms, options)
        for utterance in self.words:
            graph = self.graph(utterance)
            path = None
            if graph is not None:
                path = aligner.align_features(utterance, graph, self.features(utterance))
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
        for block in blocks(self.alignments, block_frames(gmms.num_pdfs)):
            features = np.concatenate([self.features(utterance) for utterance in block])
            ids = np.concatenate([self.alignments[utterance] for utterance in block])
            statistics.accumulate(gmms, transition_model, features, ids)
        return PassResult(statistics)

    def tree_statistics(self, transition_model: TransitionModel, window: ContextWindow) -> TreeStats:
        """Statistics by context of all aligned utterances, whose transition-ids are those of `transition_model`."""
        statistics = ContextStatistics(transition_model, window)
        for block in blocks(self.alignments):
            statistics.add((self.features(utterance), self.alignments[utterance]) for utterance in block)
        return statistics.result()

    def convert_alignments(self, old: TransitionModel, new: TransitionModel, tree: ContextDependency) -> PassResult:
        """Turn the alignments into those of a new tree; utterances whose alignment is damaged lose it."""
        convert = AlignmentConverter(old, new, tree)
        converted = {utterance: convert(path) for utterance, path in self.alignments.items()}
        self.alignments = {utterance: path for utterance, path in converted.items() if path is not None}
        return PassResult(failed=[utterance for utterance, path in converted.items() if path is None])

    def has_alignments(self) -> bool:
        return bool(self.alignments)

    def get_alignments(self) -> dict[str, np.ndarray]:
        return self.alignments


def blocks(alignments: Mapping[str, np.ndarray], frames: int = BLOCK_FRAMES) -> Iterator[list[str]]:
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
    """Calls a method of every worker's UtteranceSet. With one worker everything runs in this process.

    Args:
        sets: for each worker the arguments of its UtteranceSet, which can be pickled.
        kind: UtteranceSet or a subclass of it.
    """

    def __init__(self, sets: Sequence[tuple[Any, ...]], kind: type[UtteranceSet] = UtteranceSet) -> None:
        self._local: UtteranceSet | None = None
        self._pipes: list[Any] = []
        self._processes: list[Any] = []
        if len(sets) == 1:
            self._local = kind(*sets[0])
            return
        # Not forked from this process: torch, BLAS and OpenFst may run threads in it, and a lock that one of them holds would
        # stay locked in the child for ever. The server that they are forked from has only imported what they need.
        context = multiprocessing.get_context("forkserver")
        context.set_forkserver_preload([kind.__module__])
        for arguments in sets:
            ours, theirs = context.Pipe()
            process = context.Process(target=_serve, args=(theirs, kind, arguments), daemon=True)
            process.start()
            theirs.close()
            self._pipes.append(ours)
            self._processes.append(process)
        self._collect()

    def __enter__(self) -> "Workers":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def call(self, method: str, *arguments: Any) -> list[Any]:
        """Call `method` in all workers at once; their answers in order."""
        if self._local is not None:
            return [getattr(self._local, method)(*arguments)]
        for number, pipe in enumerate(self._pipes, 1):
            try:
                pipe.send((method, arguments))
            except OSError as error:
                raise self._died(number) from error
        return self._collect()

    def _collect(self) -> list[Any]:
        answers = []
        for number, pipe in enumerate(self._pipes, 1):
            try:
                good, answer = pipe.recv()
            except (EOFError, OSError) as error:
                raise self._died(number) from error
            if not good:
                raise HdnnError(f"training process {number}: {answer}")
            answers.append(answer)
        return answers

    def _died(self, number: int) -> HdnnError:
        """Of what a process died."""
        process = self._processes[number - 1]
        process.join(timeout=10)
        return HdnnError(f"training process {number} (process {process.pid}) {cause_of_death(process.exitcode)}")

    def close(self) -> None:
        for pipe, process in zip(self._pipes, self._processes, strict=True):
            with contextlib.suppress(OSError):
                pipe.send(None)
            pipe.close()
            process.join(timeout=10)
            if process.is_alive():
                process.terminate()
        if self._processes:
            _end_server()


def _end_server() -> None:
    """End the server that workers are forked from, and wait for it, so that their processor time counts as this process's."""
    stop = getattr(forkserver._forkserver, "_stop", None)  # type: ignore[attr-defined]  # no public name in Python 3.11 to 3.13
    if stop is not None:
        stop()


def _end_with_training() -> None:
    """End this worker with the process that started the team (not its parent, which is the server that it was forked from)."""
    training = multiprocessing.parent_process()
    if training is not None:
        wait([training.sentinel])
        os.kill(os.getpid(), signal.SIGKILL)


def _serve(pipe: Any, kind: type[UtteranceSet], arguments: tuple[Any, ...]) -> None:
    # The closed pipe would be noticed after the work at hand only.
    threading.Thread(target=_end_with_training, daemon=True).start()
    try:
        utterances = kind(*arguments)
        pipe.send((True, None))
        while True:
            request = pipe.recv()
            if request is None:
                return
            method, words = request
            pipe.send((True, getattr(utterances, method)(*words)))
    except EOFError:  # the training has died
        return
    except HdnnError as error:
        pipe.send((False, str(error)))
    except Exception:
        pipe.send((False, traceback.format_exc()))


def deal(utterances: Sequence[str], parts: int) -> list[list[str]]:
    """Contiguous parts of about equal size; none is empty."""
    parts = max(1, min(parts, len(utterances)))
    bounds = [len(utterances) * part // parts for part in range(parts + 1)]
    return [list(utterances[first:last]) for first, last in itertools.pairwise(bounds)]


def failures(results: Sequence[PassResult]) -> list[str]:
    """The utterances that failed in any worker."""
    return [utterance for result in results for utterance in result.failed]


def total(results: Sequence[PassResult]) -> Statistics:
    """The workers' statistics added up."""
    first = results[0].statistics
    assert first is not None
    for result in results[1:]:
        assert result.statistics is not None
        first.add(result.statistics)
    return first
