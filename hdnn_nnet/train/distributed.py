"""One process or many: the environment that torchrun sets decides."""

import atexit
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import distributed

from hdnn_nnet.errors import HdnnError
from hdnn_nnet.nn.product_copy import gather_gradient
from hdnn_nnet.processes import end_with_parent

#: environment variable with the file through which ranks of one machine meet
RENDEZVOUS = "HDNN_RENDEZVOUS"
#: environment variable with the process that started the ranks
AGENT = "HDNN_AGENT"
#: seconds: torchrun names the process that it finds dead first, which shall not be one that only missed it
_AFTER_THE_FIRST = 3.0


@contextmanager
def _together() -> Iterator[None]:
    """Around what needs all processes.

    Raises:
        HdnnError: another one is gone, or none can be reached.
    """
    try:
        yield
    except RuntimeError as error:
        time.sleep(_AFTER_THE_FIRST)
        reason = str(error).partition("\n")[0] or "no reason given"
        text = f"no touch with the other processes of this training ({reason}); if one of them failed, it says why"
        raise HdnnError(text) from error


@dataclass(frozen=True)
class Ranks:
    """This process's place: `rank` of `world`, `local_rank` on its machine."""

    rank: int = 0
    world: int = 1
    local_rank: int = 0

    @property
    def is_main(self) -> bool:
        return self.rank == 0

    def sum(self, *values: float, device: torch.device) -> list[float]:
        """Sums over all processes, in float64."""
        if self.world == 1:
            return list(values)
        total = torch.tensor(values, dtype=torch.float64, device=device)
        with _together():
            distributed.all_reduce(total)
        return total.tolist()

    def sum_gradients(self, parameters: list[torch.nn.Parameter]) -> None:
        """Add the gradients of all processes; criteria are sums over frames, so this is the whole minibatch's gradient."""
        if self.world == 1:
            return
        for parameter in parameters:  # a rank without frames has none
            if gather_gradient(parameter) is None:
                parameter.grad = torch.zeros_like(parameter)
        flat = torch.cat([p.grad.view(-1) for p in parameters if p.grad is not None])
        with _together():
            distributed.all_reduce(flat)
        offset = 0
        for parameter in parameters:
            assert parameter.grad is not None
            parameter.grad.copy_(flat[offset : offset + parameter.numel()].view_as(parameter))
            offset += parameter.numel()

    def broadcast(self, tensors: list[torch.Tensor]) -> None:
        """Make rank 0's values everybody's."""
        if self.world > 1:
            with _together():
                for tensor in tensors:
                    distributed.broadcast(tensor, 0)

    def any(self, flag: bool, device: torch.device) -> bool:
        """True if `flag` holds on any process."""
        return self.sum(float(flag), device=device)[0] > 0


def join(device: str) -> Ranks:
    """Join the job that torchrun started (nccl on GPUs, gloo on CPUs) until this process ends; alone if there is none."""
    world = int(os.environ.get("WORLD_SIZE", "1"))
    if world == 1:
        return Ranks()
    ranks = Ranks(int(os.environ["RANK"]), world, int(os.environ.get("LOCAL_RANK", "0")))
    gpu = device.startswith("cuda") or (device == "auto" and torch.cuda.is_available())
    if gpu and ranks.local_rank >= torch.cuda.device_count():
        raise HdnnError(f"{ranks.local_rank + 1} processes on this machine but {torch.cuda.device_count()} GPUs")
    if gpu:
        torch.cuda.set_device(ranks.local_rank)
    end_with_parent(int(os.environ.get(AGENT, os.getppid())))  # no rank waits for the others for ever
    backend = "nccl" if gpu else "gloo"
    with _together():
        if path := os.environ.get(RENDEZVOUS):
            store = f"file://{path}.{os.environ.get('TORCHELASTIC_RESTART_COUNT', '0')}"
            distributed.init_process_group(backend, init_method=store, rank=ranks.rank, world_size=world)
        else:
            distributed.init_process_group(backend)
    # However the program ends: threads of a group that is still there abort the process, in place of its own status (torch 2).
    atexit.register(distributed.destroy_process_group)
    return ranks
