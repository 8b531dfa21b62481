"""A WAV file to words by the ONNX export of a network, without torch: numpy, onnxruntime and kaldi-native-fbank.

    python3 transcribe_onnx.py exp/mini/hdnn-h128l10_online/export recording.wav

The search is a plain token passing in numpy: the best path alone, at the LM weight that the export noted. For lattices,
confidences and pauses, `hdnn transcribe`.
"""

import resource
import sys
import time
from pathlib import Path

import numpy as np
import soundfile

from hdnn_nnet.export import manifest
from hdnn_nnet.export.onnx_session import OnnxModel
from hdnn_nnet.export.vosk_dir import read_config_of
from hdnn_nnet.graph.epsilon import Graph, remove_input_epsilons
from hdnn_nnet.kaldi.fst import read_fst
from hdnn_nnet.kaldi.symbols import SymbolTable
from hdnn_nnet.kaldi.transitions import TransitionModel
from hdnn_nnet.ragged import ranges

BEAM, MAX_ACTIVE = 13.0, 2000


def search(graph: Graph, pdf_of: np.ndarray, loglikes: np.ndarray, scale: float) -> list[int]:
    """Words of the cheapest path through the graph.

    Args:
        pdf_of: (transition-ids + 1,) pdf of each.
        loglikes: (T, pdfs).
        scale: of the log-likelihoods.
    """
    states, cost = np.zeros(1, np.int64), np.zeros(1)
    history: list[tuple[np.ndarray, np.ndarray]] = []  # of each frame: arc into every token, and the token before it
    for row in -scale * loglikes:
        counts = graph.offsets[states + 1] - graph.offsets[states]
        arcs = ranges(graph.offsets[states], counts)
        origin = np.repeat(np.arange(len(states)), counts)
        total = cost[origin] + graph.cost[arcs] + row[pdf_of[graph.transition_id[arcs]]]
        kept = np.flatnonzero(total < total.min() + BEAM)
        order = kept[np.lexsort((total[kept], graph.nextstate[arcs[kept]]))]
        targets = graph.nextstate[arcs[order]]
        best = order[np.append(True, targets[1:] != targets[:-1])]  # the cheapest arc into each state
        if len(best) > MAX_ACTIVE:
            best = best[np.argpartition(total[best], MAX_ACTIVE)[:MAX_ACTIVE]]
        states, cost = graph.nextstate[arcs[best]].astype(np.int64), total[best]
        history.append((arcs[best], origin[best]))
    ends = cost + graph.final[states]
    token = int((ends if np.isfinite(ends).any() else cost).argmin())
    words: list[int] = []
    for arcs, origin in reversed(history):
        arc = arcs[token]
        words[:0] = graph.words[graph.word_offsets[arc] : graph.word_offsets[arc + 1]].tolist()
        token = int(origin[token])
    return words


def main(export: Path, recording: str) -> None:
    model = OnnxModel(export / "onnx/stream.int8.onnx")
    extractor = read_config_of(export).extractor()
    pdf_of = TransitionModel.read(export / "am/final.mdl").tid_to_pdf
    symbols = SymbolTable.read(export / "graph/words.txt")
    graph = remove_input_epsilons(read_fst(export / "graph/HCLG.fst"))
    weight = manifest.read_manifest(export)["model"].get("wer", {}).get("lm_weight", 10)
    samples, rate = soundfile.read(recording, dtype="int16", always_2d=True)
    began = time.process_time()
    loglikes = model(extractor(samples[:, 0].astype(np.float32), rate))
    print(" ".join(symbols.symbol(word) for word in search(graph, pdf_of, loglikes, 1 / weight)))
    seconds, peak = time.process_time() - began, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1000
    print(f"real-time factor {seconds / (len(samples) / rate):.3f}, {peak:.0f} MB at most", file=sys.stderr)


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
