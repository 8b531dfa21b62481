"""Where and in which number format networks compute."""

import os

import torch

from hdnn_nnet.device.gpus import pick_gpu
from hdnn_nnet.device.processor import cpu_flags
from hdnn_nnet.errors import HdnnError

#: CPU flags that mean bfloat16 products faster than float32 ones
_FAST_BF16 = {"avx512_bf16", "amx_bf16"}


def choose_device(name: str, local_rank: int = 0) -> torch.device:
    """`auto` (a GPU if torch sees one), `cpu`, `cuda` or `cuda:N`.

    Which GPU: that of the `local_rank` under torchrun, else a free one (see `hdnn_nnet.device.gpus`).
    """
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    if name.startswith("cuda"):
        if not torch.cuda.is_available():
            raise HdnnError(f"--device {name}: torch {torch.__version__} sees no GPU; use --device cpu")
        if name != "cuda":
            return torch.device(name)
        alone = "LOCAL_RANK" not in os.environ
        return torch.device("cuda", pick_gpu(torch.cuda.device_count()) if alone else local_rank)
    return torch.device("cpu")


def choose_dtype(precision: str, device: torch.device) -> torch.dtype | None:
    """Type of the matrix products: None (float32) or bfloat16 (mixed precision: parameters and loss stay float32).

    `auto` takes bfloat16 on GPUs that have it and on CPUs with AVX512-BF16 or AMX; elsewhere it would be slower.
    """
    if precision == "auto":
        # torch's own is_bf16_supported() also counts GPUs that emulate it
        fast = torch.cuda.get_device_capability(device)[0] >= 8 if device.type == "cuda" else _FAST_BF16 & cpu_flags()
        precision = "bf16" if fast else "fp32"
    return torch.bfloat16 if precision == "bf16" else None


def choose_threads(number: int, width: int) -> None:
    """Set the CPU threads of a training: `number`, or by the network's width if it is 0 and OMP_NUM_THREADS is not set.

    The products of narrow networks take some 100 microseconds; threads that meet after each of them gain little, and lose
    everything (a factor of 16 was seen) where another process holds one of the cores.
    """
    if number:
        torch.set_num_threads(number)
    elif width < 256 and "OMP_NUM_THREADS" not in os.environ:
        torch.set_num_threads(1)
