"""Memory of a GMM training as the corpus grows: a data directory and its alignment listed many times under other names.

    PYTHONPATH=. python3 benchmarks/gmm_memory.py [--copies "1 10 100"] data/mini/mfcc/train data/mini/lang exp/tri3a_ali work

One speaker-adaptive training of two passes for each size, in which everything happens that memory is needed for: statistics for
the tree, conversion, training graphs, alignment, transforms, both kinds of statistics. The peak is the sum over all processes of
what each has for itself and its part of what they share (Pss), ten times a second.
"""

import os
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from hdnn_nnet.cli import script
from hdnn_nnet.feats.affine import read_transforms
from hdnn_nnet.kaldi.alignments import read_alignments, write_alignments
from hdnn_nnet.kaldi.data_dir import DataDir
from hdnn_nnet.kaldi.matrix_writer import MatrixWriter
from hdnn_nnet.options import Options as Base
from hdnn_nnet.options import argument, option


@dataclass(frozen=True, kw_only=True)
class Options(Base):
    """Benchmark."""

    data_dir: str = argument("data directory with features, CMVN statistics and text")
    lang_dir: str = argument("lang directory")
    ali_dir: str = argument("alignment directory of align_fmllr.sh")
    work: str = argument("directory to write")
    copies: str = option("1 10 100", "sizes, in quotes")
    nj: int = option(2, "processes", at_least=1)
    leaves: int = option(400, "leaves", at_least=1)
    gaussians: int = option(4000, "Gaussians", at_least=1)


def copy_data(source: Path, target: Path, copies: int) -> None:
    """Every speaker `copies` times, with a number before the name."""
    target.mkdir(parents=True, exist_ok=True)
    names = [f"c{number:04d}-" for number in range(copies)]
    for name in ("feats.scp", "text", "utt2num_frames", "cmvn.scp", "utt2spk"):
        lines = (source / name).read_text().splitlines()
        speaker = name == "utt2spk"
        with (target / name).open("w") as file:
            for prefix in names:
                for line in lines:
                    key, _, rest = line.partition(" ")
                    file.write(f"{prefix}{key} {prefix if speaker else ''}{rest}\n")


def copy_alignment(source: Path, target: Path, copies: int, speakers: set[str]) -> None:
    """The alignments and transforms of the copies, in one part."""
    target.mkdir(parents=True, exist_ok=True)
    for name in ("final.mdl", "tree", "final.mat", "splice_opts", "cmvn_opts", "phones.txt"):
        (target / name).write_bytes((source / name).read_bytes())
    jobs = int((source / "num_jobs").read_text())
    alignments = read_alignments(source)
    prefixes = [f"c{number:04d}-" for number in range(copies)]
    write_alignments(target / "ali.1.gz", {p + u: a for p in prefixes for u, a in alignments.items()})
    (target / "num_jobs").write_text("1\n")
    transforms = {s: t for job in range(1, jobs + 1) for s, t in read_transforms(str(source / f"trans.{job}")).items()}
    with MatrixWriter(f"ark:{target}/trans.1") as writer:
        for prefix in prefixes:
            for speaker in speakers & transforms.keys():
                writer.write_matrix(prefix + speaker, transforms[speaker])


def pss(group: int) -> int:
    """Bytes that the processes of a group have."""
    total = 0
    for path in Path("/proc").glob("[0-9]*"):
        try:
            if os.getpgid(int(path.name)) != group:
                continue
            lines = (path / "smaps_rollup").read_text().splitlines()
        except (OSError, ProcessLookupError):
            continue  # it has ended
        total += sum(int(line.split()[1]) << 10 for line in lines if line.startswith("Pss:"))
    return total


def train(options: Options, data: Path, ali: Path, out: Path) -> tuple[int, float]:
    """Peak in bytes, and the seconds it took."""
    command = [
        sys.executable,
        "-m",
        "hdnn_nnet",
        "train",
        "sat",
        "--num-iters=2",
        "--realign-iters=1",
        "--fmllr-iters=1",
    ]
    command += [f"--nj={options.nj}", str(options.leaves), str(options.gaussians)]
    command += [str(data), options.lang_dir, str(ali), str(out)]
    begin, peak = time.perf_counter(), 0
    environment = os.environ | {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    process = subprocess.Popen(command, start_new_session=True, env=environment)
    while process.poll() is None:
        peak = max(peak, pss(process.pid))
        time.sleep(0.1)
    if process.returncode:
        raise SystemExit(process.returncode)
    return peak, time.perf_counter() - begin


def main(options: Options) -> None:
    source, ali, work = Path(options.data_dir), Path(options.ali_dir), Path(options.work)
    speakers = set(DataDir(source).spk2utts)
    print("copies  utterances  million frames     MB  seconds")
    for copies in map(int, options.copies.split()):
        copy_data(source, work / f"data_{copies}", copies)
        copy_alignment(ali, work / f"ali_{copies}", copies, speakers)
        peak, seconds = train(options, work / f"data_{copies}", work / f"ali_{copies}", work / f"sat_{copies}")
        frames = [int(line.split()[1]) for line in (work / f"data_{copies}/utt2num_frames").read_text().splitlines()]
        print(f"{copies:6d}  {len(frames):10d}  {sum(frames) / 1e6:14.2f}  {peak >> 20:5d}  {seconds:7.0f}", flush=True)


if __name__ == "__main__":
    script(Options, main, "benchmarks/gmm_memory.py", __doc__ or "")
