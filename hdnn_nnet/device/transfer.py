"""From this process's memory to where a network computes."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

#: GPU -> the stream on which copies run beside the computation
_streams: dict[torch.device, "torch.cuda.Stream"] = {}


def upload(array: np.ndarray, device: torch.device) -> Tensor:
    """The values of an array on a device; on the CPU the array itself.

    To a GPU they go from page-locked memory in a stream of their own, so that neither this copy waits for the network nor the
    network for the copy. The thread that asks waits, and then the values are there for every stream.
    """
    values = torch.from_numpy(array)
    if device.type != "cuda":
        return values.to(device, non_blocking=True)
    stream = _streams.get(device)
    if stream is None:
        stream = _streams[device] = torch.cuda.Stream(device)
    with torch.cuda.stream(stream):
        there = values.pin_memory().to(device, non_blocking=True)
    stream.synchronize()
    # It is freed while the network may still be reading it: not to be used again before that is over.
    there.record_stream(torch.cuda.default_stream(device))  # type: ignore[arg-type]  # a subclass, in torch 2
    return there


def upload_all(tensors: Sequence[Tensor], device: torch.device) -> list[Tensor]:
    """Several tensors of this process's memory on a device, those of one type in a single copy; on the CPU they themselves."""
    if device.type == "cpu":
        return list(tensors)
    result: dict[int, Tensor] = {}
    for dtype in dict.fromkeys(t.dtype for t in tensors):
        chosen = [i for i, t in enumerate(tensors) if t.dtype == dtype]
        together = upload(torch.cat([tensors[i].reshape(-1) for i in chosen]).numpy(), device)
        parts = together.split([tensors[i].numel() for i in chosen])
        result |= {i: part.view(tensors[i].shape) for i, part in zip(chosen, parts, strict=True)}
    return [result[i] for i in range(len(tensors))]
