"""What a piece of training asks of its device: operations started, copies to it, and waits for it.

Counted as torch dispatches operations, by the calling thread alone (and by autograd on its behalf): what a thread that reads
ahead does holds nobody up. On torch's device `meta`, where tensors have a shape and no values, this needs no GPU; a look at a
value is counted there, and answered with 1. An operation is about one kernel of a GPU.
"""

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_flatten

#: operations whose result, or its size, must come from the device before Python goes on
_LOOKS = frozenset(
    ("aten::_local_scalar_dense", "aten::nonzero", "aten::masked_select", "aten::_unique2", "aten::equal")
)
#: operations that start nothing on a device
_FREE = frozenset(
    ("aten::detach", "aten::alias", "aten::empty", "aten::empty_strided", "aten::new_empty", "aten::empty_like")
)


@dataclass
class Counts:
    """Operations started on a device, copies from this process's memory that it waits for, and looks at values."""

    operations: int = 0
    uploads: int = 0
    looks: int = 0

    @property
    def waits(self) -> int:
        """How often the thread could not go on before the device had done all that it was given."""
        return self.uploads + self.looks


class Counting(TorchDispatchMode):
    """`with Counting(device) as counts:` counts what is done inside."""

    def __init__(self, device: torch.device) -> None:
        super().__init__()
        self.device, self.counts = device, Counts()

    def __enter__(self) -> Counts:  # type: ignore[override]  # the mode itself is of no use to a caller
        super().__enter__()
        return self.counts

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        given = [a for a in tree_flatten((args, kwargs))[0] if isinstance(a, Tensor)]
        here = any(t.device.type == self.device.type for t in given)
        name = func._schema.name
        if here and (name in _LOOKS or (name == "aten::repeat_interleave" and kwargs.get("output_size") is None)):
            self.counts.looks += 1
            if self.device.type == "meta" and name == "aten::_local_scalar_dense":
                return torch.ones((), dtype=given[0].dtype).item()
        if here and self.device.type == "meta":
            if name == "aten::_to_copy" and kwargs.get("device") == torch.device("cpu"):
                self.counts.looks += 1
                return torch.zeros(given[0].shape, dtype=kwargs.get("dtype") or given[0].dtype)
            if name.startswith("aten::_foreach_") and name.endswith("_"):  # torch 1.13 has none there; no shape changes
                self.counts.operations += 1
                return None
        result = func(*args, **kwargs)
        made = [r for r in tree_flatten(result)[0] if isinstance(r, Tensor) and r.device.type == self.device.type]
        if self.device.type != "cpu" and made and given and not here:
            self.counts.uploads += not kwargs.get("non_blocking", False)
        elif (
            self.device.type != "cpu"
            and here
            and not made
            and any(isinstance(r, Tensor) for r in tree_flatten(result)[0])
        ):
            self.counts.looks += 1
        elif made and name not in _FREE and not _is_view(func):
            self.counts.operations += 1
        return result


def counted(steps: Iterator[Any], number: int) -> Counts:
    """What `number` steps on the device `meta` ask of it, after a first one, which also makes the network."""
    with Counting(torch.device("meta")) as counts:
        next(steps)
        counts.operations = counts.uploads = counts.looks = 0
        for _ in itertools.islice(steps, number):
            pass
    return counts


def _is_view(func: Any) -> bool:
    """Whether an operation gives another view of a tensor and computes nothing."""
    returned = func._schema.returns
    return bool(returned) and all(r.alias_info is not None and not r.alias_info.is_write for r in returned)
