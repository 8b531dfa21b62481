"""The machines that a scheduler gave to this job, and how to start a program on each of them."""

import fcntl
import os
import re
import socket
import struct
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from hdnn_nnet.errors import HdnnError
from hdnn_nnet.kaldi.text_file import read_lines
from hdnn_nnet.text import first_word

#: What a program needs on another machine; queues and remote shells pass little on.
_PASSED = ("PATH", "VIRTUAL_ENV", "LD_LIBRARY_PATH", "KALDI_ROOT", "LC_ALL", "OMP_NUM_THREADS")
_SIOCGIFADDR = 0x8915  # of linux/sockios.h


def _split(text: str) -> list[str]:
    """Parts of a list at the commas outside brackets."""
    return re.findall(r"(?:[^,\[]|\[[^\]]*\])+", text)


def expand_hosts(text: str) -> list[str]:
    """Names of a Slurm host list: `n[1-2,07],gpu3` gives n1, n2, n07, gpu3 (as `scontrol show hostnames`)."""
    hosts: list[str] = []
    parts = _split(text.strip())
    if ",".join(parts) != text.strip():
        raise HdnnError(f"host list {text!r}: cannot read it")
    for part in parts:
        match = re.fullmatch(r"([^\[\]]*)\[([^\[\]]+)\](.*)", part)
        if match is None:
            if "]" in part:
                raise HdnnError(f"host list {text!r}: cannot read {part!r}")
            hosts.append(part)
            continue
        prefix, ranges, rest = match.groups()
        for item in ranges.split(","):
            first, _, last = item.partition("-")
            last = last or first
            if not (first.isdigit() and last.isdigit()):
                raise HdnnError(f"host list {text!r}: cannot read the range {item!r}")
            for number in range(int(first), int(last) + 1):
                hosts += expand_hosts(f"{prefix}{number:0{len(first)}d}{rest}")
    return hosts


@dataclass(frozen=True)
class Allocation:
    """Machines of a job, this one first.

    Attributes:
        scheduler: `slurm`, `sge` or empty (no scheduler, or one that gave no list).
        hosts: their names; empty without a scheduler.
    """

    scheduler: str
    hosts: tuple[str, ...]

    @classmethod
    def read(cls, environment: Mapping[str, str]) -> "Allocation":
        """From SLURM_JOB_NODELIST or GridEngine's PE_HOSTFILE (one line a host: name, slots, queue, processors)."""
        if nodes := environment.get("SLURM_JOB_NODELIST"):
            return cls("slurm", tuple(expand_hosts(nodes)))
        if file := environment.get("PE_HOSTFILE"):
            try:
                hosts = dict.fromkeys(first_word(line)[0] for line in read_lines(file))
            except HdnnError as error:
                raise HdnnError(f"PE_HOSTFILE={file}: {error}") from error
            # A host with slots in several queues has several lines.
            return cls("sge", tuple(host for host in hosts if host))
        return cls("", ())

    def commands(self, program: Sequence[str], environment: Mapping[str, str]) -> list[list[str]]:
        """Commands that together start `program` once on every host; RANK in a word becomes the host's number, from 0.

        Slurm: one `srun`, which knows the rank only at the other end (see `rank_of_host`). GridEngine: `qrsh -inherit`
        for each host but this one.
        """
        if self.scheduler == "slurm":
            count = len(self.hosts)
            start = ["srun", f"--nodes={count}", f"--ntasks={count}", "--ntasks-per-node=1", "--kill-on-bad-exit=1"]
            # slurm.pl submits with --export=PATH, which srun would take over; nor does it take over the cores of a task.
            start += ["--export=ALL"]
            if cores := environment.get("SLURM_CPUS_PER_TASK"):
                start.append(f"--cpus-per-task={cores}")
            return [[*start, *(word.replace("RANK", "slurm") for word in program)]]
        passed = [f"{name}={environment[name]}" for name in _PASSED if name in environment]
        commands = []
        for rank, host in enumerate(self.hosts):
            words = [word.replace("RANK", str(rank)) for word in program]
            remote = ["qrsh", "-inherit", "-nostdin", host, "/usr/bin/env", "-C", os.getcwd(), *passed]
            commands.append(words if rank == 0 else remote + words)
        return commands


def rank_of_host(text: str, environment: Mapping[str, str]) -> str:
    """A host's number as given on the command line, or `slurm`: that of srun's task."""
    if text != "slurm":
        return text
    if "SLURM_PROCID" not in environment:
        raise HdnnError("--node_rank=slurm outside of srun: SLURM_PROCID is not set")
    return environment["SLURM_PROCID"]


def address_of(host: str) -> str:
    """The name `host` of this machine in the scheduler's list if it resolves, else the machine's own name."""
    try:
        socket.getaddrinfo(host, None)
    except OSError:
        return socket.gethostname()
    return host


def interface_towards(hosts: Iterable[str]) -> str | None:
    """The network interface by which this machine reaches the first of `hosts` that is another machine; None if none is."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        addresses = {}
        for _, name in socket.if_nameindex():
            try:
                found = fcntl.ioctl(probe, _SIOCGIFADDR, struct.pack("256s", name.encode()))
            except OSError:  # without an address
                continue
            addresses[socket.inet_ntoa(found[20:24])] = name
        for host in hosts:
            try:
                probe.connect((host, 9))  # chooses the route; nothing is sent
            except OSError:
                continue
            if (name := addresses.get(probe.getsockname()[0], "lo")) != "lo":
                return name
    return None


def free_port() -> int:
    """A TCP port of this machine that nobody listens on."""
    with socket.socket() as server:
        server.bind(("", 0))
        return server.getsockname()[1]
