"""Every kind of file that the package reads: a small whole one, and the reader that users reach it by."""

import gzip
import json
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from hdnn_nnet.adapt.store import AdaptDir, save_speaker, write_index
from hdnn_nnet.export.onnx_session import OnnxModel
from hdnn_nnet.feats.affine import read_matrix_file, read_transforms, write_matrix_file, write_transforms
from hdnn_nnet.feats.audio import read_segments
from hdnn_nnet.feats.description import FeatureDescription
from hdnn_nnet.feats.reader import FeatureReader
from hdnn_nnet.gmm.model import read_gmm_model
from hdnn_nnet.kaldi.alignments import read_alignments, read_counts
from hdnn_nnet.kaldi.data_dir import DataDir
from hdnn_nnet.kaldi.fst import read_fst
from hdnn_nnet.kaldi.matrix_table import MatrixTable
from hdnn_nnet.kaldi.posteriors import PosteriorWriter, SparsePosteriors, read_posteriors
from hdnn_nnet.kaldi.questions import read_questions
from hdnn_nnet.kaldi.roots import read_roots
from hdnn_nnet.kaldi.script_table import read_scp
from hdnn_nnet.kaldi.symbols import SymbolTable, read_integers
from hdnn_nnet.kaldi.tables import read_int_vectors, read_matrices
from hdnn_nnet.kaldi.topology import HmmTopology
from hdnn_nnet.kaldi.transitions import TransitionModel
from hdnn_nnet.kaldi.tree import ContextDependency
from hdnn_nnet.kaldi.tree_stats import TreeStats
from hdnn_nnet.lang.arpa import read_arpa
from hdnn_nnet.lang.transcripts import read_transcripts
from hdnn_nnet.lattice.k2_files import read_k2, write_k2
from hdnn_nnet.lattice.table import read_lattices
from hdnn_nnet.nn.config import NetworkConfig
from hdnn_nnet.nn.model_dir import load_model, save_model
from hdnn_nnet.nn.networks import build_network
from hdnn_nnet.nn.nnet1 import Nnet1
from hdnn_nnet.options import read_config
from hdnn_nnet.score.ctm import read_word_boundary
from hdnn_nnet.train.checkpoint import load_checkpoint, save_checkpoint
from hdnn_nnet.train.soft_sources import open_soft_labels


@dataclass(frozen=True)
class Format:
    """One kind of file.

    Attributes:
        make: writes what is needed into a directory; gives the file that is damaged.
        read: reads that file as its users do; gives the keys of an archive, if it is one.
        whole: a truncated file is an error (binary forms, gzip).
        named: names one of which an error gives; default: that of the file.
    """

    make: Callable[[Path, Path], Path]
    read: Callable[[Path], Any]
    whole: bool = True
    named: tuple[str, ...] = field(default=())


def _copy(source: str, name: str = "") -> Callable[[Path, Path], Path]:
    """A file of the fixtures, unpacked if the name has no .gz any more."""

    def make(folder: Path, fixtures: Path) -> Path:
        path = folder / (name or Path(source).name)
        data = (fixtures / source).read_bytes()
        path.write_bytes(gzip.decompress(data) if source.endswith(".gz") and path.suffix != ".gz" else data)
        return path

    return make


def _text(name: str, text: str) -> Callable[[Path, Path], Path]:
    def make(folder: Path, _: Path) -> Path:
        (folder / name).write_text(text, encoding="utf-8")
        return folder / name

    return make


def _keys(pairs: Iterator[tuple[str, Any]]) -> list[str]:
    return [key for key, _ in pairs]


def _script(table: type) -> Callable[[Path], Any]:
    """Read an archive at the offsets of its script file."""

    def read(path: Path) -> None:
        entries = table(path.with_suffix(".scp"))
        for key in entries.lines:
            entries[key]

    return read


def _matrices_by_script(folder: Path, fixtures: Path) -> Path:
    path = folder / "a.ark"
    shutil.copyfile(fixtures / "kaldi_fixture/data/test/feats.ark", path)
    lines = (fixtures / "kaldi_fixture/data/test/feats.scp").read_text().splitlines()
    path.with_suffix(".scp").write_text("".join(f"{x.split()[0]} {path}:{x.rpartition(':')[2]}\n" for x in lines))
    return path


def _script_file(folder: Path, fixtures: Path) -> Path:
    return _matrices_by_script(folder, fixtures).with_suffix(".scp")


def _posteriors(wspecifier: str, form: str = "kaldi") -> Callable[[Path, Path], Path]:
    def make(folder: Path, _: Path) -> Path:
        random = np.random.default_rng(3)
        with PosteriorWriter(wspecifier.format(folder=folder), form) as writer:
            for number in range(4):
                counts = random.integers(1, 5, 12)
                offsets = np.append(0, np.cumsum(counts))
                pdfs = random.integers(0, 5, offsets[-1]).astype(np.int32)
                weights = random.uniform(0.1, 1, offsets[-1]).astype(np.float32)
                writer.write_posteriors(f"u{number}", SparsePosteriors(offsets, pdfs, weights))
        return folder / "post.ark"

    return make


def _soft_labels(damaged: str, form: str = "kaldi") -> Callable[[Path, Path], Path]:
    def make(folder: Path, fixtures: Path) -> Path:
        _posteriors("ark,scp:{folder}/post.ark,{folder}/post.scp", form)(folder, fixtures)
        entries = read_posteriors(f"ark:{folder}/post.ark")
        (folder / "post.crc32").write_text("".join(f"{key} {value.checksum()}\n" for key, value in entries))
        info = {"num_pdfs": 5, "temperature": 1.0, "checksums": "post.crc32"}
        (folder / "info.json").write_text(json.dumps(info))
        return folder / damaged

    return make


def _read_soft_labels(path: Path) -> None:
    source = open_soft_labels(path.parent, 5)
    for utterance in source.num_frames:
        source.targets(utterance)


def _model(damaged: str) -> Callable[[Path, Path], Path]:
    def make(folder: Path, _: Path) -> Path:
        save_model(build_network(NetworkConfig("hdnn", 3, 4, 5, 3, 1, 1), seed=1), folder)
        return folder / damaged

    return make


def _checkpoint(folder: Path, _: Path) -> Path:
    save_checkpoint(folder / "checkpoint.safetensors", {"model": {"x": torch.ones(20)}}, {"epoch": 1, "step": 2})
    return folder / "checkpoint.safetensors"


def _adapted(damaged: str) -> Callable[[Path, Path], Path]:
    def make(folder: Path, _: Path) -> Path:
        file = save_speaker(folder, "s1", {"gates": torch.ones(4, 4)}, "abc")
        write_index(folder, {"signature": "abc", "speakers": {"s1": {"file": file}, "s2": {"reason": "too short"}}})
        return folder / damaged

    return make


def _read_adapted(path: Path) -> None:
    adapted = AdaptDir(path.parent)
    for speaker in ("s1", "s2", *adapted.speakers):
        adapted.load(speaker)
        adapted.reason(speaker)


def _data(damaged: str) -> Callable[[Path, Path], Path]:
    def make(folder: Path, fixtures: Path) -> Path:
        for name in ("text", "utt2spk", "spk2utt", "utt2num_frames"):
            shutil.copyfile(fixtures / "kaldi_fixture/data/test" / name, folder / name)
        return folder / damaged

    return make


def _segments(damaged: str) -> Callable[[Path, Path], Path]:
    def make(folder: Path, _: Path) -> Path:
        (folder / "wav.scp").write_text("r1 a.wav\nr2 sox b.wav -t wav - |\n")
        (folder / "segments").write_text("u1 r1 0.0 1.5\nu2 r1 1.5 2.25\nu3 r2 0.1 3\n")
        return folder / damaged

    return make


def _features(damaged: str) -> Callable[[Path, Path], Path]:
    """Features, and statistics by speaker to normalise them."""

    def make(folder: Path, fixtures: Path) -> Path:
        source = fixtures / "kaldi_fixture/data/test"
        shutil.copyfile(source / "utt2spk", folder / "utt2spk")
        for name in ("feats", "cmvn"):
            shutil.copyfile(source / f"{name}.ark", folder / f"{name}.ark")
            lines = [line.split() for line in (source / f"{name}.scp").read_text().splitlines()]
            text = "".join(f"{key} {folder}/{name}.ark:{place.rpartition(':')[2]}\n" for key, place in lines)
            (folder / f"{name}.scp").write_text(text)
        return folder / damaged

    return make


def _read_features(path: Path) -> None:
    reader = FeatureReader(path.parent, "--norm-means=true --norm-vars=true", "--delta-order=2")
    for _ in reader:
        pass


def _fsas(folder: Path, fixtures: Path) -> Path:
    write_k2(folder / "lat.safetensors", list(read_lattices(f"ark:{fixtures}/kaldi_fixture/exp/decode/lat.1.gz"))[:2])
    return folder / "lat.safetensors"


def _onnx(folder: Path, _: Path) -> Path:
    onnx = pytest.importorskip("onnx")
    pytest.importorskip("onnxruntime")
    from hdnn_nnet.export.onnx_graph import build

    network = build_network(NetworkConfig("hdnn", 3, 4, 5, 3, 1, 1), seed=1).eval()
    onnx.save(build(network, None, False), folder / "model.onnx")
    return folder / "model.onnx"


def _transcribe(path: Path) -> None:
    model = OnnxModel(path, num_threads=1)
    model(np.ones((9, model.feat_dim), np.float32))


def _transforms(folder: Path, _: Path) -> Path:
    random = np.random.default_rng(1)
    write_transforms(folder / "trans.1", {f"s{i}": random.standard_normal((4, 5)) for i in range(3)})
    return folder / "trans.1"


def _arpa(name: str) -> Callable[[Path, Path], Path]:
    text = (
        "\\data\\\nngram 1=4\nngram 2=3\n\n\\1-grams:\n-99\t<s>\t-0.3\n-0.5\t</s>\n-0.6\tONE\t-0.2\n-0.6\tTWO\t-0.1\n"
    )
    text += "\n\\2-grams:\n-0.3\t<s> ONE\n-0.3\tONE TWO\n-0.3\tTWO </s>\n\n\\end\\\n"

    def make(folder: Path, _: Path) -> Path:
        data = text.encode()
        (folder / name).write_bytes(gzip.compress(data, mtime=0) if name.endswith(".gz") else data)
        return folder / name

    return make


def _alignments(folder: Path, fixtures: Path) -> Path:
    (folder / "num_jobs").write_text("1\n")
    return _copy(f"{_K}/exp/ali/ali.1.gz")(folder, fixtures)


def _matrix(folder: Path, _: Path) -> Path:
    write_matrix_file(folder / "final.mat", np.random.default_rng(1).standard_normal((6, 9)))
    return folder / "final.mat"


def _nnet1(name: str) -> Callable[[Path, Path], Path]:
    def make(folder: Path, fixtures: Path) -> Path:
        source = fixtures / "kaldi_fixture/exp/nnet"
        shutil.copyfile(source / name, folder / "final.nnet")
        shutil.copyfile(source / "final.feature_transform", folder / "final.feature_transform")
        return folder / "final.nnet"

    return make


_TOPOLOGY = """<Topology>
<TopologyEntry>
<ForPhones>
1 2 3
</ForPhones>
<State> 0 <PdfClass> 0 <Transition> 0 0.5 <Transition> 1 0.5 </State>
<State> 1 </State>
</TopologyEntry>
</Topology>
"""
_K = "kaldi_fixture"
_G = "gmm_fixture"


def _archive(path: Path) -> list[str]:
    return _keys(read_matrices(f"ark:{path}"))


def _vectors(path: Path) -> list[str]:
    return _keys(read_int_vectors(f"ark:{path}"))


def _lattices(path: Path) -> list[str]:
    return _keys(read_lattices(f"ark:{path}"))


FORMATS: dict[str, Format] = {
    "matrices": Format(_copy(f"{_K}/data/test/cmvn.ark"), _archive),
    "matrices, float": Format(_copy(f"{_K}/data/formats/cm.float.ark"), _archive),
    "matrices, compressed": Format(_copy(f"{_K}/data/test/feats.ark"), _archive),
    "matrices, compressed by two bytes": Format(_copy(f"{_K}/data/formats/cm2.ark"), _archive),
    "matrices, compressed by one byte": Format(_copy(f"{_K}/data/formats/cm3.ark"), _archive),
    "matrices, text": Format(_copy(f"{_K}/data/formats/text.ark"), _archive, whole=False),
    "matrices by script": Format(_matrices_by_script, _script(MatrixTable)),
    "script file": Format(_script_file, _script(MatrixTable), whole=False, named=("a.scp", "a.ark")),
    "features": Format(_features("feats.ark"), _read_features, named=("feats.ark", "feats.scp")),
    "features, script file": Format(_features("feats.scp"), _read_features, False, ("feats.scp", "feats.ark", "data")),
    "normalisation": Format(_features("cmvn.ark"), _read_features, named=("cmvn.ark", "cmvn.scp")),
    "transforms": Format(_transforms, lambda path: list(read_transforms(path))),
    "alignments": Format(_alignments, lambda path: list(read_alignments(path.parent))),
    "alignments, binary": Format(_copy(f"{_K}/exp/ali/ali.1.gz", "ali.ark"), _vectors),
    "alignments, text": Format(_copy(f"{_K}/exp/ali/ali.txt"), _vectors, whole=False),
    "lattices": Format(_copy(f"{_K}/exp/decode/lat.1.gz"), _lattices),
    "lattices, binary": Format(_copy(f"{_K}/exp/decode/lat.1.gz", "lat.ark"), _lattices),
    "lattices, state level": Format(_copy(f"{_K}/exp/decode/lat.noncompact.gz", "lat.ark"), _lattices),
    "lattices, text": Format(_copy(f"{_K}/exp/decode/lat.compact.txt.gz", "lat.txt"), _lattices, whole=False),
    "lattices, state level, text": Format(
        _copy(f"{_K}/exp/denlats/spkC-train2.noncompact.txt.gz", "lat.txt"), _lattices, whole=False
    ),
    "lattices as FSAs": Format(_fsas, lambda path: len(list(read_k2(path)))),
    "ONNX": Format(_onnx, _transcribe),
    "posteriors": Format(_posteriors("ark:{folder}/post.ark"), lambda path: _keys(read_posteriors(f"ark:{path}"))),
    "posteriors, text": Format(
        _posteriors("ark,t:{folder}/post.ark"), lambda p: _keys(read_posteriors(p)), whole=False
    ),
    "posteriors, compact": Format(
        _posteriors("ark:{folder}/post.ark", "compact"), lambda path: _keys(read_posteriors(f"ark:{path}"))
    ),
    "soft labels": Format(_soft_labels("post.ark"), _read_soft_labels),
    "soft labels, compact": Format(_soft_labels("post.ark", "compact"), _read_soft_labels),
    "soft labels, script file": Format(_soft_labels("post.scp"), _read_soft_labels, False, ("post.",)),
    "soft labels, checksums": Format(_soft_labels("post.crc32"), _read_soft_labels, whole=False),
    "soft labels, information": Format(
        _soft_labels("info.json"), _read_soft_labels, False, ("info.json", "post.crc32", "data")
    ),
    "graph": Format(_copy(f"{_K}/graph/HCLG.fst"), read_fst),
    "grammar": Format(_copy(f"{_K}/lang/G.fst"), read_fst),
    "transition model": Format(_copy(f"{_K}/exp/tri/trans.mdl"), TransitionModel.read),
    "transition model, text": Format(_copy(f"{_K}/exp/tri/trans.mdl.txt"), TransitionModel.read, whole=False),
    "GMM": Format(_copy(f"{_G}/1.mdl"), read_gmm_model),
    "GMM, text": Format(_copy(f"{_K}/exp/tri/final.mdl.txt"), read_gmm_model, whole=False),
    "tree": Format(_copy(f"{_K}/exp/tri/tree"), ContextDependency.read),
    "tree, text": Format(_copy(f"{_K}/exp/tri/tree.txt"), ContextDependency.read, whole=False),
    "tree statistics": Format(_copy(f"{_G}/treeacc"), TreeStats.read),
    "questions": Format(_copy(f"{_G}/questions.qst"), read_questions),
    "topology": Format(_text("topo", _TOPOLOGY), HmmTopology.read, whole=False),
    "roots": Format(_copy(f"{_G}/lang_phones/roots.int"), read_roots, whole=False),
    "nnet1": Format(_nnet1("final.nnet"), lambda path: Nnet1.load(path.parent)),
    "nnet1, text": Format(_nnet1("final.nnet.txt"), lambda path: Nnet1.load(path.parent), whole=False),
    "matrix": Format(_matrix, read_matrix_file),
    "counts": Format(_copy(f"{_K}/exp/ali/ali_train_pdf.counts"), read_counts, whole=False),
    "network": Format(_model("final.safetensors"), lambda path: load_model(path.parent)),
    "network, description": Format(
        _model("model.json"), lambda p: load_model(p.parent), False, ("model.json", "final")
    ),
    "checkpoint": Format(_checkpoint, load_checkpoint),
    "adapted parameters": Format(_adapted("spk-s1.safetensors"), _read_adapted),
    "adapted parameters, index": Format(_adapted("index.json"), _read_adapted, False, ("index.json", "spk-s1", "data")),
    "language model": Format(_arpa("lm.arpa"), read_arpa, whole=False),
    "language model, gzip": Format(_arpa("lm.arpa.gz"), read_arpa),
    "symbols": Format(_copy(f"{_K}/graph/words.txt"), SymbolTable.read, whole=False),
    "integers": Format(_text("disambig.int", "5\n6\n7\n8\n"), read_integers, whole=False),
    "word boundaries": Format(_copy(f"{_K}/graph/phones/word_boundary.int"), read_word_boundary, whole=False),
    "transcripts": Format(_data("text"), lambda path: read_transcripts(path.parent), whole=False),
    "speakers": Format(_data("utt2spk"), lambda path: DataDir(path.parent), whole=False),
    "map": Format(_data("utt2num_frames"), read_scp, whole=False),
    "segments": Format(_segments("segments"), lambda path: list(read_segments(path.parent)), whole=False),
    "recordings": Format(
        _segments("wav.scp"), lambda path: list(read_segments(path.parent)), False, ("wav.scp", "segments")
    ),
    "feature description": Format(
        _text("feat_opts", "--type=fbank --num-mel-bins=40 --use-energy=false\n"),
        lambda path: FeatureDescription.read(path.parent),
        whole=False,
    ),
    "configuration": Format(
        _text("x.conf", "# fbank\n--num-mel-bins=40\n--use-energy=false # no\n"), read_config, whole=False
    ),
}
