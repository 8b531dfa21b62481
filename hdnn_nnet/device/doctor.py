"""What this machine and this installation have and lack, for a look before a run and for bug reports."""

import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from hdnn_nnet import __version__
from hdnn_nnet.device.gaps import Gap
from hdnn_nnet.device.gpu_code import gpu_code_gaps, listed_gpus
from hdnn_nnet.device.kaldi_programs import kaldi_gaps
from hdnn_nnet.device.packages import CORE, REMEDY, USES, installed, k2_gaps
from hdnn_nnet.device.processor import cpu_flags, processor_fields

#: Scheduler -> the program that submits to it.
SCHEDULERS = {"GridEngine or PBS": "qsub", "Slurm": "sbatch"}
_FLAGS = ("avx2", "avx512f", "avx512_bf16", "amx_bf16")
_VARIABLES = ("KALDI_ROOT", "OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_DEBUG_CPU_TYPE",
              "OPENBLAS_CORETYPE", "CUDA_VISIBLE_DEVICES", "VIRTUAL_ENV")  # fmt: skip
_IMPORT_SECONDS = 60.0
#: Imported together, in this order: kaldi_hmm_gmm hangs beside a kaldifst with another OpenFst than its own.
_BINARY = (("kaldifst", "kaldi_hmm_gmm"), ("k2",))


def picture() -> Iterator[tuple[str, str]]:
    """(subject, one line about it), in order."""
    yield "hdnn_nnet", f"{__version__}, Python {platform.python_version()}, {platform.system()} {platform.machine()}"
    yield "processor", processor()
    yield "torch", _torch()
    yield from (("GPU", line) for line in listed_gpus() or ["none"])
    versions = {name: installed(name) for name in (*CORE[1:], *USES)}
    yield "packages", ", ".join(f"{name} {found}" for name, found in versions.items() if found)
    yield "decoding", "; ".join(_decoders(versions))
    yield "schedulers", ", ".join(n for n, program in SCHEDULERS.items() if shutil.which(program)) or "none on PATH"
    yield "disk", f"{shutil.disk_usage(Path.cwd()).free / 1e9:.0f} GB free here"
    yield "environment", " ".join(f"{name}={os.environ[name]}" for name in _VARIABLES if os.environ.get(name))


def missing() -> Iterator[Gap]:
    """What is not there, and what for."""
    for name in CORE:
        if not installed(name):
            yield Gap(f"{name} is not installed: nothing works without", REMEDY)
    if not installed("torch"):
        return
    yield from k2_gaps()
    yield from gpu_code_gaps(fatal=False)
    for names in _BINARY:
        if all(map(installed, names)) and (problem := _import_problem(names)):
            yield Gap(
                f"{' and '.join(names)} cannot be imported ({problem})", "see docs/install.md for what fits together"
            )
    for name, use in USES.items():
        if not installed(name):
            yield Gap(f"{name} is not installed: {use}", "docs/install.md" if name == "k2" else REMEDY, fatal=False)
    if root := os.environ.get("KALDI_ROOT", ""):
        yield from kaldi_gaps(root)


def processor() -> str:
    """The processor's name, cores and memory, and which products it has."""
    name = processor_fields().get("model name", "unknown")
    memory = next((int(line.split()[1]) >> 20 for line in _lines("/proc/meminfo") if line.startswith("MemTotal")), 0)
    flags = cpu_flags()
    return f"{name}, {len(os.sched_getaffinity(0))} cores, {memory} GB, {' '.join(f for f in _FLAGS if f in flags)}"


def _lines(path: str) -> list[str]:
    try:
        return Path(path).read_text(encoding="utf-8").splitlines()
    except OSError:
        return []


def _torch() -> str:
    if not installed("torch"):
        return "not installed"
    import torch

    cuda = f"CUDA {torch.version.cuda}" if torch.version.cuda else "without CUDA"
    codes = f", code for {' '.join(torch.cuda.get_arch_list())}" if torch.cuda.is_available() else ""
    return f"{torch.__version__}, {cuda}{codes}, {torch.get_num_threads()} threads"


def _decoders(versions: dict[str, str]) -> Iterator[str]:
    if shutil.which("latgen-faster-mapped"):
        yield "Kaldi's latgen-faster-mapped"
    if versions["k2"]:
        yield "hdnn latgen on k2"
    yield "hdnn latgen in numpy"


def _import_problem(names: tuple[str, ...]) -> str:
    """Last line of what Python says when it imports these in a process of its own; empty if it does import them."""
    program = "; ".join(f"import {name}" for name in names)
    try:
        done = subprocess.run(
            [sys.executable, "-c", program], capture_output=True, text=True, timeout=_IMPORT_SECONDS, check=False
        )
    except subprocess.TimeoutExpired:
        return f"not within {_IMPORT_SECONDS:g} s"
    if done.returncode == 0:
        return ""
    return (done.stderr.strip().splitlines() or [f"status {done.returncode}"])[-1]
