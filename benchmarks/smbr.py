"""Frames per second of lattice sMBR training, beside Kaldi's nnet-train-mpe-sequential in the same run.

    PYTHONPATH=. python3 benchmarks/smbr.py [--threads 1] [--networks "dnn-h512l4 hdnn-h128l10"]
    PYTHONPATH=. python3 benchmarks/smbr.py --root shared/corpora/so762 --feats scp:data-fmllr/train/feats.scp \
        --ali exp/dnn4x512_ali --denlats exp/dnn4x512_denlats/lat.scp

An epoch over the first utterances of the features: reading features and lattices, network forward (only the outputs that the
lattices use), lattice pass, backward, update after every batch. Without --feats, lattices, features and alignments are made
up: some 30 arcs cross a frame.
Where KALDI_ROOT is set, nnet-train-mpe-sequential does the same with the same files on a plain network of the same width,
depth, inputs and outputs and the same number of BLAS threads, an update an utterance; its figure is what it reports itself.
All take turns, so that other load hits all; figures are medians over the rounds. The right half of the table tells where our
time goes, in ms per 1000 frames.
"""

import os
import re
import statistics
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import kaldiio
import numpy as np
import torch

from benchmarks.ce import FEAT_DIM, SPLICE, Nnet1
from benchmarks.support.lattices import one_state_model, sausage
from hdnn_nnet.cli import script
from hdnn_nnet.device.options import PRECISIONS
from hdnn_nnet.device.precision import choose_dtype
from hdnn_nnet.errors import HdnnError
from hdnn_nnet.kaldi.alignments import alignment_files, read_alignments, write_alignments, write_counts
from hdnn_nnet.kaldi.script_table import read_scp
from hdnn_nnet.kaldi.tables import read_matrices
from hdnn_nnet.kaldi.transitions import TransitionModel
from hdnn_nnet.lattice.arcs import lattice_arcs
from hdnn_nnet.lattice.table import LatticeWriter, read_lattices
from hdnn_nnet.nn.config import NetworkConfig, parse_name
from hdnn_nnet.nn.networks import build_network
from hdnn_nnet.nn.prior import read_log_prior
from hdnn_nnet.options import Options as Base
from hdnn_nnet.options import option
from hdnn_nnet.sequence.batch import make_batch
from hdnn_nnet.sequence.objectives import sequence_loss
from hdnn_nnet.sequence.options import SequenceOptions
from hdnn_nnet.train.sgd import Sgd

STAGES = ("read", "arcs", "forward", "lattice", "backward")


@dataclass(frozen=True, kw_only=True)
class Options(Base):
    """Benchmark."""

    networks: str = option("dnn-h512l4 hdnn-h128l10", "which, in quotes")
    engines: str = option("torch k2", "lattice engines, in quotes")
    root: str = option(".", "directory that paths below and in scp files start from")
    feats: str = option("", "rspecifier of network inputs; empty: all data are made up")
    ali: str = option("", "alignment directory with final.mdl")
    denlats: str = option("", "script file of lattices")
    silence_phones: tuple[int, ...] = option((1,), "phone ids, with colons between", metavar="N:...")
    utterances: int = option(40, "how many", at_least=1)
    pdfs: int = option(3927, "outputs, where data are made up", at_least=1)
    batch: int = option(1, "utterances an update (ours)", at_least=1)
    threads: int = option(1, "CPU threads of both", at_least=1)
    rounds: int = option(3, "turns of each", at_least=1)
    precision: str = option("auto", "of our products", choices=PRECISIONS)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.feats and not (self.ali and self.denlats):
            raise HdnnError("--feats needs --ali and --denlats")


@dataclass
class Problem:
    """The first utterances as script files of their own, and their sizes."""

    feats: str
    ali: str
    denlats: str
    counts: Path
    utterances: list[str]
    frames: int
    feat_dim: int
    pdfs: int

    @property
    def model(self) -> str:
        return str(Path(self.ali) / "final.mdl")


def open_problem(folder: Path, feats: str, ali: str, denlats: str, limit: int) -> Problem:
    """Take the first `limit` utterances that have an alignment and a lattice; their features are copied."""
    alignments = read_alignments(ali)
    lattices = read_scp(denlats)
    model = TransitionModel.read(Path(ali) / "final.mdl")
    chosen: dict[str, np.ndarray] = {}
    for key, matrix in read_matrices(feats):
        if len(chosen) == limit:
            break
        if key in lattices and key in alignments and len(alignments[key]) == len(matrix):
            chosen[key] = matrix
    if not chosen:
        raise HdnnError(f"no utterance of {feats} has both an alignment in {ali} and a lattice in {denlats}")
    kaldiio.save_ark(str(folder / "feats.ark"), chosen, scp=str(folder / "feats.scp"))
    (folder / "lat.scp").write_text("".join(f"{key} {lattices[key]}\n" for key in chosen), encoding="utf-8")
    occurrences = np.bincount(model.tid_to_pdf[np.concatenate([*alignments.values()])], minlength=model.num_pdfs)
    write_counts(folder / "counts", occurrences + 0.5)
    return Problem(
        feats=f"scp:{folder}/feats.scp",
        ali=ali,
        denlats=f"scp:{folder}/lat.scp",
        counts=folder / "counts",
        utterances=list(chosen),
        frames=sum(len(matrix) for matrix in chosen.values()),
        feat_dim=next(iter(chosen.values())).shape[1],
        pdfs=model.num_pdfs,
    )


def synthetic(folder: Path, pdfs: int, utterances: int) -> tuple[str, str, str]:
    """Write features, alignments and lattices; every utterance has 500 frames. Returns feats, ali, denlats."""
    generator = np.random.default_rng(0)
    model = one_state_model(pdfs)
    names = [f"u{i}" for i in range(utterances)]
    ali = folder / "ali"
    ali.mkdir()
    model.write(ali / "final.mdl")
    (ali / "num_jobs").write_text("1\n", encoding="ascii")
    features = {u: generator.standard_normal((500, FEAT_DIM)).astype(np.float32) for u in names}
    kaldiio.save_ark(str(folder / "feats.ark"), features, scp=str(folder / "feats.scp"))
    alignments = {}
    with LatticeWriter(f"ark,scp:{folder}/lat.ark,{folder}/lat.scp") as writer:
        for name in names:
            lattice, alignments[name] = sausage(generator, model.num_transition_ids)
            writer.write_lattice(name, lattice)
    write_alignments(ali / "ali.1.gz", alignments)
    return f"scp:{folder}/feats.scp", str(ali), f"{folder}/lat.scp"


@contextmanager
def _timed(seconds: dict[str, float], stage: str) -> Iterator[None]:
    started = time.perf_counter()
    yield
    seconds[stage] += time.perf_counter() - started


def ours(problem: Problem, name: str, engine: str, batch_size: int, silence: tuple[int, ...], precision: str) -> dict:
    """Seconds of every stage of an epoch."""
    arch, width, depth = parse_name(name)
    network = build_network(NetworkConfig(arch, problem.feat_dim, problem.pdfs, width, depth, SPLICE, SPLICE))
    network.initialise(0)
    network.compute_dtype = choose_dtype(precision, torch.device("cpu"))
    model = TransitionModel.read(problem.model)
    alignments = read_alignments(problem.ali)
    log_prior = torch.from_numpy(read_log_prior(problem.counts, problem.pdfs))
    options = SequenceOptions(criterion="smbr", silence_phones=silence, engine=engine)
    sgd = Sgd(list(network.parameters()))
    seconds: dict[str, float] = defaultdict(float)
    features, lattices = read_matrices(problem.feats), read_lattices(problem.denlats)
    for first in range(0, len(problem.utterances), batch_size):
        names = problem.utterances[first : first + batch_size]
        with _timed(seconds, "read"):
            matrices = [next(features)[1] for _ in names]
            found = [next(lattices) for _ in names]
        with _timed(seconds, "arcs"):
            arcs = [lattice_arcs(lattice, model, key) for key, lattice in found]
            batch = make_batch(arcs, [alignments[key] for key in names], model)
        with _timed(seconds, "forward"):
            windows = torch.cat([network.splice(network.normalise(torch.from_numpy(m.copy()))) for m in matrices])
            pdfs, batch = batch.used_pdfs()
            loglikes = network.logits(windows, pdfs) - log_prior[pdfs]
        with _timed(seconds, "lattice"):
            loss, _ = sequence_loss(loglikes, batch, options)
        with _timed(seconds, "backward"):
            loss.backward()
            sgd.step(1e-9, 0.0)
    return seconds


def kaldi_speed(nnet1: Nnet1, problem: Problem, network: Path, silence: tuple[int, ...]) -> float:
    """Frames per second as nnet-train-mpe-sequential reports them."""
    files = " ".join(str(path) for path in alignment_files(problem.ali))
    log = nnet1.call(
        "nnet-train-mpe-sequential", "--use-gpu=no", "--acoustic-scale=0.1", "--lm-scale=1.0", "--learn-rate=1e-9",
        "--momentum=0", "--do-smbr=true", "--one-silence-class=true", f"--silence-phones={':'.join(map(str, silence))}",
        f"--feature-transform={nnet1.folder / 'transform'}", f"--class-frame-counts={problem.counts}",
        str(network), problem.model, problem.feats, problem.denlats,
        f"ark:gunzip -c {files} |", str(nnet1.folder / "next.nnet"),
    )  # fmt: skip
    found = re.findall(r"processed ([0-9.e+]+) frames per sec", log)
    done = re.findall(r"Done (\d+) files", log)
    if not found or not done or int(done[-1]) != len(problem.utterances):
        raise HdnnError(f"nnet-train-mpe-sequential did {done} of {len(problem.utterances)} utterances")
    return float(found[-1])


def main(options: Options) -> None:
    torch.set_num_threads(options.threads)
    os.chdir(options.root)
    silence = options.silence_phones
    kaldi_root = os.environ.get("KALDI_ROOT")
    with tempfile.TemporaryDirectory(prefix="bench.") as name:
        folder = Path(name)
        places = (options.feats, options.ali, options.denlats)
        if not options.feats:
            (folder / "data").mkdir()
            places = synthetic(folder / "data", options.pdfs, options.utterances)
        problem = open_problem(folder, *places, options.utterances)
        nnet1 = None
        if kaldi_root:
            program = "nnet-train-mpe-sequential"
            nnet1 = Nnet1(Path(kaldi_root), folder, program, problem.feat_dim, problem.pdfs, options.threads)
        print(
            f"torch {torch.__version__}, {options.threads} threads, {len(problem.utterances)} utterances, "
            f"{problem.frames} frames, {problem.pdfs} pdfs, {options.batch} utterances an update"
        )
        print("| network | engine | frames/s | nnet1 | ratio | " + " | ".join(STAGES) + " |")
        print("|---|---" + "|---" * (3 + len(STAGES)) + "|")
        for network in options.networks.split():
            _, width, depth = parse_name(network)
            plain = nnet1.network(width, depth) if nnet1 else None
            mine: dict[str, list[dict]] = defaultdict(list)
            theirs = []
            for turn in range(options.rounds + 1):
                for engine in options.engines.split():
                    seconds = ours(problem, network, engine, options.batch, silence, options.precision)
                    if turn:  # the first turn warms up
                        mine[engine].append(seconds)
                if nnet1 and plain and turn:
                    theirs.append(kaldi_speed(nnet1, problem, plain, silence))
            for engine, turns in mine.items():
                speed = statistics.median(problem.frames / sum(turn.values()) for turn in turns)
                cells = [network, engine, f"{speed:.0f}"]
                cells += (
                    [f"{statistics.median(theirs):.0f}", f"{speed / statistics.median(theirs):.2f}"]
                    if theirs
                    else ["-", "-"]
                )
                cells += [f"{1e6 * statistics.median(t[s] for t in turns) / problem.frames:.1f}" for s in STAGES]
                print("| " + " | ".join(cells) + " |", flush=True)


if __name__ == "__main__":
    script(Options, main, "benchmarks/smbr.py", __doc__ or "")
