"""Does what is installed fit together, and does it fit the machine?"""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from hdnn_nnet.device import packages
from hdnn_nnet.device.gpu_code import gpu_code_gaps, supports

TORCH_1 = ["sm_37", "sm_50", "sm_60", "sm_70", "sm_75", "sm_80", "sm_86"]
TORCH_2 = ["sm_75", "sm_80", "sm_86", "sm_90", "sm_100", "sm_120"]


# NVIDIA's rules: CUDA C++ Programming Guide, "Application Compatibility".
@pytest.mark.parametrize(
    ("architectures", "capability", "runs"),
    [
        (TORCH_1, (8, 0), True),  # A100
        (TORCH_1, (8, 9), True),  # L4: sm_86 is of the same major version
        (TORCH_1, (9, 0), False),  # H100
        (TORCH_1, (6, 1), True),
        (TORCH_1, (3, 5), False),
        (TORCH_2, (9, 0), True),
        (TORCH_2, (7, 0), False),  # V100: older than the oldest of its major version
        (TORCH_2, (12, 1), True),
        (["sm_80", "compute_80"], (9, 0), True),  # compiled when it is first used
        (["sm_80", "compute_90"], (8, 0), True),
        (["compute_90"], (8, 9), False),
        (["sm_90a"], (9, 0), True),
        (["sm_100a"], (10, 3), False),
        (["sm_100f"], (10, 3), True),
        ([], (9, 0), False),
        (["gfx90a"], (9, 0), False),
    ],
)
def test_which_gpus_code_runs_on(architectures: list[str], capability: tuple[int, int], runs: bool) -> None:
    assert supports(architectures, capability) == runs


@pytest.fixture
def h100(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine that shows an H100 to nvidia-smi and to torch."""
    program = tmp_path / "nvidia-smi"
    program.write_text("#!/bin/sh\necho 'GPU 0: NVIDIA H100 80GB HBM3 (UUID: GPU-0)'\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda index: "NVIDIA H100 80GB HBM3")
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda index: (9, 0))


@pytest.mark.usefixtures("h100")
def test_a_torch_without_code_for_the_gpu_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "get_arch_list", lambda: TORCH_1)
    (gap,) = gpu_code_gaps(fatal=False)
    assert "H100 80GB HBM3 is sm_90" in gap.what
    assert "sm_86 only" in gap.what
    assert "STACK=torch2" in gap.remedy
    assert gap.fatal  # its first kernel would fail
    monkeypatch.setattr(torch.cuda, "get_arch_list", lambda: TORCH_2)
    assert list(gpu_code_gaps(fatal=True)) == []
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    (gap,) = gpu_code_gaps(fatal=False)
    assert "cannot use it" in gap.what
    assert not gap.fatal


def fake_k2(folder: Path, torch_version: str, name: str = "k2") -> None:
    (folder / name).mkdir()
    (folder / name / "torch_version.py").write_text(f'# built\nk2_torch_version = "{torch_version}"\n')
    (folder / name / "__init__.py").write_text("raise ImportError('k2 was built using PyTorch')\n")


def test_k2_of_another_torch_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    fake_k2(tmp_path, "2.9.1+cu126", "k2_of_another_torch")
    assert packages.built_for("k2_of_another_torch") == "2.9.1+cu126"
    assert packages.built_for("numpy") == packages.built_for("no_such_module") == ""
    own = torch.__version__.partition("+")[0]
    monkeypatch.setattr(packages, "built_for", lambda module: "2.9.1+cu126")
    (gap,) = packages.k2_gaps()
    assert f"was built for torch 2.9.1, and this is torch {own}" in gap.what
    monkeypatch.setattr(packages, "built_for", lambda module: f"{own}+elsewhere")
    assert list(packages.k2_gaps()) == []


def doctor(**environment: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "hdnn_nnet", "doctor"]
    return subprocess.run(command, env=os.environ | environment, capture_output=True, text=True, check=False)


def test_doctor_shows_the_whole_picture(tmp_path: Path) -> None:
    done = doctor(KALDI_ROOT="")
    assert done.returncode == 0, done.stdout
    lines = {line[:12].strip(): line[12:] for line in done.stdout.splitlines()}
    assert {"hdnn_nnet", "processor", "torch", "GPU", "packages", "decoding", "schedulers", "disk"} <= lines.keys()
    assert torch.__version__ in lines["torch"]
    assert "hdnn latgen in numpy" in lines["decoding"]
    assert "broken" not in lines


def test_doctor_names_what_is_broken(tmp_path: Path) -> None:
    fake_k2(tmp_path, "2.9.1")
    repository = Path(__file__).resolve().parent.parent
    done = doctor(PYTHONPATH=f"{tmp_path}:{repository}", KALDI_ROOT=str(tmp_path))
    assert done.returncode == 1
    assert "was built for torch 2.9.1" in done.stdout
    assert "broken      k2 cannot be imported (ImportError: k2 was built using PyTorch)" in done.stdout
    assert f"KALDI_ROOT={tmp_path} is no Kaldi" in done.stdout
