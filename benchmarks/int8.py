"""What 8 bits cost: bytes, frames per second and WER of a model in PyTorch, ONNX float and ONNX 8-bit, one core.

    python3 benchmarks/int8.py [options] MODEL-DIR GRAPH-DIR TRAIN-DATA TEST-DATA

From stored features, so that it also takes models whose features no device has (fMLLR, normalised by speaker). Each form's
log-likelihoods go through the k2 decoder once. LM weight and penalty are the best of the first form's, for all.
"""

import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
import torch

from hdnn_nnet.cli import script
from hdnn_nnet.decode.decoder import Decoder
from hdnn_nnet.decode.options import SearchOptions
from hdnn_nnet.errors import HdnnError
from hdnn_nnet.export.onnx_graph import build
from hdnn_nnet.export.onnx_session import OnnxModel
from hdnn_nnet.export.quantise import quantise
from hdnn_nnet.feats.reader import FeatureReader
from hdnn_nnet.graph.graph_dir import check_graph
from hdnn_nnet.kaldi.symbols import SymbolTable
from hdnn_nnet.kaldi.transitions import TransitionModel
from hdnn_nnet.lattice.types import AnyLattice
from hdnn_nnet.nn.forward import compute, model_features
from hdnn_nnet.nn.model_dir import load_model
from hdnn_nnet.nn.prior import counts_path, read_log_prior
from hdnn_nnet.options import Options as Base
from hdnn_nnet.options import argument, group, option
from hdnn_nnet.runtime.options import Search
from hdnn_nnet.score.sweep import Combination, combinations, sweep
from hdnn_nnet.score.text import read_text
from hdnn_nnet.score.wer import compute_wer

Forward = Callable[[np.ndarray], np.ndarray]
FORMS = ("PyTorch", "ONNX float", "ONNX 8-bit")


@dataclass(frozen=True, kw_only=True)
class Options(Base):
    """Benchmark."""

    model_dir: Path = argument("trained model")
    graph_dir: Path = argument("decoding graph")
    train_data: Path = argument("data directory that sets the 8-bit scales")
    test_data: Path = argument("data directory to recognise")
    calibration_utterances: int = option(50, "utterances that set the 8-bit scales", at_least=1)
    utterances: int = option(0, "of the test data; 0: all", at_least=0)
    forms: tuple[str, ...] = option(FORMS, "which, with commas; the first one chooses", metavar="WORD,...")
    max_lmwt: int = option(15, "highest LM weight", at_least=4)
    search: Search = group(Search)

    def __post_init__(self) -> None:
        super().__post_init__()
        if unknown := set(self.forms) - set(FORMS):
            raise HdnnError(f"--forms {min(unknown)}: known are {', '.join(FORMS)}")


def lattices(
    reader: FeatureReader, utts: Sequence[str], forward: Forward, decoder: Decoder
) -> Iterator[tuple[str, AnyLattice]]:
    for utt in utts:
        lattice = decoder.decode([forward(reader[utt])])[0].lattice
        if lattice is not None:
            yield utt, lattice


def frames_per_second(reader: FeatureReader, utts: Sequence[str], forward: Forward, rounds: int = 3) -> float:
    """The best of some rounds over the utterances, by processor time."""
    matrices = [reader[utt] for utt in utts]
    best = 0.0
    for _ in range(rounds):
        began = time.process_time()
        for matrix in matrices:
            forward(matrix)
        best = max(best, sum(map(len, matrices)) / (time.process_time() - began))
    return best


def main(options: Options) -> None:
    torch.set_num_threads(1)
    model_dir = options.model_dir
    model = load_model(model_dir)
    prior = read_log_prior(counts_path(model_dir), model.num_pdfs)
    transitions = TransitionModel.read(model_dir / "final.mdl")
    graph = check_graph(options.graph_dir, transitions, model_dir)
    search = options.search
    wide = SearchOptions(beam=search.beam, lattice_beam=search.lattice_beam, max_active=search.max_active)
    decoder = Decoder(graph, transitions.tid_to_pdf, wide)
    symbols = SymbolTable.read(options.graph_dir / "words.txt")
    train, test = (model_features(data, model_dir) for data in (options.train_data, options.test_data))
    utts = test.utts[: options.utterances] if options.utterances else test.utts
    reference = {utt: words for utt, words in read_text(options.test_data / "text").items() if utt in set(utts)}
    with tempfile.TemporaryDirectory() as folder:
        paths = [Path(folder) / "model.onnx", Path(folder) / "model.int8.onnx"]
        onnx.save(build(model, prior), paths[0])
        step = max(1, len(train) // options.calibration_utterances)
        quantise(paths[0], paths[1], [train[utt] for utt in train.utts[::step]][: options.calibration_utterances])
        sizes = [(model_dir / "final.safetensors").stat().st_size, *(path.stat().st_size for path in paths)]
        sessions = [OnnxModel(path) for path in paths]
    log_prior = torch.from_numpy(prior)
    forms: tuple[Forward, ...] = (lambda x: compute(model, [x], "loglikes", log_prior), *sessions)
    wanted = combinations(4, options.max_lmwt, ["0.0", "0.5", "1.0"])
    chosen: Combination | None = None
    print(f"{model.name}, {model.num_parameters()} parameters, {len(utts)} utterances of {options.test_data}")
    for name, forward, size in zip(FORMS, forms, sizes, strict=True):
        if name not in options.forms:
            continue
        numbers = sweep(lattices(test, utts, forward, decoder), wanted)
        texts = {c: {u: [symbols.symbol(w) for w in ids] for u, ids in found.items()} for c, found in numbers.items()}
        wers = {c: compute_wer(reference, text, mode="all").wer for c, text in texts.items()}
        chosen = chosen or min(wanted, key=lambda c: wers[c])
        rate = frames_per_second(test, utts[:20], forward)
        print(
            f"{name:<11} {size:>9} bytes {rate:>8.0f} frames/s  WER {wers[chosen]:.2f} % at {chosen[0]}, {chosen[1]}, "
            f"own best {min(wers.values()):.2f} %",
            flush=True,
        )


if __name__ == "__main__":
    script(Options, main, "benchmarks/int8.py", __doc__ or "")
