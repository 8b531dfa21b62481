"""Files that are whole or absent."""

import errno
import os
import re
import stat
import subprocess
import sys
import threading
from pathlib import Path

import pytest
import torch

from hdnn_nnet.atomic import atomic_path, write_text
from hdnn_nnet.nn.tensor_file import save_tensors


def test_whole_or_absent(tmp_path: Path) -> None:
    write_text(tmp_path / "sub/x.txt", "one")

    def fail() -> None:
        with atomic_path(tmp_path / "sub/x.txt") as temporary:
            temporary.write_text("two")
            raise ValueError

    with pytest.raises(ValueError, match=r"^$"):
        fail()
    assert (tmp_path / "sub/x.txt").read_text() == "one"
    assert os.listdir(tmp_path / "sub") == ["x.txt"]


def test_pipes_and_devices_stay_what_they_are(tmp_path: Path) -> None:
    """As root, a rename onto /dev/null would leave the machine without it."""
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    read: list[str] = []
    reader = threading.Thread(target=lambda: read.append(pipe.read_text()), daemon=True)
    reader.start()
    write_text(pipe, "through")
    reader.join(10)
    assert read == ["through"]
    assert stat.S_ISFIFO(pipe.stat().st_mode)
    assert os.listdir(tmp_path) == ["pipe"]


def test_what_a_killed_job_left_is_removed_by_the_next_run(tmp_path: Path) -> None:
    die = "from hdnn_nnet.atomic import atomic_path\nimport os, signal, sys\n"
    die += "with atomic_path(sys.argv[1]) as t:\n    t.write_text('half'); os.kill(os.getpid(), signal.SIGKILL)\n"
    subprocess.run([sys.executable, "-c", die, str(tmp_path / "x.txt")], check=False)
    assert len(os.listdir(tmp_path)) == 1
    (tmp_path / ".x.otherhost-4026531836-1.tmp.txt").write_text("of a job elsewhere")
    (tmp_path / ".mine.tmp.txt").write_text("of the user")
    write_text(tmp_path / "y.txt", "whole")
    assert sorted(os.listdir(tmp_path)) == [".mine.tmp.txt", ".x.otherhost-4026531836-1.tmp.txt", "y.txt"]
    old = tmp_path / "old"
    old.mkdir()
    for name in (".x.otherhost-4026531836-1.tmp.txt", ".mine.tmp.txt"):
        (old / name).touch()
        os.utime(old / name, (0, 0))
    write_text(old / "y.txt", "whole")
    assert sorted(os.listdir(old)) == [".mine.tmp.txt", "y.txt"]


def test_what_a_killed_job_left_is_removed_while_nobody_asks_for_its_status(tmp_path: Path) -> None:
    """Its number is still taken: by itself (a zombie) or by a later process."""
    die = "from hdnn_nnet.atomic import atomic_path\nimport os, signal, sys\n"
    die += "with atomic_path(sys.argv[1]) as t:\n    t.write_text('half'); print(flush=True); sys.stdin.read()\n"
    words = [sys.executable, "-c", die, str(tmp_path / "x.txt")]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as job:
        assert job.stdout is not None
        job.stdout.readline()
        (left,) = os.listdir(tmp_path)
        for name in ("at work", "killed"):
            (tmp_path / name).mkdir()
            (tmp_path / name / left).write_text("half")
        write_text(tmp_path / "at work/y.txt", "whole")
        assert left in os.listdir(tmp_path / "at work")
        job.kill()
        os.waitid(os.P_PID, job.pid, os.WEXITED | os.WNOWAIT)
        write_text(tmp_path / "killed/y.txt", "whole")
        assert os.listdir(tmp_path / "killed") == ["y.txt"]
    later = tmp_path / "later"
    later.mkdir()
    mine = re.sub(r"\d+-(\d+)\.tmp", rf"{os.getpid()}-\1.tmp", left)
    (later / mine).write_text("of the process that had this one's number")
    write_text(later / "y.txt", "whole")
    assert os.listdir(later) == ["y.txt"]


def test_files_have_the_mode_of_the_umask(tmp_path: Path) -> None:
    """safetensors creates its files for their owner alone; a colleague must be able to read a model."""
    write = "import sys, torch; from hdnn_nnet.nn.tensor_file import save_tensors\n"
    write += "save_tensors({'x': torch.zeros(1)}, sys.argv[1])"
    for umask, mode in ((0o022, 0o644), (0o007, 0o660)):
        path = tmp_path / f"{umask}.safetensors"
        subprocess.run([sys.executable, "-c", write, str(path)], check=True, umask=umask)
        assert stat.S_IMODE(path.stat().st_mode) == mode


def test_a_full_disk_names_the_file() -> None:
    full = Path("/dev/full")
    if not full.exists():
        pytest.skip("/dev/full is not here")
    with pytest.raises(OSError, match="No space left") as stopped:
        write_text(full, "x" * 100_000)
    assert (stopped.value.errno, stopped.value.filename) == (errno.ENOSPC, "/dev/full")


def test_an_error_without_a_name_gets_the_final_one(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="No space left") as stopped, atomic_path(tmp_path / "x.txt"):
        raise OSError(errno.ENOSPC, "No space left on device")
    assert stopped.value.filename == str(tmp_path / "x.txt")
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError, match=r"Not a directory|exists"):
        write_text(tmp_path / "file/x.txt", "")
    assert os.listdir(tmp_path) == ["file"]
    save_tensors({"x": torch.zeros(1)}, tmp_path / "ok.safetensors")
