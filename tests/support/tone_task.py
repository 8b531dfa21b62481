"""A tiny recogniser of spoken tones: four words, each a tone, and silence. Model and graph directories in the usual form.

The network learns in a second or two; then every runtime must hear the words without an error.
"""

from pathlib import Path

import numpy as np
import soundfile
import torch

from hdnn_nnet.feats.description import FeatureDescription
from hdnn_nnet.kaldi.alignments import write_counts
from hdnn_nnet.kaldi.fst import ARC, Fst, write_fst
from hdnn_nnet.kaldi.symbols import SymbolTable
from hdnn_nnet.kaldi.transitions import TransitionModel
from hdnn_nnet.nn.config import NetworkConfig
from hdnn_nnet.nn.model_dir import save_model
from hdnn_nnet.nn.networks import build_network
from tests.support.hmm import one_state_model

RATE = 16000
WORDS = {"DO": 300.0, "RE": 600.0, "MI": 1200.0, "FA": 2400.0}
SILENCE = 1  # phone; the words' phones follow
FEATURES = FeatureDescription.make("fbank", {"num-mel-bins": "15", "window-type": "hamming"})
PHONES = 1 + len(WORDS)


def speak(words: list[str], generator: np.random.Generator, pause: float = 0.15) -> tuple[np.ndarray, np.ndarray]:
    """Samples, int16, and the pdf of each sample."""
    parts, pdfs = [], []
    for word in ["", *(part for spoken in words for part in (spoken, ""))]:
        count = int(RATE * generator.uniform(0.15, 0.3) if word else RATE * pause)
        time = np.arange(count) / RATE
        tone = 6000 * np.sin(2 * np.pi * WORDS[word] * time + generator.uniform(0, 6)) if word else np.zeros(count)
        parts.append(tone + 60 * generator.standard_normal(count))
        pdfs.append(np.full(count, 1 + list(WORDS).index(word) if word else 0))
    return np.concatenate(parts).astype(np.int16), np.concatenate(pdfs)


def sentences(count: int, seed: int) -> list[tuple[list[str], np.ndarray, np.ndarray]]:
    generator = np.random.default_rng(seed)
    chosen = [list(generator.choice(list(WORDS), generator.integers(2, 7))) for _ in range(count)]
    return [(words, *speak(words, generator)) for words in chosen]


def _train(model_dir: Path, arch: str) -> None:
    config = NetworkConfig(arch, FEATURES.extractor().dim, PHONES, 24, 3, 2, 2)
    model = build_network(config, seed=1)
    extractor = FEATURES.extractor()
    xs, ys = [], []
    for _, samples, pdfs in sentences(30, seed=1):
        frames = extractor(samples.astype(np.float32), RATE)
        xs.append(torch.from_numpy(frames))
        ys.append(torch.from_numpy(pdfs[200 + 160 * np.arange(len(frames))].astype(np.int64)))
    everything = torch.cat(xs)
    model.set_normalisation(everything.mean(0), everything.var(0))
    windows = torch.cat([model.splice(model.normalise(x)) for x in xs])
    labels = torch.cat(ys)
    optimiser = torch.optim.Adam(model.parameters(), 0.01)
    for _ in range(60):
        optimiser.zero_grad()
        loss = torch.nn.functional.cross_entropy(model.logits(windows), labels)
        loss.backward()
        optimiser.step()
    assert loss.item() < 0.3
    save_model(model.eval(), model_dir)
    write_counts(model_dir / "ali_train_pdf.counts", np.bincount(labels.numpy(), minlength=PHONES) + 0.5)


def _write_graph(graph_dir: Path, model: TransitionModel) -> None:
    """Any words in any order, silence between them; reordered, as Kaldi's graphs are."""
    leave = {int(p): t for t, p in enumerate(model.tid_to_phone) if t and not model.is_self_loop[t]}
    stay = {int(p): t for t, p in enumerate(model.tid_to_phone) if t and model.is_self_loop[t]}
    rows: list[list[tuple[int, int, float, int]]] = [[] for _ in range(PHONES + 1)]
    for phone in range(1, PHONES + 1):
        word = phone - 1  # 0 for silence
        rows[0].append((leave[phone], word, float(np.log(PHONES)), phone))
        rows[phone] += [(stay[phone], 0, 0.1, phone), (0, 0, 2.3, 0)]
    arcs = np.array([arc for row in rows for arc in row], ARC)
    offsets = np.concatenate([[0], np.cumsum([len(row) for row in rows])])
    final = np.full(PHONES + 1, np.inf, np.float32)
    final[0] = 0.0
    (graph_dir / "phones").mkdir(parents=True)
    write_fst(graph_dir / "HCLG.fst", Fst(0, final, offsets, arcs))
    SymbolTable({"<eps>": 0, **{word: i for i, word in enumerate(WORDS, 1)}}).write(graph_dir / "words.txt")
    phones = SymbolTable({"<eps>": 0, "sil": 1, **{word.lower(): i for i, word in enumerate(WORDS, 2)}})
    phones.write(graph_dir / "phones.txt")
    (graph_dir / "num_pdfs").write_text(f"{PHONES}\n")
    for name in ("silence", "optional_silence"):
        (graph_dir / f"phones/{name}.csl").write_text(f"{SILENCE}\n")


def make(folder: Path, arch: str = "hdnn") -> tuple[Path, Path, Path]:
    """Write `model`, `graph` and `data` (wav.scp, text, feats.scp ... of ten sentences); gives the three directories."""
    from hdnn_nnet.kaldi.matrix_writer import write_matrices

    model_dir, graph_dir, data = folder / "model", folder / "graph", folder / "data"
    model_dir.mkdir(parents=True)
    data.mkdir()
    _train(model_dir, arch)
    transitions = one_state_model(PHONES, stay=0.9)
    transitions.write(model_dir / "final.mdl")
    _write_graph(graph_dir, transitions)
    (model_dir / "phones.txt").write_bytes((graph_dir / "phones.txt").read_bytes())
    (model_dir / "criterion").write_text("CE\n")
    FEATURES.write(model_dir)
    extractor = FEATURES.extractor()
    spoken = {f"u{i}": item for i, item in enumerate(sentences(10, seed=2))}
    for key, (_, samples, _) in spoken.items():
        soundfile.write(data / f"{key}.wav", samples, RATE)
    (data / "wav.scp").write_text("".join(f"{key} {data}/{key}.wav\n" for key in spoken))
    (data / "text").write_text("".join(f"{key} {' '.join(words)}\n" for key, (words, _, _) in spoken.items()))
    (data / "utt2spk").write_text("".join(f"{key} {key}\n" for key in spoken))
    matrices = ((key, extractor(samples.astype(np.float32), RATE)) for key, (_, samples, _) in spoken.items())
    write_matrices(str(data / "feats.ark"), str(data / "feats.scp"), matrices, compress=False)
    return model_dir, graph_dir, data
