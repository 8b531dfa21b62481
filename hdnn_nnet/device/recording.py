"""Kernels of a GPU that are started together (CUDA graphs)."""

from collections.abc import Callable
from inspect import signature

import torch

#: what makes a recording bear other threads that allocate and upload meanwhile; torch has it since 2.1
_BESIDE_OTHERS = "capture_error_mode"


def can_record(device: torch.device) -> bool:
    """Whether work on this device can be recorded."""
    return device.type == "cuda" and _BESIDE_OTHERS in signature(torch.cuda.graph).parameters


class Recording:
    """The kernels that `work()` starts on a GPU, recorded and not yet run; `run()` starts them on the same memory.

    `work` must have been done before, so that what it makes once is there.

    Raises:
        RuntimeError: it waits for the GPU.
    """

    def __init__(self, work: Callable[[], None], device: torch.device) -> None:
        self._device = device
        # Streams are those of the current GPU, which need not be the one that works: nothing would be recorded.
        with torch.cuda.device(device):
            self._graph = torch.cuda.CUDAGraph()
            with torch.cuda.graph(self._graph, **{_BESIDE_OTHERS: "thread_local"}):
                work()

    def run(self) -> None:
        with torch.cuda.device(self._device):
            self._graph.replay()
