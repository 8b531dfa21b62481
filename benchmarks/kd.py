"""Time of an epoch of distillation over one of cross-entropy, and the size of stored soft labels.

    python3 benchmarks/kd.py [--student hdnn-h128l10] [--teacher dnn-h512l4] [--pdfs 3927] [--real-teacher DIR --data DIR]

Three trainings take turns in one run: cross-entropy, distillation from stored soft labels (read from disk), distillation from the
teacher run on the fly. With random networks the number of pdfs kept per frame is that of no real teacher, so it is set by
--entries; with --real-teacher and --data the teacher is forwarded and its own soft labels are stored and used.
"""

import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import kaldiio
import numpy as np
import torch

from hdnn_nnet.cli import script
from hdnn_nnet.device.options import PRECISIONS
from hdnn_nnet.device.precision import choose_dtype
from hdnn_nnet.errors import HdnnError
from hdnn_nnet.feats.reader import FeatureReader
from hdnn_nnet.kaldi.posteriors import PosteriorWriter, SparsePosteriors
from hdnn_nnet.nn.config import NetworkConfig, parse_name
from hdnn_nnet.nn.model_dir import save_model
from hdnn_nnet.nn.networks import build_network
from hdnn_nnet.options import Options as Base
from hdnn_nnet.options import option
from hdnn_nnet.train.criteria import Criterion, CrossEntropy, KnowledgeDistillation
from hdnn_nnet.train.frames import FrameShuffler
from hdnn_nnet.train.sgd import Sgd
from hdnn_nnet.train.soft_labels import sparsify
from hdnn_nnet.train.soft_sources import TeacherSource, open_soft_labels
from hdnn_nnet.train.teacher import Teachers

FEAT_DIM, SPLICE, LENGTH = 40, 5, 500
AMI_FRAMES = 28e6


@dataclass(frozen=True, kw_only=True)
class Options(Base):
    """Benchmark."""

    student: str = option("hdnn-h128l10", "network")
    teacher: str = option("dnn-h512l4", "random teacher")
    pdfs: int = option(3927, "outputs of random networks", at_least=1)
    entries: int = option(20, "pdfs kept per frame with a random teacher", at_least=1)
    real_teacher: str = option("", "model directory")
    data: str = option("", "data directory for --real-teacher")
    mass: float = option(0.99, "kept of the real teacher's posteriors", above=0, at_most=1)
    frames: int = option(30000, "frames of an epoch", at_least=LENGTH)
    rounds: int = option(3, "turns of each", at_least=1)
    threads: int = option(1, "CPU threads", at_least=1)
    precision: str = option("auto", "of the matrix products", choices=PRECISIONS)

    def __post_init__(self) -> None:
        super().__post_init__()
        if bool(self.real_teacher) != bool(self.data):
            raise HdnnError("--real-teacher and --data belong together")


def random_data(folder: Path, frames: int, pdfs: int, entries: int, teacher: str) -> tuple[Path, Path]:
    """A data directory with features and a random teacher, and soft labels of `entries` pdfs a frame; (data, teacher)."""
    generator = np.random.default_rng(0)
    names = [f"u{i:05d}" for i in range(frames // LENGTH)]
    features = {u: generator.standard_normal((LENGTH, FEAT_DIM)).astype(np.float32) for u in names}
    kaldiio.save_ark(str(folder / "feats.ark"), features, scp=str(folder / "feats.scp"))
    (folder / "utt2spk").write_text("".join(f"{u} {u}\n" for u in names), encoding="utf-8")
    arch, width, depth = parse_name(teacher)
    save_model(build_network(NetworkConfig(arch, FEAT_DIM, pdfs, width, depth, SPLICE, SPLICE)), folder / "teacher")
    with PosteriorWriter(f"ark,scp:{folder}/post.ark,{folder}/post.scp", "compact") as writer:
        for u in names:
            chosen = generator.integers(pdfs, size=LENGTH * entries).astype(np.int32)
            weights = np.full(LENGTH * entries, 1 / entries, np.float32)
            offsets = np.arange(LENGTH + 1, dtype=np.int64) * entries
            writer.write_posteriors(u, SparsePosteriors(offsets, chosen, weights))
    return folder, folder / "teacher"


def store_real(folder: Path, teachers: Teachers, mass: float) -> tuple[float, float]:
    """Store a real teacher's soft labels; pdfs and bytes per frame."""
    entries = frames = 0
    with PosteriorWriter(f"ark,scp:{folder}/post.ark,{folder}/post.scp", "compact") as writer:
        for utt, _ in teachers.sources[0].num_frames().items():
            values = [teachers.networks[0].splice(torch.from_numpy(w.features)) for w in teachers.windows(utt)]
            posteriors, _ = sparsify(teachers.log_posteriors(values), mass)
            writer.write_posteriors(utt, posteriors)
            entries += len(posteriors.pdfs)
            frames += len(posteriors)
    return entries / frames, (folder / "post.ark").stat().st_size / frames


def main(options: Options) -> None:
    torch.set_num_threads(options.threads)

    with tempfile.TemporaryDirectory(prefix="bench.") as name:
        folder = Path(name)
        if options.real_teacher:
            data, teacher = Path(options.data), Path(options.real_teacher)
        else:
            data, teacher = random_data(folder, options.frames, options.pdfs, options.entries, options.teacher)
        teachers = Teachers([str(teacher)], [str(data)], torch.device("cpu"), options.precision)
        if options.real_teacher:
            per_frame, size = store_real(folder, teachers, options.mass)
        else:
            per_frame, size = (
                options.entries,
                (folder / "post.ark").stat().st_size / (options.frames // LENGTH * LENGTH),
            )
        pdfs = teachers.num_pdfs
        reader = FeatureReader(data)
        lengths: dict[str, int] = {}
        for utt, frames in reader.num_frames.items():
            if sum(lengths.values()) < options.frames:
                lengths[utt] = frames
        labels = {u: np.random.default_rng(1).integers(pdfs, size=n) for u, n in lengths.items()}
        stored = open_soft_labels(f"scp:{folder}/post.scp", pdfs)
        running = TeacherSource(teachers, 1.0, options.mass)
        kinds: dict[str, tuple[Criterion, Callable[[str], tuple[Any, ...]]]] = {
            "CE": (CrossEntropy(), lambda u: (labels[u],)),
            "KD, stored": (KnowledgeDistillation(stored.soft), lambda u: (labels[u], *stored.targets(u))),
            "KD, on the fly": (KnowledgeDistillation(running.soft), lambda u: (labels[u], *running.targets(u))),
        }
        arch, width, depth = parse_name(options.student)
        network = build_network(NetworkConfig(arch, reader.dim, pdfs, width, depth, SPLICE, SPLICE))
        network.compute_dtype = choose_dtype(options.precision, torch.device("cpu"))
        sgd = Sgd(list(network.parameters()), dtype=network.compute_dtype)
        seconds: dict[str, list[float]] = {kind: [] for kind in kinds}
        for number in range(options.rounds + 1):  # the first round warms up
            for kind, (criterion, targets) in kinds.items():
                batches = FrameShuffler(lengths, reader.__getitem__, targets, SPLICE, SPLICE)
                started = time.perf_counter()
                for batch in batches.epoch(number):
                    loss, _ = criterion(network.logits(batch.windows), batch.targets)
                    loss.backward()
                    sgd.step(1e-6, 0.9)
                seconds[kind].append(time.perf_counter() - started)
        total = sum(lengths.values())
        shown = teacher.name if options.real_teacher else options.teacher
        print(
            f"{network.compute_dtype or torch.float32}, student {options.student}, teacher {shown}, {pdfs} pdfs, {total} frames"
        )
        print("| criterion | frames/s | epoch over CE's |")
        print("|---|---|---|")
        for kind, values in seconds.items():
            ratio = statistics.median(v / c for v, c in zip(values[1:], seconds["CE"][1:], strict=True))
            print(f"| {kind} | {total / statistics.median(values[1:]):.0f} | {ratio:.2f} |")
        print(
            f"stored: {per_frame:.1f} pdfs and {size:.0f} bytes a frame; {AMI_FRAMES / 1e6:.0f} M frames of AMI at this number "
            f"of pdfs a frame: {AMI_FRAMES * size / 1e9:.1f} GB"
        )


if __name__ == "__main__":
    script(Options, main, "benchmarks/kd.py", __doc__ or "")
