"""Start, stop and resumption of trainings on very many utterances: processor time and peak memory.

    PYTHONPATH=. python3 benchmarks/scale.py [--utterances 1200000] [--kinds "ce kd"]
    PYTHONPATH=. python3 benchmarks/scale.py --utterances 100000 --frames 500 --kinds smbr

1,000 hours are 1.2 million utterances of 300 frames. Features, soft labels and lattices of a few utterances are listed under
that many names; alignments are as many as on a real corpus. Lattices have 500 frames. Each training is told to stop (SIGTERM)
as soon as it would, does its first step, writes a checkpoint and ends; then it resumes and is stopped again. "Start" is thus
everything from the command to the checkpoint after the first step: reading lists and alignments, the features' mean and
variance, cross-validation of the initial network, the first block of frames, one step. Memory is the process's peak
(ru_maxrss).
"""

import gzip
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks.support.corpus import FEAT_DIM, random_posteriors
from benchmarks.support.lattices import LENGTH, one_state_model, sausage
from hdnn_nnet.atomic import write_text
from hdnn_nnet.cli import script
from hdnn_nnet.errors import HdnnError
from hdnn_nnet.kaldi.int_vectors import int_vector_bytes
from hdnn_nnet.kaldi.matrix_writer import MatrixWriter
from hdnn_nnet.kaldi.posteriors import PosteriorWriter
from hdnn_nnet.kaldi.script_table import read_scp
from hdnn_nnet.lattice.table import LatticeWriter
from hdnn_nnet.nn.config import NetworkConfig, parse_name
from hdnn_nnet.nn.model_dir import save_model
from hdnn_nnet.nn.networks import build_network
from hdnn_nnet.options import Options as Base
from hdnn_nnet.options import option

#: utterances on disk, jobs of the alignment, utterances of a speaker, of cross-validation
ON_DISK, JOBS, SPEAKER, HELD = 200, 8, 100, 200


@dataclass(frozen=True, kw_only=True)
class Options(Base):
    """Benchmark."""

    utterances: int = option(1_200_000, "of the training", at_least=HELD)
    frames: int = option(300, "of an utterance", at_least=10)
    pdfs: int = option(3927, "outputs", at_least=2)
    entries: int = option(20, "pdfs a frame of soft labels", at_least=1)
    kinds: str = option("ce kd", "trainings, in quotes")
    network: str = option("hdnn-h128l10", "that is trained")
    keep: str = option("", "directory for the corpus, which is used again if it is there; empty: none")


def make(folder: Path, options: Options) -> None:
    """Data directories `train` and `cv`, `ali`, `post.scp` with all their utterances."""
    generator, model = np.random.default_rng(0), one_state_model(options.pdfs)
    names = [f"u{i:03d}" for i in range(ON_DISK)]
    with MatrixWriter(f"ark,scp:{folder}/feats.ark,{folder}/feats.scp") as features:
        for name in names:
            features.write_matrix(name, generator.standard_normal((options.frames, FEAT_DIM)).astype(np.float32))
    with PosteriorWriter(f"ark,scp:{folder}/post.ark,{folder}/small.scp", "compact") as soft:
        for name in names:
            soft.write_posteriors(name, random_posteriors(generator, options.pdfs, options.entries, options.frames))
    if "smbr" in options.kinds:
        ids = write_lattices(folder, generator, names, model.num_transition_ids)
    else:
        runs = generator.integers(1, model.num_transition_ids + 1, size=(ON_DISK, -(-options.frames // 10)))
        ids = np.repeat(runs, 10, axis=1)[:, : options.frames]
    vectors = [int_vector_bytes(row) for row in ids]
    features_of, soft_of = (list(read_scp(folder / name).values()) for name in ("feats.scp", "small.scp"))
    parts = {"train": range(options.utterances), "cv": range(options.utterances, options.utterances + HELD)}
    with open(folder / "post.scp", "w", encoding="utf-8") as soft_list:
        for part, numbers in parts.items():
            (folder / part).mkdir()
            lists = {
                "feats.scp": lambda n: features_of[n % ON_DISK],
                "utt2spk": lambda n: _speaker(n),
                "utt2num_frames": lambda n: str(options.frames),
            }
            for name, value in lists.items():
                with open(folder / part / name, "w", encoding="utf-8") as handle:
                    handle.writelines(f"{_name(n)} {value(n)}\n" for n in numbers)
            soft_list.writelines(f"{_name(n)} {soft_of[n % ON_DISK]}\n" for n in numbers)
    if "smbr" in options.kinds:
        write_seed(folder, options)
    (folder / "ali").mkdir()
    model.write(folder / "ali" / "final.mdl")
    (folder / "ali" / "num_jobs").write_text(f"{JOBS}\n", encoding="ascii")
    total = options.utterances + HELD
    for job in range(JOBS):
        with gzip.open(folder / "ali" / f"ali.{job + 1}.gz", "wb", compresslevel=1) as handle:
            for n in range(total * job // JOBS, total * (job + 1) // JOBS):
                handle.write(_name(n).encode() + b" " + vectors[n % ON_DISK])


def write_lattices(folder: Path, generator: np.random.Generator, names: list[str], ids: int) -> np.ndarray:
    """Lattices of `names` in small_lat.scp; the transition-ids of a path of each, (names, LENGTH)."""
    paths = []
    with LatticeWriter(f"ark,scp:{folder}/lat.ark,{folder}/small_lat.scp") as lattices:
        for name in names:
            lattice, path = sausage(generator, ids)
            lattices.write_lattice(name, lattice)
            paths.append(path)
    return np.stack(paths)


def write_seed(folder: Path, options: Options) -> None:
    """What sMBR starts from: a random network with its prior in `seed`; lists in `lang` and `denlats`."""
    arch, width, depth = parse_name(options.network)
    save_model(build_network(NetworkConfig(arch, FEAT_DIM, options.pdfs, width, depth)), folder / "seed")
    write_text(folder / "seed/ali_train_pdf.counts", f"[ {'1 ' * options.pdfs}]\n")
    (folder / "lang/phones").mkdir(parents=True)
    write_text(folder / "lang/phones/silence.csl", "1\n")
    lattice_of = list(read_scp(folder / "small_lat.scp").values())
    (folder / "denlats").mkdir()
    with open(folder / "denlats/lat.scp", "w", encoding="utf-8") as handle:
        handle.writelines(f"{_name(n)} {lattice_of[n % ON_DISK]}\n" for n in range(options.utterances))


def _speaker(number: int) -> str:
    return f"speaker{number // SPEAKER:06d}"


def _name(number: int) -> str:
    return f"{_speaker(number)}-utt{number:08d}"


def catches_stop(process: int) -> bool:
    """Whether a process has set a handler of SIGTERM."""
    try:
        status = Path(f"/proc/{process}/status").read_text(encoding="ascii")
    except OSError:
        return False
    mask = next((line.split()[1] for line in status.splitlines() if line.startswith("SigCgt")), "0")
    return bool(int(mask, 16) >> (signal.SIGTERM - 1) & 1)


def stopped_training(words: list[str], log: Path) -> Iterator[float]:
    """Start a training, stop it after its first step; seconds, processor seconds, peak MB.

    Raises:
        HdnnError: it ended otherwise.
    """
    begin = time.monotonic()
    with open(log, "wb") as handle:
        process = subprocess.Popen([sys.executable, "-m", "hdnn_nnet", *words], stderr=handle, stdout=handle)
    while not catches_stop(process.pid) and process.poll() is None:
        time.sleep(0.05)
    if process.returncode is None:
        process.send_signal(signal.SIGTERM)
        _, _, usage = os.wait4(process.pid, 0)
        process.returncode = 1
        text = log.read_text(encoding="utf-8")
        if "stopped by a signal" in text:
            yield from (time.monotonic() - begin, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024)
            return
    raise HdnnError(f"hdnn {' '.join(words[:2])} did not stop after a step: {log.read_text(encoding='utf-8')[-500:]}")


def main(options: Options) -> None:
    if "smbr" in options.kinds and options.frames != LENGTH:
        raise HdnnError(f"--kinds smbr: lattices have {LENGTH} frames; give --frames {LENGTH}")
    with tempfile.TemporaryDirectory(prefix="bench.") as name:
        folder = Path(options.keep or name)
        if not (folder / "made").exists():
            folder.mkdir(parents=True, exist_ok=True)
            make(folder, options)
            (folder / "made").touch()
        print(
            f"{options.utterances} utterances, {options.utterances * options.frames / 1e6:.1f} M frames, {options.network}"
        )
        print("| training | | seconds | processor seconds | peak MB |")
        print("|---|---|---|---|---|")
        for kind in options.kinds.split():
            network, read = ["--network", options.network], ["train", "cv", "ali", "ali"]
            if kind == "kd":
                read.insert(0, "post.scp")
            elif kind == "smbr":
                network, read = [], ["train", "lang", "seed", "ali", "denlats"]
            with tempfile.TemporaryDirectory(prefix="bench.", dir=folder) as model:
                places = [str(folder / name) for name in read]
                words = ["train", kind, *network, "--device", "cpu", *places, f"{model}/model"]
                for what in ("start", "resumption"):
                    wall, processor, peak = stopped_training(words, Path(model) / "log")
                    print(f"| {kind} | {what} | {wall:.0f} | {processor:.0f} | {peak:.0f} |", flush=True)


if __name__ == "__main__":
    script(Options, main, "benchmarks/scale.py", __doc__ or "")
