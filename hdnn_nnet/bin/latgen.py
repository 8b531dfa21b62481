"""Decode log-likelihoods to lattices, with the calling convention of Kaldi's latgen-faster-mapped."""

import logging
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path

import numpy as np

from hdnn_nnet.cli import OptionParser, run
from hdnn_nnet.errors import HdnnError
from hdnn_nnet.kaldi.fst import read_fst
from hdnn_nnet.kaldi.lattice_best import best_paths, path_alignment
from hdnn_nnet.kaldi.lattice_table import IntVectorWriter, LatticeWriter
from hdnn_nnet.kaldi.tables import read_matrices
from hdnn_nnet.kaldi.transitions import TransitionModel

logger = logging.getLogger(__name__)


def _parser() -> OptionParser:
    parser = OptionParser("hdnn-latgen", __doc__ or "")
    parser.add_argument("--acoustic-scale", type=float, default=0.1, help="factor on the log-likelihoods in the search")
    parser.add_argument("--beam", type=float, default=16.0, help="search beam")
    parser.add_argument("--lattice-beam", type=float, default=10.0, help="beam of the lattice around the best path")
    parser.add_argument("--max-active", type=int, default=2147483647, help="about this many states are alive at most")
    parser.add_argument("--min-active", type=int, default=200, help="about this many states are alive at least")
    parser.add_bool("--allow-partial", False, "write a lattice even where no final state was reached")
    parser.add_bool(
        "--determinize-lattice", True, "write word lattices with one alignment a word sequence; if false, all"
    )
    parser.add_argument("--word-symbol-table", default="", help="words.txt: show the recognised words in the log")
    parser.add_argument("--word-history", type=int, default=4, help="words that tell paths apart in word lattices")
    parser.add_argument("--batch-frames", type=int, default=2000, help="frames that are searched together")
    parser.add_argument(
        "--max-mem", type=int, default=50000000, help="bytes an utterance's word lattice may take in the making"
    )
    for name in ("--delta", "--beam-delta", "--hash-ratio", "--prune-interval"):
        parser.add_argument(name, help="accepted as latgen-faster-mapped does; without effect")
    for name in ("--minimize", "--phone-determinize", "--word-determinize"):
        parser.add_bool(name, True, "accepted as latgen-faster-mapped does; without effect")
    parser.add_argument("model", help="transition model (final.mdl)")
    parser.add_argument("graph", help="HCLG.fst")
    parser.add_argument("loglikes", help="rspecifier of log-likelihood matrices, not scaled")
    parser.add_argument("lattices", help="wspecifier of lattices")
    parser.add_argument("words", nargs="?", default="", help="wspecifier of word sequences")
    parser.add_argument("alignments", nargs="?", default="", help="wspecifier of transition-id sequences")
    return parser


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


def main(argv: Sequence[str] | None = None) -> int:
    """Run the program; exit status 0 when at least one utterance was decoded, as latgen-faster-mapped."""
    options = _parser().parse_args(argv)
    for name in ("beam", "lattice_beam", "acoustic_scale", "max_mem"):
        if not getattr(options, name) > 0:
            raise HdnnError(f"--{name.replace('_', '-')} must be positive")
    if options.graph.startswith(("ark:", "scp:")):
        raise HdnnError(f"{options.graph}: one graph for all utterances is expected (HCLG.fst), not a table of graphs")
    # k2 is heavy to import: after the options were found right.
    import torch

    from hdnn_nnet.decode.decoder import Decoder

    torch.set_num_threads(1)
    symbols = _read_symbols(options.word_symbol_table) if options.word_symbol_table else {}
    decoder = Decoder(
        read_fst(options.graph),
        TransitionModel.read(options.model).tid_to_pdf,
        beam=options.beam,
        lattice_beam=options.lattice_beam,
        min_active=options.min_active,
        max_active=options.max_active,
        acoustic_scale=options.acoustic_scale,
        word_history=options.word_history,
        max_mem=options.max_mem,
        determinize=options.determinize_lattice,
    )
    done = failed = partial = cut = frames = 0
    likelihood, began = 0.0, time.monotonic()
    scale, none = np.array([options.acoustic_scale]), np.zeros(1)
    with ExitStack() as stack:
        lattices = stack.enter_context(LatticeWriter(options.lattices))
        words = stack.enter_context(IntVectorWriter(options.words)) if options.words else None
        alignments = stack.enter_context(IntVectorWriter(options.alignments)) if options.alignments else None
        for batch in _batches(options.loglikes, decoder.num_pdfs, options.batch_frames):
            results = decoder.decode([matrix for _, matrix in batch])
            for (key, matrix), result in zip(batch, results, strict=True):
                if result.lattice is None or (result.partial and not options.allow_partial):
                    logger.warning("utterance %s: no final state was reached, no lattice is written", key)
                    failed += 1
                    continue
                if result.partial:
                    logger.warning("utterance %s: no final state was reached, partial lattice", key)
                    partial += 1
                cut += result.cut
                best = best_paths(result.lattice, scale, none, key)[0]
                lattices.write_lattice(key, result.lattice)
                if words is not None:
                    words.write_vector(key, best.words)
                if alignments is not None:
                    alignments.write_vector(key, path_alignment(result.lattice, best))
                if symbols:
                    logger.info("%s %s", key, " ".join(symbols.get(w, f"#{w}") for w in best.words.tolist()))
                score = -(best.graph + options.acoustic_scale * best.acoustic)
                logger.info(
                    "log-likelihood per frame of %s is %.6g over %d frames", key, score / len(matrix), len(matrix)
                )
                likelihood += score
                frames += len(matrix)
                done += 1
    seconds = time.monotonic() - began
    logger.info("%.1f s, real-time factor %.4f at 100 frames a second", seconds, 100 * seconds / max(frames, 1))
    logger.info("done %d utterances, failed %d, partial %d, cut to --max-mem %d", done, failed, partial, cut)
    logger.info("overall log-likelihood per frame is %.6g over %d frames", likelihood / max(frames, 1), frames)
    return 0 if done else 1


def _read_symbols(path: str) -> dict[int, str]:
    try:
        rows = [line.split() for line in Path(path).read_text(encoding="utf-8").splitlines()]
        return {int(number): word for word, number in rows}
    except OSError as error:
        raise HdnnError(f"cannot read the symbol table {path}: {error.strerror}") from error
    except ValueError as error:
        raise HdnnError(f"{path}: every line must be a word and its number ({error})") from error


if __name__ == "__main__":
    run(main, "hdnn-latgen")
