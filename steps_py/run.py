#!/usr/bin/env python3
"""Run a command, or an array of commands, on this machine with the calling convention of Kaldi's run.pl.

    run.py [options] [JOB=1:4] LOG COMMAND [ARGUMENT...]
    run.py JOB=1:4 exp/log/copy.JOB.log copy-feats scp:split/feats.JOB.scp ark:- \\| gzip -c \\> exp/feats.JOB.gz

JOB becomes the job's number in the log's name and in the command. Arguments with white space are quoted, all others
reach bash as they are, so that `\\|` makes a pipe and `\\>` a redirection. Like run.pl, queue.pl and slurm.pl it sets
no pipefail. The status is 1 when any job failed, and the end of the first failed job's log is shown.

--max-jobs-run N, -tc N            jobs at a time; default: one for each core
--gpu N                            GPUs for each job, which sees no others
--pick all|failed|incomplete       run only the jobs of which an earlier log says so
--mem 2G, -pe smp 4 and the like   options meant for queue.pl are ignored

A signal (SIGINT, SIGTERM, SIGHUP) is passed to all processes of the running jobs; those still there after a minute
are killed. The jobs end, too, with a script above that names itself in HDNN_STEPS, as the steps do, however it ends.
"""

import contextlib
import os
import re
import select
import shlex
import signal
import subprocess
import sys
import threading
import time
from collections import deque
from dataclasses import dataclass, field
from pathlib import Path
from typing import NoReturn

GRACE_SECONDS = 60  # a training job writes its checkpoint on SIGTERM
SHOWN_LINES = 10


def fail(message: str) -> NoReturn:
    sys.exit(f"run.py: {message}")


@dataclass
class Request:
    """One parsed command line."""

    log: str
    command: str
    name: str | None = None
    first: int = 1
    last: int = 1
    max_jobs: int | None = None
    gpus: int = 0
    pick: str = "all"
    threads: str = "1"

    def log_of(self, job: int) -> Path:
        return Path(self.substitute(self.log, job))

    def substitute(self, text: str, job: int) -> str:
        return text.replace(self.name, str(job)) if self.name else text


def quote(argument: str) -> str:
    """The argument as a word of bash: left alone without white space, else in quotes that suit its content."""
    if re.fullmatch(r"\S+", argument):
        return argument
    if '"' in argument:
        return shlex.quote(argument)
    return f'"{argument}"'


def positive(text: str, option: str) -> int:
    if not re.fullmatch(r"0*[1-9]\d*", text):
        fail(f"{option} needs a positive number, got {text!r}")
    return int(text)


def parse(arguments: list[str]) -> Request:
    words = deque(arguments)
    request = Request(log="", command="")

    def value(option: str) -> str:
        if not words:
            fail(f"option {option} needs a value")
        return words.popleft()

    while words:
        word = words[0]
        if word.startswith("-") and len(word) > 1:
            option = words.popleft()
            if option == "-V":
                continue
            argument = value(option)
            if option in ("--max-jobs-run", "-tc"):
                limit = positive(argument, option)
                request.max_jobs = min(limit, request.max_jobs or limit)
            elif option == "--gpu":
                request.gpus = int(argument) if argument.isdigit() else fail(f"--gpu needs a number, got {argument!r}")
            elif option == "--pick":
                if argument not in ("all", "failed", "incomplete"):
                    fail(f"--pick takes all, failed or incomplete, got {argument!r}")
                request.pick = argument
            elif option == "--num-threads":
                request.threads = argument
            elif option == "-pe":
                value(option)  # as in `-pe smp 4`
        elif request.name is None and (array := re.fullmatch(r"([A-Za-z_]\w*)=(\d+)(?::(\d+))?", word)):
            words.popleft()
            request.name = array[1]
            request.first, request.last = int(array[2]), int(array[3] or array[2])
            if not 1 <= request.first <= request.last:
                fail(f"job numbers must be positive and ascending, got {word}")
        else:
            break
    if len(words) < 2:
        fail("usage: run.py [options] [JOB=1:4] LOG COMMAND [ARGUMENT...]; see --help")
    request.log = words.popleft()
    request.command = " ".join(quote(word) for word in words)
    if request.name and request.last > request.first and request.name not in request.log:
        fail(f"{request.last - request.first + 1} jobs would share one log; put {request.name} into {request.log}")
    return request


def visible_gpus() -> list[str]:
    """Identifiers for CUDA_VISIBLE_DEVICES: those given to us, else all that nvidia-smi lists."""
    if given := os.environ.get("CUDA_VISIBLE_DEVICES"):
        return given.split(",")
    try:
        listed = subprocess.run(["nvidia-smi", "-L"], capture_output=True, text=True, check=True).stdout
    except (OSError, subprocess.CalledProcessError):
        return []
    return [str(i) for i, _ in enumerate(line for line in listed.splitlines() if line.startswith("GPU"))]


def earlier_status(log: Path) -> int | None:
    """Exit status that an earlier run wrote at the end of its log; None where it never ended."""
    try:
        ends = re.findall(r"^# Ended \(code (\d+)(?:; signal (\d+))?\)", log.read_text(errors="replace"), re.MULTILINE)
    except FileNotFoundError:
        return None
    return max(int(ends[-1][0]), int(ends[-1][1] or 0)) if ends else None


def parents() -> list[int]:
    """The processes above this one, nearest first."""
    found: list[int] = []
    process = os.getppid()
    while process > 1:
        found.append(process)
        try:
            process = int(Path(f"/proc/{process}/stat").read_text(errors="replace").rsplit(")", 1)[1].split()[1])
        except OSError:
            break
    return found


def end_with_steps() -> None:
    """Send this process SIGTERM as soon as one of the scripts that started it, by HDNN_STEPS, is gone."""
    named = set(os.environ.get("HDNN_STEPS", "").split())
    try:
        steps = [os.pidfd_open(process) for process in parents() if str(process) in named]
    except (AttributeError, OSError):  # an older Linux, or one is gone already
        return

    def watch() -> None:
        select.select(steps, [], [])  # a process that ended is ready to be read
        os.kill(os.getpid(), signal.SIGTERM)

    if steps:
        threading.Thread(target=watch, daemon=True).start()


def date() -> str:
    return time.strftime("%a %b %e %H:%M:%S %Z %Y")


@dataclass
class Job:
    """A running bash with all of its children in a process group of its own."""

    number: int
    log: Path
    process: subprocess.Popen
    started: float
    threads: str
    devices: list[str]

    @classmethod
    def start(cls, request: Request, number: int, devices: list[str]) -> "Job":
        log = request.log_of(number)
        command = request.substitute(request.command, number)
        environment = dict(os.environ)
        if devices:
            environment["CUDA_VISIBLE_DEVICES"] = ",".join(devices)
        try:
            log.parent.mkdir(parents=True, exist_ok=True)
            log.write_text(f"# {command}\n# Started at {date()}\n#\n")
        except OSError as error:
            raise OSError(error.errno, error.strerror, str(log)) from error
        # bash reads the command from a pipe: it may be longer than the kernel allows for one argument.
        with open(log, "a") as output:
            process = subprocess.Popen(
                ["bash"],
                stdin=subprocess.PIPE,
                stdout=output,
                stderr=subprocess.STDOUT,
                text=True,
                env=environment,
                process_group=0,
                close_fds=False,  # a job holds the lock of its step (lock_output), also when we are killed
            )
        assert process.stdin is not None
        with contextlib.suppress(BrokenPipeError):
            process.stdin.write(f"( {command} )\n")
            process.stdin.close()
        return cls(number, log, process, time.time(), request.threads, devices)

    def signal(self, number: int) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, number)

    def alive(self) -> bool:
        """Whether any process of the group is left; bash dies of a signal before its children have cleaned up."""
        try:
            os.killpg(self.process.pid, 0)
        except ProcessLookupError:
            return False
        return True

    def finish(self, status: int) -> bool:
        """Write the closing lines; True when the job succeeded."""
        seconds = round(time.time() - self.started)
        if status in (-signal.SIGKILL, 128 + signal.SIGKILL):
            self.say("# Killed by SIGKILL; if nobody did that, the machine was out of memory (dmesg tells)\n")
        code = f"code {status}" if status >= 0 else f"code 0; signal {-status}"
        self.say(
            f"# Accounting: time={seconds} threads={self.threads}\n"
            f"# Ended ({code}) at {date()}, elapsed time {seconds} seconds\n"
        )
        return status == 0

    def say(self, lines: str) -> None:
        """Add to the log; what the job did does not depend on whether that fits on the disk."""
        try:
            with open(self.log, "a") as output:
                output.write(lines)
        except OSError as error:
            print(f"run.py: warning: cannot write {self.log}: {error.strerror}", file=sys.stderr)


@dataclass
class Launcher:
    request: Request
    slots: int
    devices: list[str]
    running: dict[int, Job] = field(default_factory=dict)
    failed: list[int] = field(default_factory=list)
    stopped_by: int = 0

    def run(self) -> None:
        """Run all jobs, `slots` at a time."""
        for caught in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(caught, self.stop)
        end_with_steps()
        for number in range(self.request.first, self.request.last + 1):
            if not self.wanted(number):
                continue
            while len(self.running) >= self.slots:
                self.wait_for_one()
            if self.stopped_by:
                break
            gpus = [self.devices.pop(0) for _ in range(self.request.gpus)] if self.devices else []
            job = Job.start(self.request, number, gpus)
            self.running[job.process.pid] = job
            if self.stopped_by:  # the signal came while the job was starting
                job.signal(signal.SIGTERM)
        while self.running:
            self.wait_for_one()

    def wanted(self, number: int) -> bool:
        """Whether --pick asks for this job; one left out keeps the verdict of its log."""
        earlier = None if self.request.pick == "all" else earlier_status(self.request.log_of(number))
        if earlier is None or (earlier != 0 and self.request.pick == "failed"):
            return True
        if earlier != 0:
            self.failed.append(number)
        return False

    def wait_for_one(self) -> None:
        pid, status = os.wait()
        job = self.running.get(pid)
        if job is None:
            return
        job.process.returncode = os.waitstatus_to_exitcode(status)
        if self.stopped_by:
            self.wait_for_group(job)
            # No "# Ended": the job is incomplete.
            job.say(f"# Stopped: the launcher got {signal.Signals(self.stopped_by).name} at {date()}\n")
        elif not job.finish(job.process.returncode):
            self.failed.append(job.number)
        self.devices.extend(job.devices)
        del self.running[pid]

    def wait_for_group(self, job: Job) -> None:
        deadline = time.monotonic() + GRACE_SECONDS
        while job.alive() and time.monotonic() < deadline:
            time.sleep(0.05)
        job.signal(signal.SIGKILL)

    def stop(self, number: int, frame: object) -> None:
        """Pass a signal on; SIGKILL follows after the grace period."""
        if number != signal.SIGALRM:
            self.stopped_by = number
            signal.signal(signal.SIGALRM, self.stop)
            signal.alarm(GRACE_SECONDS)
        for job in list(self.running.values()):
            job.signal(signal.SIGKILL if number == signal.SIGALRM else signal.SIGTERM)

    def report(self) -> None:
        """Say on stderr which jobs failed and how the first one's log ends."""
        failed = sorted(self.failed)
        logs = [str(self.request.log_of(number)) for number in failed]
        if self.request.first == self.request.last:
            print(f"run.py: job failed, log is in {logs[0]}", file=sys.stderr)
        else:
            total = self.request.last - self.request.first + 1
            print(f"run.py: {len(failed)} / {total} failed, logs are in {' '.join(logs)}", file=sys.stderr)
        if self.request.name is None and "JOB" in self.request.log:
            print("run.py: JOB in the log's name but no JOB=1:$nj before it?", file=sys.stderr)
        lines = Path(logs[0]).read_text(errors="replace").splitlines()
        for line in [line for line in lines if not line.startswith("# Accounting:")][-SHOWN_LINES:]:
            print(f"  {line}", file=sys.stderr)


def main() -> int:
    if sys.argv[1:2] in (["--help"], ["-h"]):
        print(__doc__)
        return 0
    request = parse(sys.argv[1:])
    devices = visible_gpus() if request.gpus else []
    if request.gpus and len(devices) < request.gpus:
        warning = f"{request.gpus} GPU(s) wanted, {len(devices)} found; one job at a time"
        print(f"run.py: warning: {warning}", file=sys.stderr)
        slots, devices = 1, []
    elif request.gpus:
        slots = len(devices) // request.gpus
    else:
        slots = len(os.sched_getaffinity(0))
    if request.max_jobs:
        slots = min(slots, request.max_jobs) if request.gpus else request.max_jobs
    launcher = Launcher(request, slots, devices)
    try:
        launcher.run()
    except OSError as error:
        launcher.stop(signal.SIGTERM, None)
        fail(f"cannot run the jobs: {error}")
    if launcher.stopped_by:
        print(f"run.py: stopped by {signal.Signals(launcher.stopped_by).name}; the jobs were ended", file=sys.stderr)
        return 128 + launcher.stopped_by
    if launcher.failed:
        launcher.report()
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
