"""Frames per second of cross-entropy training and of the forward pass, beside Kaldi's nnet1 in the same run.

    python3 benchmarks/ce.py [--threads 1] [--networks "hdnn-h128l10 dnn-h2048l6"] [--pdfs 3927]

Where KALDI_ROOT is set, nnet-train-frmshuff and nnet-forward run on a plain network of the same width, depth, inputs and
outputs, with the same minibatch size and number of BLAS threads (nnet1 has no highway layers: for an HDNN it computes a third
of the hidden products). Ours and Kaldi's runs take turns, so that other load hits both; the figures are medians over the rounds.
Random features and labels are used: speed does not depend on them. Turns must be long enough (--seconds) for nnet1's diagnostics
at the start and the end of a run, and for reading a large network, not to count.
"""

import itertools
import os
import re
import statistics
import subprocess
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import kaldiio
import numpy as np
import torch

from hdnn_nnet.cli import script
from hdnn_nnet.device.options import PRECISIONS
from hdnn_nnet.device.precision import choose_dtype
from hdnn_nnet.errors import HdnnError
from hdnn_nnet.nn.config import NetworkConfig, parse_name
from hdnn_nnet.nn.forward import compute
from hdnn_nnet.nn.networks import build_network
from hdnn_nnet.options import Options as Base
from hdnn_nnet.options import option
from hdnn_nnet.train.criteria import CrossEntropy
from hdnn_nnet.train.frames import FrameShuffler, Minibatch
from hdnn_nnet.train.sgd import Sgd

FEAT_DIM, SPLICE = 40, 5


@dataclass(frozen=True, kw_only=True)
class Options(Base):
    """Benchmark."""

    networks: str = option("hdnn-h128l10 dnn-h128l10 hdnn-h512l10 dnn-h512l10 dnn-h2048l6", "which, in quotes")
    pdfs: int = option(3927, "outputs", at_least=1)
    minibatch_size: int = option(256, "frames", at_least=1)
    threads: int = option(1, "CPU threads of both", at_least=1)
    rounds: int = option(3, "turns of each", at_least=1)
    seconds: float = option(20.0, "rough length of a training turn", above=0)
    precision: str = option("auto", "of our products", choices=PRECISIONS)


def ours(name: str, pdfs: int, frames: int, minibatch: int, precision: str) -> tuple[float, float]:
    """Frames per second of our training loop's steps and of the forward program's computation."""
    arch, width, depth = parse_name(name)
    network = build_network(NetworkConfig(arch, FEAT_DIM, pdfs, width, depth, SPLICE, SPLICE))
    network.compute_dtype = choose_dtype(precision, torch.device("cpu"))
    generator = np.random.default_rng(0)
    utts = {f"u{i}": 500 for i in range(frames // 500)}
    features = {u: generator.standard_normal((500, FEAT_DIM)).astype(np.float32) for u in utts}
    labels = {u: (generator.integers(pdfs, size=500),) for u in utts}
    batches = FrameShuffler(utts, features.__getitem__, labels.__getitem__, SPLICE, SPLICE, minibatch)
    criterion, sgd = CrossEntropy(), Sgd(list(network.parameters()), dtype=network.compute_dtype)

    def step(batch: Minibatch) -> None:
        loss, _ = criterion(network.logits(batch.windows), batch.targets)
        loss.backward()
        sgd.step(1e-6, 0.9)

    step(next(batches.epoch(0)))  # the first step allocates
    started = time.perf_counter()
    for batch in batches.epoch(1):
        step(batch)
    training = frames / (time.perf_counter() - started)

    prior = torch.zeros(pdfs)
    matrices = list(features.values())
    compute(network, matrices[:2], "loglikes", prior)
    started = time.perf_counter()
    for first in range(0, len(matrices), 2):
        compute(network, matrices[first : first + 2], "loglikes", prior)
    return training, frames / (time.perf_counter() - started)


class Nnet1:
    """Kaldi's nnet1 programs, and random plain networks for them.

    Attributes:
        folder: where files go; `transform` in it splices the features.
    """

    def __init__(self, root: Path, folder: Path, program: str, feat_dim: int, pdfs: int, threads: int) -> None:
        self.bin = root / "src" / "nnetbin"
        if not (self.bin / program).exists():
            raise HdnnError(f"{self.bin} has no {program}; build nnetbin or unset KALDI_ROOT")
        self.folder, self.feat_dim, self.pdfs = folder, feat_dim, pdfs
        self.environment = os.environ | {"OMP_NUM_THREADS": str(threads), "OPENBLAS_NUM_THREADS": str(threads)}
        splice = " ".join(str(i) for i in range(-SPLICE, SPLICE + 1))
        dim = feat_dim * (2 * SPLICE + 1)
        transform = f"<Nnet>\n<Splice> {dim} {feat_dim}\n[ {splice} ]\n</Nnet>\n"
        (folder / "transform").write_text(transform, encoding="utf-8")

    def call(self, program: str, *arguments: str) -> str:
        """Run a program; its log."""
        done = subprocess.run(
            [str(self.bin / program), *arguments], env=self.environment, capture_output=True, text=True, check=False
        )
        if done.returncode:
            raise HdnnError(f"{program} failed: {done.stderr.strip().splitlines()[-1]}")
        return done.stderr

    def network(self, width: int, depth: int) -> Path:
        """A random plain network."""
        dims = [self.feat_dim * (2 * SPLICE + 1)] + [width] * depth
        lines = []
        for i, o in itertools.pairwise(dims):
            lines.append(
                f"<AffineTransform> <InputDim> {i} <OutputDim> {o} <BiasMean> 0 <BiasRange> 0 <ParamStddev> 0.1"
            )
            lines.append(f"<Sigmoid> <InputDim> {o} <OutputDim> {o}")
        output = f"<InputDim> {width} <OutputDim> {self.pdfs}"
        lines.append(f"<AffineTransform> {output} <BiasMean> 0 <BiasRange> 0 <ParamStddev> 0.1")
        lines.append(f"<Softmax> <InputDim> {self.pdfs} <OutputDim> {self.pdfs}")
        (self.folder / "proto").write_text("<NnetProto>\n" + "\n".join(lines) + "\n</NnetProto>\n", encoding="utf-8")
        path = self.folder / f"{width}x{depth}.nnet"
        self.call("nnet-initialize", str(self.folder / "proto"), str(path))
        return path


class Kaldi(Nnet1):
    """nnet1 on the same problem."""

    def __init__(self, root: Path, folder: Path, frames: int, pdfs: int, threads: int) -> None:
        super().__init__(root, folder, "nnet-train-frmshuff", FEAT_DIM, pdfs, threads)
        self.frames = frames
        generator = np.random.default_rng(0)
        features = {
            f"u{i}": generator.standard_normal((500, FEAT_DIM)).astype(np.float32) for i in range(frames // 500)
        }
        kaldiio.save_ark(str(folder / "feats.ark"), features)
        with open(folder / "post.ark", "w", encoding="utf-8") as handle:
            for utt in features:
                handle.write(utt + "".join(f" [ {generator.integers(pdfs)} 1 ]" for _ in range(500)) + "\n")

    def speeds(self, network: Path, minibatch: int) -> tuple[float, float]:
        """Frames per second of training, as the program itself reports it, and of forwarding (whole process)."""
        log = self.call(
            "nnet-train-frmshuff", f"--minibatch-size={minibatch}", "--learn-rate=0.000001", "--momentum=0.9",
            f"--feature-transform={self.folder / 'transform'}", f"ark:{self.folder / 'feats.ark'}",
            f"ark:{self.folder / 'post.ark'}", str(network), str(self.folder / "next.nnet"),
        )  # fmt: skip
        found = re.findall(r"processing ([0-9.e+]+) frames per sec", log)
        if not found:
            raise HdnnError("nnet-train-frmshuff printed no speed")
        started = time.perf_counter()
        self.call(
            "nnet-forward", "--no-softmax=true", f"--feature-transform={self.folder / 'transform'}",
            str(network), f"ark:{self.folder / 'feats.ark'}", "ark:/dev/null",
        )  # fmt: skip
        return float(found[-1]), self.frames / (time.perf_counter() - started)


def main(options: Options) -> None:
    torch.set_num_threads(options.threads)
    dtype = choose_dtype(options.precision, torch.device("cpu")) or torch.float32
    print(
        f"torch {torch.__version__}, {dtype}, {options.threads} threads, minibatch {options.minibatch_size}, {options.pdfs} pdfs"
    )
    root = os.environ.get("KALDI_ROOT")
    print("| network | M params | train frames/s | nnet1 | ratio | forward frames/s | nnet1 | ratio |")
    print("|---|---|---|---|---|---|---|---|")
    for name in options.networks.split():
        arch, width, depth = parse_name(name)
        parameters = build_network(NetworkConfig(arch, FEAT_DIM, options.pdfs, width, depth)).num_parameters()
        # About 6 operations a parameter and frame, at some 60 GFLOP/s
        frames = max(1000, int(options.seconds * 1e10 * options.threads / parameters) // 500 * 500)
        mine, theirs = [], []
        with tempfile.TemporaryDirectory(prefix="bench.") as folder:
            kaldi = Kaldi(Path(root), Path(folder), frames, options.pdfs, options.threads) if root else None
            network = kaldi.network(width, depth) if kaldi else None
            for _ in range(options.rounds):
                mine.append(ours(name, options.pdfs, frames, options.minibatch_size, options.precision))
                if kaldi and network:
                    theirs.append(kaldi.speeds(network, options.minibatch_size))
        cells = [name, f"{parameters / 1e6:.2f}"]
        for column in range(2):
            here = statistics.median(m[column] for m in mine)
            cells.append(f"{here:.0f}")
            if theirs:
                there = statistics.median(t[column] for t in theirs)
                cells += [f"{there:.0f}", f"{here / there:.2f}"]
            else:
                cells += ["-", "-"]
        print("| " + " | ".join(cells) + " |", flush=True)


if __name__ == "__main__":
    script(Options, main, "benchmarks/ce.py", __doc__ or "")
