"""What the training loops ask of a GPU, counted without one: operations, and waits in which Python stands still."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from benchmarks.support.corpus import Corpus
from benchmarks.support.counts import Counting, counted
from benchmarks.support.work import Work
from hdnn_nnet.device.transfer import upload, upload_all
from hdnn_nnet.nn.losses import SoftmaxCrossEntropy
from tests.support.benchmarks import run

META = torch.device("meta")
PDFS = 12


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Work:
    return Work(Corpus.make(tmp_path_factory.mktemp("corpus"), 6, PDFS, 3), PDFS, "auto", block_frames=2000)


@pytest.mark.parametrize(
    ("network", "kind"),
    [("hdnn-h8l3", "CE"), ("dnn-h8l2", "CE"), ("hdnn-h8l3", "KD, stored"), ("hdnn-h8l3", "KD, on the fly")],
)
def test_a_training_waits_less_than_once_in_fifty_steps(work: Work, network: str, kind: str) -> None:
    counts = counted(work.frames(network, kind, 16, META, "dnn-h8l2"), 51)
    assert counts.waits <= 1
    # Every layer computes something, forward and backward; and there is one update, not one for every parameter.
    assert 50 < counts.operations / 51 < 120


def test_operations_of_the_published_student(work: Work) -> None:
    """Those that docs/scale.md reckons with."""
    assert counted(work.frames("hdnn-h8l10", "CE", 16, META), 5).operations == 5 * 163


def test_a_batch_of_lattices_costs_what_one_does(work: Work) -> None:
    script, alignments = work.corpus.lattices(17)
    one, six = (
        counted(work.sequences("hdnn-h8l3", "torch", script, alignments, size, META), 3).operations for size in (1, 6)
    )
    assert six < 1.2 * one


def test_a_batch_of_lattices_is_looked_at_once(work: Work) -> None:
    """Whether the network diverged."""
    script, alignments = work.corpus.lattices(17)
    counts = counted(work.sequences("hdnn-h8l3", "torch", script, alignments, 2, META), 4)
    assert counts.looks == 4
    assert counts.uploads <= 1


def test_an_adaptation_waits_at_the_end_of_a_pass(work: Work) -> None:
    counts = counted(work.adapt("hdnn-h8l2", META), 1)
    assert counts.waits < 40  # 6 utterances of 500 frames in 5 passes are 55 updates and 12 losses


def test_a_look_and_a_copy_are_counted() -> None:
    """The counting itself: what waits on a GPU is seen."""
    values = torch.zeros(4, device=META)
    with Counting(META) as counts:
        assert float(values.sum()) == 1.0
        torch.zeros(4).to(META)
        values.cpu()
        torch.repeat_interleave(values, torch.ones(4, dtype=torch.int64, device=META), output_size=4)
    assert (counts.looks, counts.uploads) == (2, 1)


def test_an_outer_gradient_counts_wherever_it_is_looked_at() -> None:
    logits = torch.randn(3, 5, dtype=torch.float64, requires_grad=True)
    targets = torch.tensor([0, 3, 1])
    (plain,) = torch.autograd.grad(SoftmaxCrossEntropy.apply(logits, targets)[0], logits)
    (scaled,) = torch.autograd.grad(0.25 * SoftmaxCrossEntropy.apply(logits, targets)[0], logits)
    assert torch.equal(scaled, 0.25 * plain)
    assert torch.autograd.gradcheck(lambda x: SoftmaxCrossEntropy.apply(x, targets)[0] * 3, (logits,))


@pytest.mark.parametrize("name", ["cpu", "cuda"])
def test_what_is_uploaded_has_the_same_bits(name: str) -> None:
    if name == "cuda" and not torch.cuda.is_available():
        pytest.skip("needs a GPU")
    device, generator = torch.device(name), np.random.default_rng(3)
    arrays: list[np.ndarray] = [
        generator.standard_normal((7, 3)).astype(np.float32), generator.integers(-(2**62), 2**62, 9),
        np.array([np.nan, -0.0, np.inf], np.float32), generator.integers(5, size=(2, 2)).astype(np.int32), np.zeros((0, 4)),
    ]  # fmt: skip
    together = upload_all([torch.from_numpy(a) for a in arrays], device)
    for array, alone, one in zip(arrays, (upload(a, device) for a in arrays), together, strict=True):
        for tensor in (alone, one):
            there = tensor.cpu().numpy()
            assert (there.dtype, there.shape, there.tobytes()) == (array.dtype, array.shape, array.tobytes())


def test_packed_copies_keep_shapes() -> None:
    tensors = [torch.zeros(2, 3), torch.zeros(4, dtype=torch.int64), torch.zeros(()), torch.zeros(0, 5)]
    assert [(t.shape, t.dtype) for t in upload_all(tensors, META)] == [(t.shape, t.dtype) for t in tensors]


def test_it_needs_little_more_than_torch() -> None:
    """A machine with a GPU and little else."""
    program = """
import importlib.abc, sys
class Absent(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {"k2", "lhotse", "scipy", "sentencepiece", "kaldifst", "kaldi_hmm_gmm", "tensorboard",
                                      "soundfile", "kaldialign", "kaldi_native_fbank", "matplotlib", "onnx", "lxml"}:
            raise ModuleNotFoundError(name)
sys.meta_path.insert(0, Absent())
import benchmarks.gpu, hdnn_nnet.train.program, hdnn_nnet.train.kd, hdnn_nnet.sequence.program, hdnn_nnet.adapt.program
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.slow
def test_the_benchmark_on_a_processor(tmp_path: Path) -> None:
    lines = run(
        "gpu", "--networks=hdnn-h8l3 dnn-h8l2", "--teacher=dnn-h8l2", "--pdfs=12", "--entries=2", "--seconds=0.05",
        "--utterances=6", "--minibatches=16", "--engines=torch", "--densities=17", "--batches=1 4",
        "--device=cpu", "--json", tmp_path / "gpu.json",
    )  # fmt: skip
    table = [line for line in lines if line.startswith("| ")]
    content = json.loads((tmp_path / "gpu.json").read_text())
    assert content["not measured"] == {}
    assert len(table) == 1 + len(content["rows"])
    assert len({line.count("|") for line in table}) == 1
    for row in content["rows"]:
        if row["what"].startswith(("CE", "KD")) and row["kernels"] is not None:
            assert row["waits"] <= 0.02
        assert row["frames_per_second"] > 0
    lines = run("gpu", "--limit=0.001", "--pdfs=12", "--utterances=2", "--device=cpu", "--json", tmp_path / "gpu.json")
    assert all(line.endswith(": out of time") for line in lines if line.startswith("not measured"))
    assert json.loads((tmp_path / "gpu.json").read_text())["rows"] == []
