"""Host lists of schedulers, and torchrun over several machines (stood in for by this one)."""

import contextlib
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hdnn_nnet.errors import HdnnError
from hdnn_nnet.train.hosts import Allocation, expand_hosts, interface_towards, rank_of_host


@pytest.mark.parametrize(
    ("text", "hosts"),
    [
        ("gpu7", ["gpu7"]),
        ("n[1-3]", ["n1", "n2", "n3"]),
        ("n[08-11,20],m1,k[2]-ib", ["n08", "n09", "n10", "n11", "n20", "m1", "k2-ib"]),
        ("r[1-2]c[0,2]", ["r1c0", "r1c2", "r2c0", "r2c2"]),
    ],
)
def test_slurm_host_lists(text: str, hosts: list[str]) -> None:
    assert expand_hosts(text) == hosts
    if shutil.which("scontrol"):  # Slurm's own reading needs no running Slurm, where there is a configuration
        done = subprocess.run(["scontrol", "show", "hostnames", text], capture_output=True, text=True, check=False)
        if done.returncode == 0:
            assert done.stdout.split() == hosts


@given(st.lists(st.integers(0, 120), min_size=1, max_size=6, unique=True), st.integers(1, 4))
def test_any_list_of_numbers_comes_back(numbers: list[int], width: int) -> None:
    names = [f"{number:0{width}d}" for number in numbers]
    assert expand_hosts(f"node[{','.join(names)}]x") == [f"node{name}x" for name in names]


@pytest.mark.parametrize("text", ["n[1-", "n[a-b]", "n1]"])
def test_a_list_that_cannot_be_read_is_named(text: str) -> None:
    with pytest.raises(HdnnError, match="host list"):
        expand_hosts(text)


def test_gridengine_s_file(tmp_path: Path) -> None:
    file = tmp_path / "pe_hostfile"
    file.write_text("n2 2 all.q@n2 UNDEFINED\nn2 1 gpu.q@n2 UNDEFINED\nn1 4 all.q@n1 <NULL>\n\n")
    allocation = Allocation.read({"PE_HOSTFILE": str(file)})
    assert allocation == Allocation("sge", ("n2", "n1"))
    here, there = allocation.commands(["python3", "x", "--node_rank=RANK"], {"PATH": "/p", "HOME": "/root"})
    assert here == ["python3", "x", "--node_rank=0"]
    assert there[:4] == ["qrsh", "-inherit", "-nostdin", "n1"]
    assert there[4:] == ["/usr/bin/env", "-C", os.getcwd(), "PATH=/p", "python3", "x", "--node_rank=1"]
    with pytest.raises(HdnnError, match="gone"):
        Allocation.read({"PE_HOSTFILE": str(tmp_path / "gone")})


def test_slurm_s_ranks() -> None:
    allocation = Allocation.read({"SLURM_JOB_NODELIST": "n[1-2]"})
    (command,) = allocation.commands(["x", "--node_rank=RANK"], {"SLURM_CPUS_PER_TASK": "3"})
    assert {"srun", "--nodes=2", "--ntasks=2", "--export=ALL", "--cpus-per-task=3"} <= set(command)
    assert command[-2:] == ["x", "--node_rank=slurm"]
    assert rank_of_host("slurm", {"SLURM_PROCID": "1"}) == "1"
    assert rank_of_host("4", {}) == "4"
    with pytest.raises(HdnnError, match="SLURM_PROCID"):
        rank_of_host("slurm", {})
    assert Allocation.read({}) == Allocation("", ())


WORKER = """
import sys
import torch
from hdnn_nnet.train.distributed import join
ranks = join("cpu")
(total,) = ranks.sum(1.0 + ranks.rank, device=torch.device("cpu"))
sys.exit(7) if sys.argv[1:] == ["fail"] and ranks.rank == 3 else None
open(f"{sys.argv[1]}.{ranks.rank}", "w").write(f"{ranks.world} {total:g}")
"""


@pytest.fixture
def two_hosts(tmp_path: Path) -> dict[str, str]:
    """An environment as in a GridEngine job on two hosts, with a qrsh that runs the command here."""
    (tmp_path / "worker.py").write_text(WORKER)
    (tmp_path / "hosts").write_text("127.0.0.1 1 q UNDEFINED\nother 1 q UNDEFINED\n")
    qrsh = tmp_path / "bin/qrsh"
    qrsh.parent.mkdir()
    qrsh.write_text('#!/bin/bash\n[ "$1 $2 $3" = "-inherit -nostdin other" ] || exit 9\nshift 3\nexec "$@"\n')
    qrsh.chmod(0o755)
    environment = os.environ | {"PE_HOSTFILE": str(tmp_path / "hosts"), "OMP_NUM_THREADS": "1"}
    environment["PATH"] = f"{qrsh.parent}:{environment['PATH']}"
    environment["PYTHONPATH"] = f"{tmp_path}:{Path(__file__).resolve().parent.parent}"
    return environment


def torchrun(folder: Path, environment: dict[str, str], *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "hdnn_nnet", "torchrun", "--nproc_per_node=2", "-m", "worker", *arguments]
    return subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, timeout=120, check=False
    )


@pytest.fixture
def two_namespaces(tmp_path: Path, two_hosts: dict[str, str]) -> Iterator[tuple[str, dict[str, str]]]:
    """The same, on two network namespaces that see each other only through a cable; the name of the first."""
    names = [f"hdnn{os.getpid()}{side}" for side in "ab"]
    if os.geteuid() or not shutil.which("ip"):
        pytest.skip("needs root and iproute2")
    commands = [f"ip netns add {name}" for name in names]
    commands.append(f"ip link add cable netns {names[0]} type veth peer name cable netns {names[1]}")
    for number, name in enumerate(names, 1):
        commands.append(f"ip -n {name} addr add 10.77.0.{number}/24 dev cable")
        commands += [f"ip -n {name} link set {device} up" for device in ("lo", "cable")]
    try:
        for command in commands:
            if subprocess.run(command.split(), capture_output=True, check=False).returncode:
                pytest.skip(f"{command}: not allowed here")
        (tmp_path / "hosts").write_text("10.77.0.1 1 q UNDEFINED\n10.77.0.2 1 q UNDEFINED\n")
        (tmp_path / "bin/qrsh").write_text(f'#!/bin/bash\nshift 3\nexec ip netns exec {names[1]} "$@"\n')
        yield names[0], two_hosts
    finally:
        for name in names:
            subprocess.run(["ip", "netns", "del", name], capture_output=True, check=False)


def test_workers_meet_over_a_network(tmp_path: Path, two_namespaces: tuple[str, dict[str, str]]) -> None:
    """Whatever address the name of the machine has: 127.0.1.1 on a Debian."""
    name, environment = two_namespaces
    words = ["hdnn_nnet", "torchrun", "--nproc_per_node=1", "-m", "worker", str(tmp_path / "out")]
    command = ["ip", "netns", "exec", name, sys.executable, "-m", *words]
    done = subprocess.run(
        command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
    assert [(tmp_path / f"out.{rank}").read_text() for rank in range(2)] == ["2 3"] * 2


def test_an_interface_leads_to_other_machines_only() -> None:
    assert interface_towards(["127.0.0.1", "localhost", "no-such-host.invalid"]) is None


def test_workers_on_two_hosts_meet(tmp_path: Path, two_hosts: dict[str, str]) -> None:
    done = torchrun(tmp_path, two_hosts, str(tmp_path / "out"))
    assert done.returncode == 0, done.stderr
    assert [(tmp_path / f"out.{rank}").read_text() for rank in range(4)] == ["4 10"] * 4


def processes_of(folder: Path) -> list[str]:
    """Command lines of living processes with this working directory."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if (process / "cwd").readlink() == folder and (process / "stat").read_text().rsplit(")", 1)[1].split()[
                0
            ] != "Z":
                found.append((process / "cmdline").read_text())
    return found


def test_a_worker_that_fails_on_another_host_ends_all(tmp_path: Path, two_hosts: dict[str, str]) -> None:
    """Its own agent, and that of the other host, whose workers are done and which waits for all agents."""
    done = torchrun(tmp_path, two_hosts, "fail")
    assert done.returncode != 0
    assert re.search(r"rank 3 \(process \d+\) ended with status 7", done.stderr)
    assert processes_of(tmp_path) == []


def test_agents_end_with_a_launcher_that_is_killed(tmp_path: Path, two_hosts: dict[str, str]) -> None:
    (tmp_path / "worker.py").write_text("import time; open('started', 'w'); time.sleep(100)")
    command = [sys.executable, "-m", "hdnn_nnet", "torchrun", "--nproc_per_node=1", "-m", "worker"]
    launcher = subprocess.Popen(command, cwd=tmp_path, env=two_hosts, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 60
    while not (tmp_path / "started").exists() and time.monotonic() < deadline:
        time.sleep(0.1)
    launcher.kill()
    launcher.wait()
    while processes_of(tmp_path) and time.monotonic() < deadline:
        time.sleep(0.2)
    assert processes_of(tmp_path) == []
