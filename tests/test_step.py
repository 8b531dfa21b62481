"""Updates of the frame-level trainings: recorded ones do what those do whose kernels start one by one."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from hdnn_nnet.device import recording
from hdnn_nnet.nn.config import NetworkConfig
from hdnn_nnet.nn.distillation import Distillation, SoftLabels
from hdnn_nnet.nn.networks import build_network
from hdnn_nnet.train.criteria import Criterion, CrossEntropy, KnowledgeDistillation
from hdnn_nnet.train.distributed import Ranks
from hdnn_nnet.train.frames import Minibatch
from hdnn_nnet.train.loop import SUMS
from hdnn_nnet.train.run import Run
from hdnn_nnet.train.sgd import Sgd
from hdnn_nnet.train.step import Step, put, room_for

DIM, PDFS = 12, 30
needs_gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")


def soft_labels(generator: np.random.Generator, frames: int, device: torch.device, most: int = 6) -> SoftLabels:
    """Of one to `most` pdfs a frame."""
    counts = generator.integers(1, most + 1, frames)
    rows = np.repeat(np.arange(frames), counts)
    pdfs = np.concatenate([generator.choice(PDFS, n, replace=False) for n in counts])
    weights = np.concatenate([generator.dirichlet(np.ones(n)) for n in counts]).clip(1e-6)
    best = np.array([pdfs[rows == t][weights[rows == t].argmax()] for t in range(frames)])
    return SoftLabels(*(torch.from_numpy(a).to(device) for a in (rows, pdfs, weights.astype(np.float32), best)))


def minibatches(kind: str, device: torch.device, sizes: Sequence[int]) -> list[Minibatch]:
    generator, result = np.random.default_rng(5), []
    for size in sizes:
        windows = torch.from_numpy(generator.standard_normal((size, DIM)).astype(np.float32)).to(device)
        labels = torch.from_numpy(generator.integers(PDFS, size=size)).to(device)
        soft: tuple[Any, ...] = ()
        if kind == "sparse":
            soft = (soft_labels(generator, size, device),)
        elif kind == "dense":
            soft = (torch.from_numpy(generator.dirichlet(np.ones(PDFS), size).astype(np.float32)).to(device),)
        result.append(Minibatch(windows, (labels, *soft)))
    return result


def criterion_of(kind: str) -> Criterion:
    return CrossEntropy() if kind == "hard" else KnowledgeDistillation(lambda values: values[0], 0.2, 2.0)


def trained(
    kind: str, folder: Path, device: torch.device, record: bool, sizes: Sequence[int], criterion: Criterion | None = None
) -> tuple[Step, list[Tensor], list[float]]:  # fmt: skip
    """The step, the parameters and the sums after an epoch."""
    model = build_network(NetworkConfig("hdnn", DIM, PDFS, 16, 4, 0, 0), 1).to(device)
    run = Run(folder, Ranks(), device, {}, 1e9, SUMS)
    step = Step(model, criterion or criterion_of(kind), Sgd(list(model.parameters())), 0.01, 0.9, run, record)
    for batch in run.epoch(minibatches(kind, device, sizes), len(sizes)):
        step(batch)
    return step, [p.detach().cpu() for p in model.parameters()], list(run.progress.sums.values())


@needs_gpu
@pytest.mark.parametrize("kind", ["hard", "sparse", "dense"])
def test_recorded_updates_are_those_of_single_kernels(kind: str, tmp_path: Path) -> None:
    sizes = [64] * 20 + [17] + [64] * 5 + [64, 3]  # blocks end with minibatches of another size
    device = torch.device("cuda")
    with_record, parameters, sums = trained(kind, tmp_path, device, True, sizes)
    without, expected, expected_sums = trained(kind, tmp_path, device, False, sizes)
    assert with_record.records
    assert not without.records
    assert sums == pytest.approx(expected_sums, rel=1e-6)
    for got, wanted in zip(parameters, expected, strict=True):
        torch.testing.assert_close(got, wanted, rtol=1e-5, atol=1e-6)


@pytest.mark.skipif(torch.cuda.device_count() < 2, reason="needs two GPUs")
def test_the_gpu_that_works_need_not_be_the_current_one(tmp_path: Path) -> None:
    device, sizes = torch.device("cuda", 1), [64] * 12
    _, parameters, sums = trained("hard", tmp_path, device, True, sizes)
    _, expected, expected_sums = trained("hard", tmp_path, device, False, sizes)
    assert sums == pytest.approx(expected_sums, rel=1e-6)
    for got, wanted in zip(parameters, expected, strict=True):
        torch.testing.assert_close(got, wanted, rtol=1e-5, atol=1e-6)


@needs_gpu
def test_gpu_and_cpu_learn_the_same(tmp_path: Path) -> None:
    sizes = [64] * 20
    _, parameters, sums = trained("sparse", tmp_path, torch.device("cuda"), True, sizes)
    _, expected, expected_sums = trained("sparse", tmp_path, torch.device("cpu"), True, sizes)
    assert sums == pytest.approx(expected_sums, rel=1e-4)
    for got, wanted in zip(parameters, expected, strict=True):
        torch.testing.assert_close(got, wanted, rtol=1e-3, atol=1e-4)


@needs_gpu
def test_what_looks_at_a_value_is_done_kernel_by_kernel(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    class Looking(CrossEntropy):
        def __call__(self, logits: Tensor, targets: Sequence[Any]) -> tuple[Tensor, Tensor]:
            assert float(logits.detach().abs().max()) < 1e6
            return super().__call__(logits, targets)

    device, sizes = torch.device("cuda"), [64] * 8
    step, parameters, _ = trained("hard", tmp_path, device, True, sizes, Looking())
    assert not step.records
    assert "cannot be recorded" in caplog.text
    _, expected, _ = trained("hard", tmp_path, device, False, sizes)
    for got, wanted in zip(parameters, expected, strict=True):
        torch.testing.assert_close(got, wanted, rtol=1e-5, atol=1e-6)


def test_a_cpu_records_nothing(tmp_path: Path) -> None:
    step, _, _ = trained("hard", tmp_path, torch.device("cpu"), True, [8] * 6)
    assert not step.records


def test_only_a_torch_that_lets_other_threads_work_records(monkeypatch: pytest.MonkeyPatch) -> None:
    def graph(graph: Any, pool: Any = None, stream: Any = None) -> None:
        """As of torch 2.0."""

    monkeypatch.setattr(torch.cuda, "graph", graph)
    assert not recording.can_record(torch.device("cuda"))


class Replayed:
    """Stands for a recording: does the work again, as a GPU would, on the memory that it was made with."""

    runs = 0

    def __init__(self, work: Any, device: torch.device) -> None:
        assert device.type == "cpu"
        self.work = work

    def run(self) -> None:
        Replayed.runs += 1
        self.work()


@pytest.mark.parametrize("kind", ["hard", "sparse", "dense"])
def test_minibatches_are_put_where_the_recording_reads(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without a GPU: all but the recording itself, to the last bit of what plain updates give."""
    cpu, sizes = torch.device("cpu"), [32] * 9 + [5] + [32] * 4
    plain = trained(kind, tmp_path, cpu, True, sizes)
    monkeypatch.setattr("hdnn_nnet.train.step.can_record", lambda device: True)
    monkeypatch.setattr("hdnn_nnet.train.step.Recording", Replayed)
    monkeypatch.setattr(Replayed, "runs", 0)
    recorded = trained(kind, tmp_path, cpu, True, sizes)
    assert Replayed.runs == 6 + 4  # neither the first three nor the short one
    assert recorded[2] == plain[2]
    for got, wanted in zip(recorded[1], plain[1], strict=True):
        assert torch.equal(got, wanted)


def test_soft_labels_need_not_be_as_many() -> None:
    """Unused room changes neither the loss nor a gradient; more than there is room for are refused."""
    generator, cpu = np.random.default_rng(11), torch.device("cpu")
    there = room_for(soft_labels(generator, 40, cpu, most=4))
    for most in (4, 1, 5, 2):
        soft = soft_labels(generator, 40, cpu, most)
        assert put(there, soft)
        logits = torch.from_numpy(generator.standard_normal((40, PDFS)).astype(np.float32) * 30).requires_grad_()
        results = []
        for labels in (soft, there):
            loss, correct = Distillation.apply(logits, labels, None, 0.0, 2.0, 1.0)
            results.append((loss.detach(), correct, torch.autograd.grad(loss, logits)[0]))
        (loss, correct, gradient), (padded_loss, padded_correct, padded_gradient) = results
        assert torch.equal(padded_loss, loss)
        assert torch.equal(padded_correct, correct)
        torch.testing.assert_close(padded_gradient, gradient, rtol=0, atol=2e-38)
    assert not put(there, soft_labels(generator, 40, cpu, most=12))
