"""A training in several processes: torch's launcher on this machine, or one on each machine of a scheduler's job.

It also works with torch 1.13 on Python 3.11. There the enumeration of output redirections lost its zero member when Python
stopped iterating over it, so torchrun's own default ("0", no redirection) is not understood.
"""

import contextlib
import logging
import os
import signal
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Sequence

from torch.distributed.elastic.multiprocessing.api import SignalException, Std
from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
from torch.distributed.run import main as run_agent

from hdnn_nnet.errors import HdnnError
from hdnn_nnet.processes import cause_of_death
from hdnn_nnet.train.agent_end import LAUNCHER, end_when_told, end_with_launcher
from hdnn_nnet.train.distributed import AGENT, RENDEZVOUS
from hdnn_nnet.train.hosts import Allocation, address_of, free_port, interface_towards, rank_of_host

log = logging.getLogger(__name__)
_OWN_RENDEZVOUS = ("--standalone", "--nnodes", "--node_rank", "--master_addr", "--master_port", "--rdzv")

_from_str = Std.from_str


def _with_zero(text: str) -> object:
    return Std.NONE if text == "0" else _from_str(text)


def _agent(arguments: Sequence[str]) -> int:
    """torchrun in this process."""
    Std.from_str = staticmethod(_with_zero)  # type: ignore[method-assign, assignment]  # see above: torch 1.13
    os.environ[AGENT] = str(os.getpid())
    words = ["--monitor_interval=0.5"]  # torch 1.13 looks every 5 seconds, too rarely to tell which rank died first
    for word in arguments:
        name, _, value = word.partition("=")
        words.append(f"--node_rank={rank_of_host(value, os.environ)}" if name == "--node_rank" else word)
        if name == "--master_addr" and (interface := interface_towards([*Allocation.read(os.environ).hosts, value])):
            # By itself Gloo takes the address of this machine's own name, which is a loopback one on many systems.
            os.environ.setdefault("GLOO_SOCKET_IFNAME", interface)
    end_with_launcher()
    end_when_told()
    try:
        with tempfile.TemporaryDirectory(prefix="hdnn-agent-") as logs:  # torchrun's own folder for logs stays after it
            run_agent([f"--log_dir={logs}", *words])
    except ChildFailedError as error:
        raise HdnnError(_died(error)) from None
    except SignalException as told:  # by its launcher or its user, who know why
        return 128 + told.sigval
    return 0


def _died(error: ChildFailedError) -> str:
    """One line after torchrun's many: which rank died first, and of what."""
    rank, failure = error.get_first_failure()
    return f"rank {rank} (process {failure.pid}) {cause_of_death(failure.exitcode)}"


def _alone(own: Sequence[str], program: Sequence[str]) -> int:
    """An agent for this machine only. Nothing listens on the network: the processes meet in files of a private directory.

    torchrun's --standalone opens a port for everybody, and unpickles what is sent there; in torch 1.13 it is one and the same
    for all trainings of a machine, so that a second one dies with the first.
    """
    with tempfile.TemporaryDirectory(prefix="hdnn-torchrun-") as folder:  # readable by its owner only
        os.environ[RENDEZVOUS] = f"{folder}/ranks"
        os.environ.setdefault("GLOO_SOCKET_IFNAME", "lo")
        os.environ["TORCH_DISABLE_SHARE_RDZV_TCP_STORE"] = "1"  # torch 2 else opens a port for the ranks, unused here
        meeting = [
            "--nnodes=1",
            "--rdzv_backend=c10d",
            f"--rdzv_endpoint={folder}/agent",
            "--rdzv_conf=store_type=file",
        ]
        return _agent([*meeting, f"--rdzv_id={uuid.uuid4().hex}", *own, *program])


def _everywhere(allocation: Allocation, arguments: Sequence[str]) -> int:
    """An agent on every host; the first one that fails ends the others. Returns the first failure's status."""
    options = [f"--nnodes={len(allocation.hosts)}", "--node_rank=RANK"]
    options += [f"--master_addr={address_of(allocation.hosts[0])}", f"--master_port={free_port()}"]
    program = [sys.executable, "-m", "hdnn_nnet", "torchrun", *options, *arguments]
    log.info("%d hosts of %s: %s", len(allocation.hosts), allocation.scheduler, " ".join(allocation.hosts))
    environment = os.environ | {LAUNCHER: str(os.getpid())}
    agents = [subprocess.Popen(command, env=environment) for command in allocation.commands(program, os.environ)]

    def stop(number: int, _: object = None) -> None:
        for agent in agents:
            with contextlib.suppress(ProcessLookupError):
                agent.send_signal(number)

    for caught in (signal.SIGTERM, signal.SIGINT):
        signal.signal(caught, stop)
    failed = 0
    while None in [agent.poll() for agent in agents]:
        status = next((agent.returncode for agent in agents if agent.returncode), 0)
        if status and not failed:
            failed = status
            stop(signal.SIGTERM)
        time.sleep(0.2)
    failed = failed or next((agent.returncode for agent in agents if agent.returncode), 0)
    return 128 - failed if failed < 0 else failed


def launch(arguments: Sequence[str]) -> int:
    """Run `[options of torchrun] COMMAND ...`, where COMMAND is a subcommand of `hdnn`; gives the status.

    Options are written --name=value. As in torchrun, `-m MODULE ...` or `SCRIPT.py ...` may take the place of COMMAND.
    """
    count = next((i for i, word in enumerate(arguments) if word == "-m" or not word.startswith("-")), len(arguments))
    own, program = list(arguments[:count]), list(arguments[count:])
    if not program:
        raise HdnnError("no command to run; give one, such as train ce ..., after options written --name=value")
    if program[0] != "-m" and not program[0].endswith(".py"):
        program = ["-m", "hdnn_nnet", *program]
    if any(word.startswith(_OWN_RENDEZVOUS) for word in own):
        return _agent([*own, *program])
    allocation = Allocation.read(os.environ)
    if len(allocation.hosts) > 1:
        return _everywhere(allocation, arguments)
    return _alone(own, program)
