"""The fast kernels of Intel's MKL on the processors of others.

MKL up to 2020.0, which torch 1.13.1 holds, takes kernels of 128 bits on every processor that is not Intel's, whatever its
instruction set: products of float32 and float64, inverses and exponentials are up to five times as slow as need be
(docs/experiments/speed.md, "float32 products on AMD"). MKL_DEBUG_CPU_TYPE names the kernels instead. Later MKLs are
said not to read it; that was not tried here.
"""

import os
from collections.abc import Set

from hdnn_nnet.device.processor import cpu_flags, processor_fields

#: Value of MKL_DEBUG_CPU_TYPE -> CPU flags that its kernels use; fastest first. A kernel without its flags is an illegal
#: instruction.
_KERNELS = {
    "7": {"avx512f", "avx512cd", "avx512bw", "avx512dq", "avx512vl"},
    "5": {"avx2", "fma", "bmi1", "bmi2", "f16c"},
}
_VARIABLE = "MKL_DEBUG_CPU_TYPE"
#: The user's own choices of kernels.
_CHOSEN = (_VARIABLE, "MKL_ENABLE_INSTRUCTIONS", "MKL_CBWR")


def fast_kernels(vendor: str, flags: Set[str]) -> str | None:
    """Value of MKL_DEBUG_CPU_TYPE for a processor, by its `vendor_id` and `flags`; None where MKL chooses well by itself."""
    if vendor == "GenuineIntel":
        return None
    return next((kernels for kernels, needed in _KERNELS.items() if needed <= flags), None)


def use_fast_kernels() -> None:
    """Set MKL_DEBUG_CPU_TYPE where it helps and the user has chosen nothing. MKL reads it at its first product.

    Schedulers hand the environment on to machines of other kinds: a value that this one cannot obey goes.
    """
    flags = cpu_flags()
    if _KERNELS.get(os.environ.get(_VARIABLE, ""), set()) - flags:
        del os.environ[_VARIABLE]
    if any(name in os.environ for name in _CHOSEN):
        return
    if kernels := fast_kernels(processor_fields().get("vendor_id", ""), flags):
        os.environ[_VARIABLE] = kernels
