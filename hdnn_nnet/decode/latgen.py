"""Decode a table of log-likelihoods, the work of Kaldi's latgen-faster-mapped."""

import logging
import time
from collections.abc import Iterator
from contextlib import ExitStack

import numpy as np

from hdnn_nnet.decode.decoder import Decoder
from hdnn_nnet.decode.numpy_search import NumpySearch
from hdnn_nnet.decode.options import LatgenOptions
from hdnn_nnet.errors import HdnnError
from hdnn_nnet.kaldi.fst import Fst, read_fst
from hdnn_nnet.kaldi.int_vectors import IntVectorWriter
from hdnn_nnet.kaldi.symbols import SymbolTable
from hdnn_nnet.kaldi.tables import read_matrices
from hdnn_nnet.kaldi.transitions import TransitionModel
from hdnn_nnet.lattice.best_path import best_paths, path_alignment
from hdnn_nnet.lattice.table import LatticeWriter

log = logging.getLogger(__name__)

_LONG = 6000  # frames; a minute
_BYTES_AN_ARC = 170


def _batches(rspecifier: str, num_pdfs: int, batch_frames: int) -> Iterator[list[tuple[str, np.ndarray]]]:
    batch: list[tuple[str, np.ndarray]] = []
    for key, matrix in read_matrices(rspecifier):
        if matrix.shape[1] != num_pdfs:
            raise HdnnError(
                f"{rspecifier}, key {key}: {matrix.shape[1]} log-likelihoods a frame for {num_pdfs} pdfs of the model; "
                "network and transition model do not belong together"
            )
        if batch and sum(len(m) for _, m in batch) + len(matrix) > batch_frames:
            yield batch
            batch = []
        batch.append((key, matrix))
    if batch:
        yield batch


def memory_of_search(frames: int, graph: Fst, max_active: int) -> float:
    """Bytes that the search of an utterance takes at most, about: k2 keeps the arcs of all frames until the end.

    Measured with k2 1.23.4 on 1000 to 30000 frames: 185 kB a frame where all 1113 arcs of a graph were alive.
    """
    arcs = graph.num_arcs / max(graph.num_states, 1) * min(max_active, graph.num_states)
    return frames * arcs * _BYTES_AN_ARC


def latgen(options: LatgenOptions) -> int:
    """Decode and write lattices; gives the number of utterances decoded.

    Raises:
        HdnnError: unreadable input, or files that do not belong together.
    """
    search = options.search
    symbols = SymbolTable.read(options.word_symbol_table).symbols if options.word_symbol_table else {}
    graph = read_fst(options.graph)
    decoder = Decoder(graph, TransitionModel.read(options.model).tid_to_pdf, search)
    done = failed = partial = cut = frames = 0
    likelihood, began = 0.0, time.monotonic()
    scale, none = np.array([search.acoustic_scale]), np.zeros(1)
    with ExitStack() as stack:
        lattices = stack.enter_context(LatticeWriter(options.lattices))
        words = stack.enter_context(IntVectorWriter(options.words)) if options.words else None
        alignments = stack.enter_context(IntVectorWriter(options.alignments)) if options.alignments else None
        for batch in _batches(options.loglikes, decoder.num_pdfs, options.batch_frames):
            for key, matrix in batch:
                if len(matrix) > _LONG and not isinstance(decoder.search, NumpySearch):
                    size = memory_of_search(len(matrix), graph, search.max_active) / 1e9
                    log.warning(
                        "utterance %s has %d frames, which are searched in one piece: that may take %.1f GB; cut it by "
                        "segments, lower --max-active, or take --search numpy", key, len(matrix), size,
                    )  # fmt: skip
            results = decoder.decode([matrix for _, matrix in batch])
            for (key, matrix), result in zip(batch, results, strict=True):
                if result.lattice is None or (result.partial and not options.allow_partial):
                    log.warning("utterance %s: no final state was reached, no lattice is written", key)
                    failed += 1
                    continue
                if result.partial:
                    log.warning("utterance %s: no final state was reached, partial lattice", key)
                    partial += 1
                cut += result.cut
                best = best_paths(result.lattice, scale, none, key)[0]
                lattices.write_lattice(key, result.lattice)
                if words is not None:
                    words.write_vector(key, best.words)
                if alignments is not None:
                    alignments.write_vector(key, path_alignment(result.lattice, best))
                if symbols:
                    log.info("%s %s", key, " ".join(symbols.get(w, f"#{w}") for w in best.words.tolist()))
                score = -(best.graph + search.acoustic_scale * best.acoustic)
                log.info("log-likelihood per frame of %s is %.6g over %d frames", key, score / len(matrix), len(matrix))
                likelihood += score
                frames += len(matrix)
                done += 1
    seconds = time.monotonic() - began
    log.info("%.1f s, real-time factor %.4f at 100 frames a second", seconds, 100 * seconds / max(frames, 1))
    log.info("done %d utterances, failed %d, partial %d, cut to --max-mem %d", done, failed, partial, cut)
    log.info("overall log-likelihood per frame is %.6g over %d frames", likelihood / max(frames, 1), frames)
    return done
