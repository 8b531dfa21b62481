"""MKL takes the kernels of the processor's instruction set, whoever made it."""

import os
import subprocess
import sys

import pytest

from hdnn_nnet.device import mkl
from hdnn_nnet.device.mkl import fast_kernels
from hdnn_nnet.device.processor import cpu_flags, processor_fields
from tests.support.fixture_recipe import REPOSITORY

HASWELL = {"avx", "avx2", "fma", "bmi1", "bmi2", "f16c"}
SKYLAKE = HASWELL | {"avx512f", "avx512cd", "avx512bw", "avx512dq", "avx512vl"}


@pytest.mark.parametrize(
    ("vendor", "flags", "kernels"),
    [
        ("AuthenticAMD", SKYLAKE | {"avx512_bf16"}, "7"),
        ("AuthenticAMD", HASWELL, "5"),
        ("HygonGenuine", HASWELL, "5"),
        ("AuthenticAMD", HASWELL | {"avx512f", "avx512cd"}, "5"),  # not all that the kernels use
        ("AuthenticAMD", {"avx"}, None),
        ("GenuineIntel", SKYLAKE, None),  # MKL knows these
        ("", set(), None),  # no Linux, no x86
    ],
)
def test_kernels_of_a_processor(vendor: str, flags: set[str], kernels: str | None) -> None:
    assert fast_kernels(vendor, flags) == kernels


def run(program: str, **environment: str) -> str:
    plain = {k: v for k, v in os.environ.items() if not k.startswith("MKL_")}
    everything = {**plain, "PYTHONPATH": str(REPOSITORY), **environment}
    done = subprocess.run([sys.executable, "-c", program], env=everything, capture_output=True, text=True, check=True)
    return done.stdout


#: Kernels add in orders of their own, so that a product's last bits tell them apart.
BITS = """
import hashlib, torch
torch.manual_seed(1)
print(hashlib.sha1((torch.randn(99, 999) @ torch.randn(999, 99)).numpy().tobytes()).hexdigest())
"""


def test_mkl_takes_them() -> None:
    kernels = fast_kernels(processor_fields().get("vendor_id", ""), cpu_flags())
    if kernels is None:
        pytest.skip("MKL chooses well by itself on this processor")
    named = run(BITS, MKL_DEBUG_CPU_TYPE=kernels)
    if named == run(BITS):
        pytest.skip("this torch has another MKL, or none")
    assert run(f"import hdnn_nnet\n{BITS}") == named


@pytest.mark.parametrize("name", ["MKL_DEBUG_CPU_TYPE", "MKL_CBWR", "MKL_ENABLE_INSTRUCTIONS"])
def test_the_users_choice_wins(name: str) -> None:
    said = run(
        "import hdnn_nnet, os; print({n: v for n, v in os.environ.items() if n[:4] == 'MKL_'})", **{name: "AVX2"}
    )
    assert said.strip() == str({name: "AVX2"})


@pytest.mark.parametrize(("flags", "left"), [(SKYLAKE, "7"), (HASWELL, "5"), (set(), None)])
def test_a_choice_from_another_machine_goes(flags: set[str], left: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a scheduler handed on would be an illegal instruction here."""
    for name in [n for n in os.environ if n.startswith("MKL_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("MKL_DEBUG_CPU_TYPE", "7")
    monkeypatch.setattr(mkl, "cpu_flags", lambda: flags)
    monkeypatch.setattr(mkl, "processor_fields", lambda: {"vendor_id": "AuthenticAMD"})
    mkl.use_fast_kernels()
    assert os.environ.get("MKL_DEBUG_CPU_TYPE") == left
