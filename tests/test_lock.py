"""Two runs in one directory: the second one is told who is there."""

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from hdnn_nnet.cli import COMMANDS, call, load
from hdnn_nnet.errors import HdnnError
from hdnn_nnet.lock import locked
from hdnn_nnet.options import walk

HOLD = "import sys; from hdnn_nnet.lock import locked\nwith locked(sys.argv[1], 'hdnn train ce'):\n"
HOLD += "    print('held', flush=True); sys.stdin.read()"


def test_a_second_run_is_told_who_is_there(tmp_path: Path) -> None:
    command = [sys.executable, "-c", HOLD, str(tmp_path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        with pytest.raises(HdnnError, match=rf"{tmp_path} .* hdnn train ce, process {holder.pid} on \S+, since 20"):
            call("train mono", ["data", "lang", str(tmp_path)])
        holder.send_signal(signal.SIGKILL)
    with locked(tmp_path, "again"):  # a lock dies with its process
        pass
    assert os.listdir(tmp_path) == []


def test_only_one_of_many_is_inside_at_a_time(tmp_path: Path) -> None:
    inside: list[int] = []
    most, refused = [0], [0]

    def work() -> None:
        for _ in range(200):
            try:
                with locked(tmp_path, "x"):
                    inside.append(1)
                    most[0] = max(most[0], len(inside))
                    inside.pop()
            except HdnnError:
                refused[0] += 1

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == [1]
    assert refused[0] < 800


def test_commands_name_options_that_they_have() -> None:
    for name in COMMANDS:
        module = load(name)
        if field := getattr(module, "WRITES", ""):
            assert field in {f.name for f in walk(module.Options)}
