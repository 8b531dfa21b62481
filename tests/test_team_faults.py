"""Worker processes of the GMM training that die, or whose parent dies."""

import os
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from hdnn_nnet.errors import HdnnError
from hdnn_nnet.gmm.team import UtteranceSet, Workers
from hdnn_nnet.processes import cause_of_death

REPOSITORY = Path(__file__).resolve().parent.parent
PARENT = """import sys, time
from tests.test_team_faults import Waiting, workers
with workers() as team:
    print(*[process.pid for process in team._processes], flush=True)
    team.call("wait", 60)
"""


class Waiting(UtteranceSet):
    """A share without utterances."""

    def wait(self, seconds: float) -> None:
        time.sleep(seconds)

    def work(self, seconds: float) -> None:
        while time.process_time() < seconds:
            pass

    def die(self, number: int) -> None:
        os.kill(os.getpid(), number)


def workers() -> Workers:
    arguments: Any = (SimpleNamespace(), {}, Path(), False)
    return Workers([arguments] * 3, Waiting)


def is_running(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_time_of_workers_counts_as_the_training_s() -> None:
    """Steps and launchers report it, and so do schedulers."""

    def children() -> float:
        usage = resource.getrusage(resource.RUSAGE_CHILDREN)
        return usage.ru_utime + usage.ru_stime

    before = children()
    with workers() as team:
        team.call("work", 2.0)
    assert children() - before > 3 * 2.0 * 0.9


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_workers_end_with_their_parent(number: int) -> None:
    command = [sys.executable, "-c", PARENT]
    with subprocess.Popen(command, cwd=REPOSITORY, stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        pids = [int(word) for word in parent.stdout.readline().split()]
        assert [is_running(pid) for pid in pids] == [True] * 3
        parent.send_signal(number)
    deadline = time.monotonic() + 20
    while any(map(is_running, pids)) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not any(map(is_running, pids))


@pytest.mark.parametrize(
    ("number", "said"),
    [(signal.SIGKILL, "was killed by SIGKILL; .*out of memory"), (signal.SIGUSR1, "was killed by SIGUSR1$")],
)
def test_a_killed_worker_is_named(number: int, said: str) -> None:
    with workers() as team, pytest.raises(HdnnError, match=rf"training process 1 \(process \d+\) {said}"):
        team.call("die", number)


def test_a_worker_that_is_gone_before_it_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    with workers() as team:
        os.kill(team._processes[1].pid, signal.SIGKILL)
        team._processes[1].join()
        with pytest.raises(HdnnError, match=r"training process 2 \(process \d+\) was killed by SIGKILL"):
            team.call("has_alignments")


def test_cause_of_death() -> None:
    assert cause_of_death(3) == "ended with status 3; its own last lines say why"
    assert cause_of_death(-15) == "was killed by SIGTERM"
