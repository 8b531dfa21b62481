"""Real batch schedulers on this machine: a GridEngine and a Slurm of one test's own, started and ended by process id."""

import os
import pwd
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

SGE_PROGRAMS = Path("/usr/lib/gridengine")  # Debian's place


def need(programs: Sequence[str], package: str) -> None:
    """Skip where a program is missing, or where we are not root, as whom the daemons must start."""
    lost = [name for name in programs if shutil.which(name) is None and not (SGE_PROGRAMS / name).exists()]
    if lost:
        pytest.skip(f"needs {' '.join(lost)} (Debian: {package})")
    if os.geteuid() != 0:
        pytest.skip("the scheduler's daemons must be started as root")


def free_ports(count: int) -> list[int]:
    servers = [socket.socket() for _ in range(count)]
    for server in servers:
        server.bind(("", 0))
    ports = [server.getsockname()[1] for server in servers]
    for server in servers:
        server.close()
    return ports


class Scheduler:
    """Daemons in `folder`; `environment` is what submitting programs need. Use as a context manager."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.environment: dict[str, str] = {}
        self.daemons: list[subprocess.Popen] = []

    def __enter__(self) -> "Scheduler":
        try:
            self.start()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self) -> None:
        raise NotImplementedError

    def daemon(self, *command: str) -> None:
        """Start a program that stays in the foreground."""
        with open(self.folder / f"{Path(command[0]).name}.{len(self.daemons)}.log", "w") as log:
            environment = os.environ | self.environment
            self.daemons.append(subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT, env=environment))

    def run(self, *command: str, text: str | None = None) -> str:
        """Output of a client program."""
        done = subprocess.run(
            command,
            input=text,
            capture_output=True,
            text=True,
            env=os.environ | self.environment,
            timeout=60,
            check=False,
        )
        if done.returncode != 0:
            raise RuntimeError(f"{' '.join(command)}: {done.stdout}{done.stderr}")
        return done.stdout

    def wait_until(self, check: Callable[[], object], seconds: float = 40) -> None:
        """Wait until `check` holds and does not fail."""
        deadline = time.monotonic() + seconds
        while True:
            try:
                if check():
                    return
                problem = "not ready"
            except (RuntimeError, subprocess.TimeoutExpired) as error:
                problem = str(error)
            if time.monotonic() > deadline:
                logs = "".join(f"\n{p}:\n{p.read_text()[-500:]}" for p in self.folder.glob("*.log"))
                pytest.skip(f"{type(self).__name__} does not come up here: {problem}{logs}")
            time.sleep(0.3)

    def stop(self) -> None:
        """End the daemons, the last one started first."""
        for process in reversed(self.daemons):
            process.terminate()
            try:
                process.wait(15)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


class GridEngine(Scheduler):
    """Queue all.q with two slots on this host; parallel environments smp and mpi."""

    def start(self) -> None:
        need(["sge_qmaster", "sge_execd", "spoolinit", "qsub", "qconf"], "gridengine-master, -exec, -client")
        root, common = self.folder / "root", self.folder / "root/default/common"
        common.mkdir(parents=True)
        for name in ("bin", "lib", "util", "utilbin"):
            (root / name).symlink_to(f"/var/lib/gridengine/{name}")
        spool = self.folder / "spool"
        for name in ("spooldb", "qmaster/job_scripts", "execd"):
            (spool / name).mkdir(parents=True)
        # One name for this machine: its own resolves to a loopback address, which GridEngine would call localhost.
        host = socket.gethostname()
        (common / "host_aliases").write_text(f"localhost {host} {socket.getfqdn()}\n")
        (common / "act_qmaster").write_text("localhost\n")
        bootstrap = Path("/usr/share/gridengine/default-bootstrap").read_text()
        bootstrap = bootstrap.replace("/var/spool/gridengine", str(spool)).replace("sgeadmin", pwd.getpwuid(0).pw_name)
        (common / "bootstrap").write_text(bootstrap)
        configuration = Path("/usr/share/gridengine/default-configuration").read_text()
        changes = {"execd_spool_dir": f"{spool}/execd", "min_uid": "0", "min_gid": "0", "load_report_time": "00:00:02"}
        changes |= {"execd_params": "INHERIT_ENV=false", "loglevel": "log_info"}
        lines = [line.split(None, 1) for line in configuration.splitlines()]
        (self.folder / "configuration").write_text(
            "".join(f"{w[0]} {changes.get(w[0], w[1])}\n" for w in lines if len(w) == 2 and not w[0].startswith("#"))
        )
        master, execd = free_ports(2)
        self.environment = {
            "SGE_ROOT": str(root), "SGE_CELL": "default", "SGE_QMASTER_PORT": str(master), "SGE_EXECD_PORT": str(execd),
            "SGE_ND": "1",
        }  # fmt: skip
        tool = str(SGE_PROGRAMS)
        self.run(f"{tool}/spoolinit", "berkeleydb", "libspoolb", f"{spool}/spooldb", "init")
        self.run(f"{tool}/spooldefaults", "configuration", str(self.folder / "configuration"))
        self.run(f"{tool}/spooldefaults", "complexes", "/usr/share/gridengine/util/resources/centry")
        self.run(f"{tool}/spooldefaults", "usersets", "/usr/share/gridengine/util/resources/usersets")
        self.run(f"{tool}/spooldefaults", "managers", "root")
        self.daemon(f"{tool}/sge_qmaster")
        self.wait_until(lambda: self.run("qconf", "-sh") or True)
        self.run("qconf", "-as", "localhost")
        scheduling = self.run("qconf", "-ssconf").replace("0:0:15", "0:0:1")
        self.put("-Msconf", scheduling)
        for name in ("smp", "mpi"):
            self.put("-Ap", f"pe_name {name}\nslots 99\nuser_lists NONE\nxuser_lists NONE\nstart_proc_args NONE\n"
                     "stop_proc_args NONE\nallocation_rule $pe_slots\ncontrol_slaves TRUE\njob_is_first_task FALSE\n"
                     "urgency_slots min\naccounting_summary FALSE\nqsort_args NONE\n")  # fmt: skip
        self.daemon(f"{tool}/sge_execd")
        self.put("-Ahgrp", "group_name @allhosts\nhostlist localhost\n")
        queue = self.run("qconf", "-sq")
        values = {"qname": "all.q", "hostlist": "@allhosts", "slots": "2", "pe_list": "smp mpi", "shell": "/bin/bash"}
        values |= {"load_thresholds": "NONE"}
        queue = "".join(
            f"{key} {values.get(key, value)}\n"
            for key, value in (line.split(None, 1) for line in queue.splitlines() if line)
        )
        self.put("-Aq", queue)
        self.wait_until(lambda: "lx-" in self.run("qhost") and " au" not in self.run("qstat", "-f"))

    def put(self, option: str, text: str) -> None:
        """Give qconf a configuration, which it takes from a file only."""
        file = self.folder / "qconf.txt"
        file.write_text(text)
        self.run("qconf", option, str(file))


class Slurm(Scheduler):
    """Partition all of two nodes, both on this host."""

    def start(self) -> None:
        need(["slurmctld", "slurmd", "sbatch", "srun", "munged"], "slurmctld, slurmd, slurm-client, munge")
        for name in ("state", "spool1", "spool2", "run"):
            (self.folder / name).mkdir(parents=True)
        key = self.folder / "munge.key"
        key.write_bytes(os.urandom(128))
        key.chmod(0o400)
        self.folder.chmod(0o755)
        socket_file = self.folder / "munge.socket"
        host = socket.gethostname()
        control, first, second = free_ports(3)
        configuration = self.folder / "slurm.conf"
        configuration.write_text(
            f"ClusterName=test\nSlurmctldHost={host}(127.0.0.1)\nSlurmctldPort={control}\nSlurmUser=root\nSlurmdUser=root\n"
            f"AuthType=auth/munge\nAuthInfo=socket={socket_file}\nCredType=cred/munge\n"
            f"StateSaveLocation={self.folder}/state\nSlurmdSpoolDir={self.folder}/spool_%n\n"
            f"SlurmctldPidFile={self.folder}/ctld.pid\nSlurmdPidFile={self.folder}/%n.pid\n"
            f"SlurmctldLogFile={self.folder}/slurmctld.log\nSlurmdLogFile={self.folder}/%n.log\n"
            "ProctrackType=proctrack/linuxproc\nTaskPlugin=task/none\nMpiDefault=none\nSwitchType=switch/none\n"
            "SelectType=select/cons_tres\nSelectTypeParameters=CR_Core\nReturnToService=2\nSchedulerParameters=sched_interval=1\n"
            "JobAcctGatherType=jobacct_gather/none\nAccountingStorageType=accounting_storage/none\nMinJobAge=10\nKillWait=5\n"
            "OverTimeLimit=0\nInactiveLimit=0\n"
            f"NodeName=n1 NodeHostname={host} NodeAddr=127.0.0.1 Port={first} CPUs=2 RealMemory=1000 State=UNKNOWN\n"
            f"NodeName=n2 NodeHostname={host} NodeAddr=127.0.0.1 Port={second} CPUs=2 RealMemory=1000 State=UNKNOWN\n"
            "PartitionName=all Nodes=n1,n2 Default=YES MaxTime=INFINITE State=UP\n"
        )
        self.environment = {"SLURM_CONF": str(configuration)}
        self.daemon("munged", "--foreground", "--force", f"--key-file={key}", f"--socket={socket_file}",
                    f"--pid-file={self.folder}/munge.pid", f"--log-file={self.folder}/munged.log",
                    f"--seed-file={self.folder}/munge.seed")  # fmt: skip
        self.wait_until(socket_file.exists)
        self.daemon("slurmctld", "-D", "-i")
        self.daemon("slurmd", "-D", "-N", "n1")
        self.daemon("slurmd", "-D", "-N", "n2")
        self.wait_until(lambda: self.run("sinfo", "-h", "-o", "%D %T").strip() == "2 idle")
