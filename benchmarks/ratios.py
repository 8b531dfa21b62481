"""Every ratio in one table: trainings, forward pass and decoding, beside Kaldi where KALDI_ROOT is set, and what limits them.

    python3 benchmarks/ratios.py [--seconds 6] [--networks "hdnn-h128l10 dnn-h2048l6"]
    python3 benchmarks/ratios.py --decode exp/mini/hdnn-h128l10=data/mini/fmllr/dev      # in a recipe's directory

Runs ce.py, kd.py, smbr.py and, with --decode, decode.py, each in a process of its own, one thread. The last column compares the
operations of the network's matrix products with this processor's speed in a product of a minibatch by a layer of that width, in
the precision of the run; lattices and searches have none.
"""

import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import torch

from benchmarks.ce import FEAT_DIM, SPLICE
from benchmarks.support.output import output
from hdnn_nnet.cli import script
from hdnn_nnet.device.doctor import processor
from hdnn_nnet.device.options import PRECISIONS
from hdnn_nnet.device.precision import choose_dtype
from hdnn_nnet.errors import HdnnError
from hdnn_nnet.nn.config import parse_name
from hdnn_nnet.options import Options as Base
from hdnn_nnet.options import option

#: products of each weight in a step: forward, gradient of the inputs, gradient of the weights
STEP, FORWARD = 3, 1
KD_COLUMN = "epoch over CE's"


@dataclass(frozen=True, kw_only=True)
class Options(Base):
    """Benchmark."""

    networks: str = option("hdnn-h128l10 hdnn-h512l10 dnn-h2048l6", "which, in quotes")
    pdfs: int = option(3927, "outputs", at_least=1)
    minibatch_size: int = option(256, "frames", at_least=1)
    rounds: int = option(3, "turns of each", at_least=1)
    seconds: float = option(6.0, "rough length of a training turn", above=0)
    frames: int = option(30000, "of an epoch of distillation", at_least=500)
    utterances: int = option(20, "of sequence training and decoding", at_least=1)
    precision: str = option("auto", "of our products", choices=PRECISIONS)
    decode: str = option(
        "", "MODEL-DIR=DATA-DIR of a recipe that has been run; the graph is that of exp/*/tri4a or exp/*/mono"
    )


def weights(name: str, pdfs: int) -> int:
    """Weights of a network's matrix products, those that all layers share counted once for each layer."""
    arch, width, depth = parse_name(name)
    hidden = width * width * (3 if arch == "hdnn" else 1)
    return FEAT_DIM * (2 * SPLICE + 1) * width + (depth - 1) * hidden + width * pdfs


def product_speed(rows: int, width: int, dtype: torch.dtype, seconds: float = 0.5) -> float:
    """Operations per second of (rows, width) times (width, width) here."""
    left, right = torch.randn(rows, width).to(dtype), torch.randn(width, width).to(dtype)
    best, end = float("inf"), time.perf_counter() + seconds
    while time.perf_counter() < end:
        started = time.perf_counter()
        for _ in range(10):
            torch.mm(left, right)
        best = min(best, (time.perf_counter() - started) / 10)
    return 2 * rows * width * width / best


def rows(lines: list[str]) -> list[dict[str, str]]:
    """The rows of a printed table: title of the column -> cell; a title's second use has a 2 behind it."""
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines if line.startswith("| ")]
    titles: list[str] = []
    for title in cells[0]:
        titles.append(f"{title} 2" if title in titles else title)
    return [dict(zip(titles, row, strict=True)) for row in cells[1:]]


def show(what: str, network: str, ours: str, other: str, ratio: str, share: float | None = None) -> None:
    cells = (what, network, ours, other, ratio, "" if share is None else f"{share:.0%}")
    print("| " + " | ".join(cells) + " |", flush=True)


def trainings(options: Options) -> None:
    """Cross-entropy, forward pass, distillation, sequence training."""
    dtype = choose_dtype(options.precision, torch.device("cpu")) or torch.float32
    shared = ("--threads=1", f"--rounds={options.rounds}", f"--precision={options.precision}", f"--pdfs={options.pdfs}")
    minibatch = f"--minibatch-size={options.minibatch_size}"
    for name in options.networks.split():
        (row,) = rows(output("ce", f"--networks={name}", f"--seconds={options.seconds}", minibatch, *shared))
        peak = product_speed(options.minibatch_size, parse_name(name)[1], dtype)
        for what, title, products, mark in (("CE", "train", STEP, ""), ("forward", "forward", FORWARD, " 2")):
            speed = row[f"{title} frames/s"]
            share = 2 * products * weights(name, options.pdfs) * float(speed) / peak
            show(what, name, f"{speed} frames/s", f"nnet1 {row['nnet1' + mark]}", row["ratio" + mark], share)
    for row in rows(output("kd", f"--frames={options.frames}", *shared)):
        if row["criterion"] != "CE":
            ratio = f"{1 / float(row[KD_COLUMN]):.2f}"
            show(row["criterion"], "hdnn-h128l10", f"{row['frames/s']} frames/s", "our CE", ratio)
    for row in rows(output("smbr", f"--utterances={options.utterances}", *shared)):
        what = f"sMBR, engine {row['engine']}"
        show(what, row["network"], f"{row['frames/s']} frames/s", f"nnet1 {row['nnet1']}", row["ratio"])


def decoding(options: Options) -> None:
    """Our searches beside latgen-faster-mapped, on the log-likelihoods of a trained network."""
    model, _, data = options.decode.partition("=")
    systems = (Path(model).parent / gmm for gmm in ("tri4a", "mono"))
    source = next((system for system in systems if (system / "graph/HCLG.fst").is_file()), None)
    if source is None or not data:
        raise HdnnError(
            f"--decode {options.decode}: expected MODEL-DIR=DATA-DIR, with tri4a/graph or mono/graph beside the model"
        )
    with tempfile.TemporaryDirectory(prefix="bench.") as folder:
        loglikes = f"ark:{folder}/loglikes.ark"
        command = [sys.executable, "-m", "hdnn_nnet", "forward", model, data, loglikes]
        subprocess.run(command, check=True, stderr=subprocess.DEVNULL)
        words = (f"--utterances={options.utterances}", f"--rounds={options.rounds}")
        lines = output("decode", *words, source / "final.mdl", source / "graph/HCLG.fst", loglikes)
    factors = {line.split()[0]: float(line.split()[3]) for line in lines if " real-time factor " in line}
    *searches, last = factors
    for search in searches:
        show(f"search, {search}", Path(model).name, f"{factors[search]:.4f} of real time", f"{last} {factors[last]:.4f}",
             f"{factors[last] / factors[search]:.2f}")  # fmt: skip


def main(options: Options) -> None:
    torch.set_num_threads(1)
    dtype = choose_dtype(options.precision, torch.device("cpu")) or torch.float32
    print(
        f"{processor()}; torch {torch.__version__}, {dtype}, 1 thread, {options.pdfs} pdfs, minibatch {options.minibatch_size}\n"
    )
    print("| what | network | ours | beside it | ratio | of the product's speed |")
    print("|---|---|---|---|---|---|")
    trainings(options)
    if options.decode:
        decoding(options)


if __name__ == "__main__":
    script(Options, main, "benchmarks/ratios.py", __doc__ or "")
