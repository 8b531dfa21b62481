"""Steps that are started twice, told to end, or killed."""

import fcntl
import os
import re
import signal
import subprocess
import time
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parent.parent
STEP = f"""#!/bin/bash
# usage: step.sh [options] <dir>
cmd="python3 {REPOSITORY}/steps_py/run.py"
. {REPOSITORY}/steps_py/step.sh || exit 1
lock_output "$1"
submit $cmd JOB=1:2 "$1/log/x.JOB.log" bash {{}}/job.sh JOB \\| cat
"""
JOB = "trap 'sleep 0.2; touch ended.$1; exit 1' TERM\necho $$ > pid.tmp.$1; mv pid.tmp.$1 pid.$1; sleep 60 & wait\n"
#: a step that calls another one on the same directory, as decode.sh calls score.sh, and one that is no step, as run.sh
OUTER = f"""#!/bin/bash
# usage: outer.sh [options] <dir>
. {REPOSITORY}/steps_py/step.sh || exit 1
lock_output "$1"
submit ./step.sh "$1"
"""
SCRIPT = '#!/bin/bash\nexport HDNN_STEPS="${HDNN_STEPS:-} $$"\n./step.sh "$1"\n'


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    texts = {"step.sh": STEP.replace("{}", str(tmp_path)), "outer.sh": OUTER, "script.sh": SCRIPT, "job.sh": JOB}
    for name, text in texts.items():
        (tmp_path / name).write_text(text)
        (tmp_path / name).chmod(0o755)
    return tmp_path


def heard_signals() -> None:
    """As from a terminal: what runs these tests may ignore signals (nohup, a job in the background), and bash then does too."""
    for number in (signal.SIGHUP, signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_DFL)


def start(folder: Path, name: str) -> subprocess.Popen[str]:
    """The step as a process, when its two jobs are running."""
    step = subprocess.Popen(
        [f"./{name}", "out"], cwd=folder, stderr=subprocess.PIPE, text=True, preexec_fn=heard_signals
    )
    wait_for(lambda: all((folder / f"pid.{job}").exists() for job in (1, 2)))
    return step


def wait_for(condition) -> None:
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def is_running(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


def jobs(folder: Path) -> list[int]:
    return [int((folder / f"pid.{job}").read_text()) for job in (1, 2)]


def test_locks_of_killed_commands_are_removed(folder: Path) -> None:
    """A command that is ended by a signal leaves the file of its lock, which means nothing; one that is held stays."""
    with start(folder, "step.sh") as step, open(folder / "out/.held.lock", "w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        (folder / "out/deep").mkdir()
        for name in (".lock", "deep/.lock", "deep/.lock.3", "deep/.raw_fbank.1.lock"):
            (folder / "out" / name).touch()
        step.terminate()
        step.communicate(timeout=30)
        assert [path.name for path in (folder / "out").rglob(".*")] == [".held.lock"]


@pytest.mark.parametrize("name", ["step.sh", "outer.sh"])
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT])
def test_a_step_that_is_told_to_end_ends_its_jobs(folder: Path, name: str, number: signal.Signals) -> None:
    with start(folder, name) as step:
        step.send_signal(number)
        _, errors = step.communicate(timeout=30)
    assert step.returncode == 128 + number
    assert f"{name}: stopped by {number.name}; its jobs were ended" in errors
    assert [is_running(pid) for pid in jobs(folder)] == [False, False]
    assert [(folder / f"ended.{job}").exists() for job in (1, 2)] == [True, True]
    assert os.listdir(folder / "out") == ["log"]


@pytest.mark.parametrize(("name", "number"), [("step.sh", 9), ("outer.sh", 9), ("script.sh", 9), ("script.sh", 15)])
def test_jobs_end_with_what_started_them_however_it_ends(folder: Path, name: str, number: int) -> None:
    with start(folder, name) as step:
        step.send_signal(number)
        step.communicate(timeout=30)
        wait_for(lambda: not any(map(is_running, jobs(folder))))
    assert step.returncode == -number
    wait_for(lambda: all((folder / f"ended.{job}").exists() for job in (1, 2)))


def test_a_second_run_is_told_who_holds_the_directory(folder: Path) -> None:
    with start(folder, "step.sh") as step:
        second = subprocess.run(["./outer.sh", "out"], cwd=folder, capture_output=True, text=True, check=False)
        step.send_signal(signal.SIGKILL)
        assert second.returncode == 1
        assert re.search(
            rf"\nouter.sh: out is being written by step.sh, process {step.pid} on \S+, since", second.stderr
        )
        step.communicate(timeout=30)
    wait_for(lambda: not any(map(is_running, jobs(folder))))
    (folder / "job.sh").write_text("exit 0")
    wait_for(
        lambda: subprocess.run(["./outer.sh", "out"], cwd=folder, capture_output=True, check=False).returncode == 0
    )
    assert os.listdir(folder / "out") == ["log"]


def test_jobs_that_outlive_their_launcher_hold_the_directory(folder: Path) -> None:
    """Whatever they run: these are bash and sleep."""
    with start(folder, "step.sh") as step:
        for launcher in Path(f"/proc/{step.pid}/task/{step.pid}/children").read_text().split():
            os.kill(int(launcher), signal.SIGKILL)
        step.communicate(timeout=30)
    assert step.returncode != 0
    assert [is_running(pid) for pid in jobs(folder)] == [True, True]
    second = subprocess.run(["./outer.sh", "out"], cwd=folder, capture_output=True, text=True, check=False)
    assert second.returncode == 1
    assert f"out is being written by step.sh, process {step.pid} on" in second.stderr
    assert "wait until it and its jobs have ended" in second.stderr
    for pid in jobs(folder):
        os.killpg(os.getpgid(pid), signal.SIGKILL)
    (folder / "job.sh").write_text("exit 0")
    wait_for(
        lambda: subprocess.run(["./outer.sh", "out"], cwd=folder, capture_output=True, check=False).returncode == 0
    )
    assert os.listdir(folder / "out") == ["log"]


@pytest.mark.parametrize("status", [0, 1])
def test_no_lock_is_left_however_a_step_ends(folder: Path, status: int) -> None:
    (folder / "job.sh").write_text("exit 0")
    with open(folder / "step.sh", "a") as step:
        step.write(f"if [ {status} -ne 0 ]; then fail 'no'; fi\n")
    done = subprocess.run(["./outer.sh", "out"], cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == status, done.stderr
    assert os.listdir(folder / "out") == ["log"]


def test_every_step_locks_what_it_writes_before_it_removes_anything() -> None:
    for path in [*REPOSITORY.glob("steps_py/*.sh"), *REPOSITORY.glob("local/*.sh")]:
        text = path.read_text()
        if "\n# usage: " not in text or path.name in ("step.sh", "gmm_wer.sh"):  # which writes by other steps only
            continue
        assert re.search(r"\block_output\b|\btrain_job\b|\bgmm_job\b|\bsame_settings\b", text), path
        assert not re.search(r"^\s*rm -r?f.*\n(.*\n)*?\s*lock_output", text, re.MULTILINE) or path.name in (
            "decode_fmllr.sh",  # its second directory
        ), path
        assert not re.search(r"^\s*\$cmd ", text, re.MULTILINE), f"{path}: submit $cmd"
