"""Two runs in one directory: the second one is told who is there."""

import errno
import fcntl
import os
import re
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from hdnn_nnet import options
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


def test_a_refused_run_leaves_no_directory(tmp_path: Path) -> None:
    with pytest.raises(HdnnError):
        call("train mono", ["data", "lang", str(tmp_path / "exp/mono")])
    assert os.listdir(tmp_path) == []
    with locked(tmp_path / "exp/mono", "x"):
        (tmp_path / "exp/mono/final.mdl").write_text("")
    assert os.listdir(tmp_path / "exp/mono") == ["final.mdl"]


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
        fields = getattr(module, "WRITES", "").split()
        if hasattr(module, "Options"):
            helps = {field.name: options._about(field).help for field in walk(module.Options)}
            assert set(fields) <= helps.keys()
            told = {
                n
                for n, text in helps.items()
                if re.search(r"(directory|part) to (write|complete)|^writes PREFIX", text)
            }
            assert told <= set(fields), name


def refused(path: Path, job: int | None) -> bool:
    try:
        with locked(path, "x", job):
            return False
    except HdnnError:
        return True


def test_jobs_share_a_directory_but_with_themselves_and_the_whole(tmp_path: Path) -> None:
    with locked(tmp_path, "hdnn align nnet", 1):
        assert [refused(tmp_path, job) for job in (None, 1, 2)] == [True, True, False]
        with locked(tmp_path, "hdnn align nnet", 2):
            pass
        assert refused(tmp_path, None)
        with pytest.raises(HdnnError, match="written by job 1 of hdnn align nnet, process"), locked(tmp_path, "x", 1):
            pass
    with locked(tmp_path, "hdnn collect ali"):
        assert [refused(tmp_path, job) for job in (None, 1)] == [True, True]
    assert os.listdir(tmp_path) == []


def test_jobs_that_end_do_not_refuse_those_that_begin(tmp_path: Path) -> None:
    refusals: list[int] = []

    def work(job: int) -> None:
        for _ in range(100):
            if refused(tmp_path, job):
                refusals.append(job)

    threads = [threading.Thread(target=work, args=(job,)) for job in range(1, 5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not refusals
    assert os.listdir(tmp_path) == []


def test_a_prefix_of_files_is_held_like_a_directory(tmp_path: Path) -> None:
    data = tmp_path / "no-data"
    arguments = ["--num-jobs", "2", "--job", "1", str(data), str(tmp_path / "raw")]
    with locked(tmp_path, "x", 1, ".raw.lock"), pytest.raises(HdnnError, match="written by job 1 of x"):
        call("feats make", arguments)
    with locked(tmp_path, "x", 1, ".other.lock"), pytest.raises(HdnnError, match="no-data"):
        call("feats make", arguments)
    assert not data.exists()


def test_a_file_system_without_locks_is_told_and_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def no_locks(handle: int, kind: int) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", no_locks)
    with locked(tmp_path, "x"):
        (tmp_path / "written").touch()
    assert "no locks" in caplog.text
