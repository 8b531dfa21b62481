"""What a GPU makes of trainings: frames a second, kernels and waits a step, the share of a step in which it works.

    PYTHONPATH=. python3 benchmarks/gpu.py [--json gpu.json] [--networks "hdnn-h128l10 dnn-h2048l6"]

Needs Python 3.11, torch, numpy, safetensors, kaldiio and tqdm, nothing else: data are made up, on disk, and the package's own
loops read and train on them, loaders included. A measurement takes some --seconds; what does not fit into --limit is listed as
not measured. Without a GPU it runs on the CPU: then kernels and waits are those that the loops would ask of a GPU, counted
without one (benchmarks/support/counts.py).

Columns: hours of speech an hour (100 frames are a second of speech); a step is an update (adaptation: a speaker; forward: an
utterance); kernels a step; waits a step, in which Python stands until the GPU has done all that it was given; the share of the
step in which the GPU computes (time of kernels by time of step); TFLOP/s of the network's matrix products and their share of
the card's own product of 8192 x 8192 in bfloat16; bytes read from disk a frame. The JSON file has the same with more digits.
"""

import itertools
import json
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import torch

from benchmarks.support.corpus import Corpus
from benchmarks.support.counts import counted
from benchmarks.support.work import KINDS, Work
from hdnn_nnet.atomic import write_text
from hdnn_nnet.cli import script
from hdnn_nnet.device.options import PRECISIONS
from hdnn_nnet.device.precision import choose_device
from hdnn_nnet.errors import HdnnError
from hdnn_nnet.lattice.arcs import lattice_arcs
from hdnn_nnet.lattice.table import read_lattice
from hdnn_nnet.options import Options as Base
from hdnn_nnet.options import option
from hdnn_nnet.sequence.batch import make_batch
from hdnn_nnet.sequence.sources import StoredLattices

#: steps before the clock starts, steps that are profiled, steps over which waits are counted
WARM, PROFILED, COUNTED = 3, 10, 100
#: what is said of updates that are not recorded (hdnn_nnet/train/step.py)
ONE_BY_ONE = "kernels one by one"
HEADER = (
    *("what", "network", "size", "frames/s", "hours/hour", "ms/step", "kernels", "waits", "busy"),
    *("TFLOP/s", "of peak", "MB", "bytes/frame"),
)


@dataclass(frozen=True, kw_only=True)
class Options(Base):
    """Benchmark."""

    networks: str = option("hdnn-h128l10 hdnn-h512l10 dnn-h2048l6", "which, in quotes")
    teacher: str = option("dnn-h2048l6", "on the fly")
    pdfs: int = option(3927, "outputs", at_least=2)
    entries: int = option(20, "pdfs a frame of stored soft labels", at_least=1)
    minibatches: str = option("256 1024", "frames of a minibatch, in quotes")
    engines: str = option("torch k2", "lattice engines, in quotes; k2 where it is installed")
    densities: str = option("17 50", "arcs a frame of the lattices, in quotes")
    batches: str = option("1 4 16 64", "utterances of a batch of lattices, in quotes")
    utterances: int = option(64, "of 500 frames, on disk", at_least=1)
    seconds: float = option(2.0, "length of a measurement", above=0)
    limit: float = option(480.0, "seconds after which nothing new is begun", above=0)
    device: str = option("auto", "auto, cpu or cuda")
    precision: str = option("auto", "of matrix products", choices=PRECISIONS)
    json: str = option("gpu.json", "file to write")


@dataclass
class Row:
    """A measurement; what could not be had is None. `size`: frames of a minibatch, or utterances of a batch of lattices."""

    what: str
    network: str
    size: int | None
    frames_per_second: float
    step_ms: float
    kernels: float | None = None
    waits: float | None = None
    busy: float | None = None
    tflops: float | None = None
    of_peak: float | None = None
    memory_mb: float | None = None
    bytes_per_frame: float | None = None

    def cells(self) -> list[str]:
        def shown(value: float | None, form: str) -> str:
            return "-" if value is None else format(value, form)

        return [
            self.what, self.network or "-", str(self.size or "-"), f"{self.frames_per_second:.0f}",
            f"{self.frames_per_second / 100:.0f}", shown(self.step_ms, ".3f"), shown(self.kernels, ".0f"),
            shown(self.waits, ".3f"), shown(self.busy, ".0%"), shown(self.tflops, ".2f"), shown(self.of_peak, ".0%"),
            shown(self.memory_mb, ".0f"), shown(self.bytes_per_frame, ".0f"),
        ]  # fmt: skip


@dataclass
class Bench:
    """Measures, row by row, until the time is up."""

    options: Options
    device: torch.device
    rows: list[Row] = field(default_factory=list)
    #: what was left out, and why
    missing: dict[str, str] = field(default_factory=dict)
    limits: dict[str, float] = field(default_factory=dict)
    started: float = field(default_factory=time.monotonic)

    def wait(self) -> None:
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)

    def try_row(self, label: str, make: Callable[[], Row]) -> None:
        """Add a row, or tell why there is none: one that does not fit into memory costs no other."""
        if time.monotonic() - self.started > self.options.limit:
            self.missing[label] = "out of time"
            return
        try:
            self.rows.append(make())
        except (RuntimeError, HdnnError) as error:
            self.missing[label] = str(error).splitlines()[0]
        else:
            print("| " + " | ".join(self.rows[-1].cells()) + " |", flush=True)

    def row(
        self, what: str, network: str, size: int | None, steps: Callable[[torch.device], Iterator[int]], *,
        flops: float = 0.0, bytes_per_frame: float | None = None, count: bool = True,
    ) -> None:  # fmt: skip
        """Measure steps.

        Args:
            steps: gives, for a device, the frames of each step.
            flops: of a frame.
            count: whether the device has anything to do in a step.
        """

        def make() -> Row:
            if self.device.type == "cuda":
                torch.cuda.reset_peak_memory_stats(self.device)
            work = steps(self.device)
            for _ in itertools.islice(work, WARM):
                pass
            self.wait()
            begin, frames, number = time.perf_counter(), 0, 0
            while time.perf_counter() - begin < self.options.seconds:
                frames += next(work)
                number += 1
            self.wait()
            passed = time.perf_counter() - begin
            row = Row(what, network, size, frames / passed, 1000 * passed / number, bytes_per_frame=bytes_per_frame)
            if flops:
                row.tflops = flops * row.frames_per_second / 1e12
                if "matrix_tflops" in self.limits:
                    row.of_peak = row.tflops / self.limits["matrix_tflops"]
            # A step of a second is not done a hundred times more.
            most = max(1, min(COUNTED, int(1000 * self.options.seconds / row.step_ms)))
            if count and self.device.type == "cuda":
                row.memory_mb = torch.cuda.max_memory_allocated(self.device) / 1e6
                row.waits = _waits(work, most)
                row.kernels, seconds = _kernels(work, min(PROFILED, most), self.wait)
                row.busy = 1000 * seconds / row.step_ms
            elif count:
                counts = counted(steps(torch.device("meta")), most)
                row.kernels, row.waits = counts.operations / most, counts.waits / most
            return row

        self.try_row(f"{what}, {network}, {size}", make)


def _waits(work: Iterator[int], steps: int) -> float:
    """Waits of a step, as torch warns of them."""
    torch.cuda.set_sync_debug_mode("warn")
    try:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            done = sum(1 for _ in itertools.islice(work, steps))
    finally:
        torch.cuda.set_sync_debug_mode("default")
    return sum("synchronizing" in str(w.message) for w in caught) / done


def _kernels(work: Iterator[int], steps: int, wait: Callable[[], None]) -> tuple[float, float]:
    """Kernels of a step and the seconds that they take, by torch's profiler."""
    from torch.profiler import ProfilerActivity, profile

    with profile(activities=[ProfilerActivity.CPU, ProfilerActivity.CUDA]) as profiler:
        done = sum(1 for _ in itertools.islice(work, steps))
        wait()
    events = [e for e in profiler.events() if e.device_type == torch.autograd.DeviceType.CUDA]
    kernels = [e for e in events if not e.name.startswith(("Memcpy", "Memset"))]
    return len(kernels) / done, sum(e.time_range.elapsed_us() for e in kernels) / 1e6 / done


def limits(device: torch.device) -> dict[str, float]:
    """What the card itself gives: matrix products, memory, and kernels started one after the other."""
    if device.type != "cuda":
        return {}

    def seconds(work: Callable[[], Any], times: int) -> float:
        work()
        torch.cuda.synchronize(device)
        begin = time.perf_counter()
        for _ in range(times):
            work()
        torch.cuda.synchronize(device)
        return (time.perf_counter() - begin) / times

    a = torch.randn(8192, 8192, device=device, dtype=torch.bfloat16)
    large, small = torch.empty(1 << 28, device=device), torch.zeros(1, device=device)
    copy = torch.empty_like(large)
    return {
        "matrix_tflops": 2 * 8192**3 / seconds(lambda: a @ a, 20) / 1e12,
        "memory_gb_per_second": 2 * 4 * large.numel() / seconds(lambda: copy.copy_(large), 20) / 1e9,
        "launch_us": 1e6 * seconds(lambda: small.add_(1), 2000),
    }


def measure_frames(bench: Bench, work: Work) -> None:
    """Cross-entropy, distillation, forward pass, adaptation."""
    options, corpus = bench.options, work.corpus
    read = {"CE": corpus.bytes_a_frame("feats.ark"), "KD, stored": corpus.bytes_a_frame("feats.ark", "post.ark")}
    networks, sizes = options.networks.split(), [int(size) for size in options.minibatches.split()]
    for kind, size in read.items():
        steps = partial(work.frames, networks[0], kind, sizes[0], train=False)
        bench.row(f"{kind}: loader alone", networks[0], sizes[0], steps, bytes_per_frame=size, count=False)
    for name in networks:
        model = work.network(name, torch.device("cpu"))
        flops = 2.0 * model.num_parameters()
        if name.startswith("hdnn"):  # shared gates are multiplied in every layer
            flops += 2.0 * 2 * model.config.width**2 * (model.config.depth - 2)
        for kind, minibatch in itertools.product(KINDS, sizes):
            if kind == "KD, on the fly" and name == options.teacher:
                continue
            for record in (True, False) if bench.device.type == "cuda" else (True,):
                bench.row(
                    kind if record else f"{kind}, {ONE_BY_ONE}", name, minibatch,
                    partial(work.frames, name, kind, minibatch, teacher=options.teacher, record=record),
                    flops=0.0 if kind == "KD, on the fly" else 3 * flops, bytes_per_frame=read.get(kind, read["CE"]),
                )  # fmt: skip
        bench.row("forward", name, None, partial(work.forward, name), flops=flops, bytes_per_frame=read["CE"])
        if name.startswith("hdnn"):
            bench.row("adaptation", name, None, partial(work.adapt, name), bytes_per_frame=read["CE"])


def measure_lattices(bench: Bench, work: Work) -> None:
    """sMBR; and what the CPU does for it, alone."""
    options, corpus = bench.options, work.corpus
    networks = options.networks.split()
    for density in map(float, options.densities.split()):
        script_file, alignments = corpus.lattices(density)
        read = corpus.bytes_a_frame("feats.ark", f"lat.{density:g}.ark")
        label = f"sMBR, {density:g} arcs/frame"
        for size in map(int, options.batches.split()):
            steps = partial(work.sequences, networks[0], "torch", script_file, alignments, size, train=False)
            bench.row(f"{label}: read alone", networks[0], size, steps, bytes_per_frame=read, count=False)
            steps = partial(batches_alone, corpus, script_file, alignments, size)
            bench.row(f"{label}: make_batch alone", "", size, steps, count=False)
            for engine, name in itertools.product(options.engines.split(), networks):
                bench.row(
                    f"{label}, {engine}", name, size,
                    partial(work.sequences, name, engine, script_file, alignments, size), bytes_per_frame=read,
                    count=engine == "torch" or bench.device.type == "cuda",
                )  # fmt: skip


def batches_alone(corpus: Corpus, script_file: str, alignments: dict, size: int, device: torch.device) -> Iterator[int]:
    """Arcs and batches of lattices in memory, which are made on the CPU whatever the device."""
    del device
    lines = StoredLattices(script_file).lines
    names = [corpus.names[i % len(corpus.names)] for i in range(size)]
    lattices = [read_lattice(lines[name]) for name in names]
    while True:
        arcs = [lattice_arcs(lattice, corpus.model, name) for lattice, name in zip(lattices, names, strict=True)]
        yield make_batch(arcs, [alignments[name] for name in names], corpus.model).num_frames


def main(options: Options) -> None:
    device = choose_device(options.device)
    if device.type == "cpu":
        torch.set_num_threads(1)
    card = torch.cuda.get_device_name(device) if device.type == "cuda" else "no GPU"
    bench = Bench(options, device, limits=limits(device))
    with tempfile.TemporaryDirectory(prefix="bench.") as name:
        work = Work(
            Corpus.make(Path(name), options.utterances, options.pdfs, options.entries), options.pdfs, options.precision
        )
        print(
            f"torch {torch.__version__}, {card}, {options.pdfs} pdfs; "
            + ", ".join(f"{k} {v:.4g}" for k, v in bench.limits.items())
        )
        print("| " + " | ".join(HEADER) + " |\n" + "|---" * len(HEADER) + "|")
        measure_frames(bench, work)
        measure_lattices(bench, work)
    for label, why in bench.missing.items():
        print(f"not measured: {label}: {why}")
    content: dict[str, Any] = {
        "torch": torch.__version__,
        "device": card,
        "options": asdict(options),
        "limits": bench.limits,
    }
    content |= {"rows": [asdict(row) for row in bench.rows], "not measured": bench.missing}
    write_text(options.json, json.dumps(content, indent=1) + "\n")


if __name__ == "__main__":
    script(Options, main, "benchmarks/gpu.py", __doc__ or "")
