"""What 8 bits cost: bytes, frames per second and WER of a model in PyTorch, ONNX float and ONNX 8-bit, one core.

    python3 benchmarks/int8.py [options] MODEL-DIR GRAPH-DIR TRAIN-DATA TEST-DATA

From stored features, so that it also takes models whose features no device has (fMLLR, normalised by speaker). Each form's
log-likelihoods go through the k2 decoder once. LM weight and penalty are the best of the first form's, for all.
"""

import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import onnx
import torch

from hdnn_nnet.commands.forward import compute, model_features
from hdnn_nnet.decode.decoder import Decoder
from hdnn_nnet.export.onnx_graph import build
from hdnn_nnet.export.onnx_session import OnnxModel
from hdnn_nnet.export.quantise import quantise
from hdnn_nnet.feats.reader import FeatureReader
from hdnn_nnet.graph.graph_dir import check_graph
from hdnn_nnet.kaldi.symbols import SymbolTable
from hdnn_nnet.kaldi.transitions import TransitionModel
from hdnn_nnet.lattice.types import AnyLattice
from hdnn_nnet.nn.model_dir import load_model
from hdnn_nnet.nn.prior import counts_path, read_log_prior
from hdnn_nnet.options import OptionParser, run
from hdnn_nnet.score.sweep import Combination, combinations, sweep
from hdnn_nnet.score.text import read_text
from hdnn_nnet.score.wer import compute_wer

Forward = Callable[[np.ndarray], np.ndarray]


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


def main(argv: Sequence[str] | None = None) -> int:
    parser = OptionParser("int8", (__doc__ or "").splitlines()[0])
    for name in ("model_dir", "graph_dir", "train_data", "test_data"):
        parser.add_argument(name)
    parser.add_argument("--calibration-utterances", type=int, default=50, help="utterances that set the 8-bit scales")
    parser.add_argument("--utterances", type=int, default=0, help="of the test data; 0: all")
    parser.add_argument("--beam", type=float, default=11.0, help="search beam")
    parser.add_argument("--lattice-beam", type=float, default=6.0, help="lattice beam")
    parser.add_argument("--max-active", type=int, default=2000, help="limit of active states")
    parser.add_argument(
        "--forms", default="PyTorch,ONNX float,ONNX 8-bit", help="which, with commas; the first one chooses"
    )
    parser.add_argument("--max-lmwt", type=int, default=15, help="highest LM weight")
    args = parser.parse_args(argv)
    torch.set_num_threads(1)
    model_dir, graph_dir = Path(args.model_dir), Path(args.graph_dir)
    model = load_model(model_dir)
    prior = read_log_prior(counts_path(model_dir), model.num_pdfs)
    transitions = TransitionModel.read(model_dir / "final.mdl")
    graph = check_graph(graph_dir, transitions, model_dir)
    decoder = Decoder(
        graph, transitions.tid_to_pdf, beam=args.beam, lattice_beam=args.lattice_beam, max_active=args.max_active
    )
    symbols = SymbolTable.read(graph_dir / "words.txt")
    train, test = (model_features(data, model_dir) for data in (args.train_data, args.test_data))
    utts = test.utts[: args.utterances] if args.utterances else test.utts
    reference = {utt: words for utt, words in read_text(Path(args.test_data) / "text").items() if utt in set(utts)}
    with tempfile.TemporaryDirectory() as folder:
        paths = [Path(folder) / "model.onnx", Path(folder) / "model.int8.onnx"]
        onnx.save(build(model, prior), paths[0])
        step = max(1, len(train) // args.calibration_utterances)
        quantise(paths[0], paths[1], [train[utt] for utt in train.utts[::step]][: args.calibration_utterances])
        sizes = [(model_dir / "final.safetensors").stat().st_size, *(path.stat().st_size for path in paths)]
        sessions = [OnnxModel(path) for path in paths]
    log_prior = torch.from_numpy(prior)
    forms: dict[str, Forward] = {
        "PyTorch": lambda x: compute(model, [x], "loglikes", log_prior),
        "ONNX float": sessions[0],
        "ONNX 8-bit": sessions[1],
    }
    wanted = combinations(4, args.max_lmwt, ["0.0", "0.5", "1.0"])
    chosen: Combination | None = None
    print(f"{model.name}, {model.num_parameters()} parameters, {len(utts)} utterances of {args.test_data}")
    for (name, forward), size in zip(forms.items(), sizes, strict=True):
        if name not in args.forms.split(","):
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
    return 0


if __name__ == "__main__":
    run(main, "int8")
