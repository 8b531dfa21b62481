"""Progress of jobs while they run: the follower of their logs, and the end of a recipe that is stopped."""

import itertools
import os
import pty
import re
import select
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parent.parent
FOLLOW = REPOSITORY / "steps_py/follow.py"
EPOCH = "INFO (hdnn train ce) ITERATION {:02d}: TRAIN AVG.LOSS 1.5, nnet accepted\n"
STEP = "INFO (hdnn train ce) epoch {}: step {} of 200\n"


def until(condition: Callable[[], bool], seconds: float = 10) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_epochs_are_shown_as_they_are_written(tmp_path: Path) -> None:
    log, shown = tmp_path / "train.log", tmp_path / "shown"
    with shown.open("w") as stderr:
        process = subprocess.Popen([FOLLOW, "hdnn-h8l2", log, str(os.getpid())], stderr=stderr)
    time.sleep(0.3)  # the log is not there yet, as with a job that waits in a queue
    with log.open("w") as file:
        file.write("# hdnn train ce\n" + EPOCH.format(1) + EPOCH.format(2)[:30])
        file.flush()
        until(lambda: shown.read_text().count("\n") == 1)
        file.write(EPOCH.format(2)[30:] + "a line that is nobody's business\n" + STEP.format(3, 10))
    until(lambda: shown.read_text().count("\n") == 2)
    log.rename(tmp_path / "train.1.log")  # the job died and is started again
    log.write_text("INFO (hdnn train ce) resuming at epoch 3, step 10\n")
    until(lambda: shown.read_text().count("\n") == 3)
    log.write_text(log.read_text() + EPOCH.format(3))  # at the very end
    process.send_signal(signal.SIGTERM)
    assert process.wait(timeout=10) == 0
    said = [f"hdnn-h8l2: {EPOCH.format(n)[21:-1]}" for n in (1, 2, 3)]
    assert shown.read_text().splitlines() == [*said[:2], "hdnn-h8l2: resuming at epoch 3, step 10", said[2]]


def test_jobs_are_shown_together(tmp_path: Path) -> None:
    """On a terminal: a clock before they tell anything, then the mean of what they tell; 1 of 3 is over, 1 waits."""
    (tmp_path / "tri4a/decode_dev/log").mkdir(parents=True)
    log = tmp_path / "tri4a/decode_dev/log/decode.JOB.log"
    master, slave = pty.openpty()
    environment = os.environ | {"COLUMNS": "100"}
    environment.pop("HDNN_PROGRESS", None)
    command = [str(FOLLOW), "", str(log), str(os.getpid()), "JOB=2:4"]
    process = subprocess.Popen(command, stderr=slave, env=environment)
    output = ""

    def shows(text: str) -> None:
        nonlocal output
        deadline = time.monotonic() + 15
        while text not in output:
            assert time.monotonic() < deadline, output
            if select.select([master], [], [], 0.1)[0]:
                output += os.read(master, 4096).decode()

    shows("tri4a/decode_dev decode: 5 s")
    line = "INFO (hdnn gmm likes) utterances: {} of 40\n"
    (log.parent / "decode.3.log").write_text("# hdnn\n" + line.format(10) + line.format(20) + "a line of 12 of 13\n")
    shows("tri4a/decode_dev decode [###.................] 17%")
    (log.parent / "decode.2.log").write_text("#\n# Accounting: time=3 threads=1\n# Ended (code 0)\n")
    shows("tri4a/decode_dev decode [##########..........] 50%")
    process.terminate()
    assert process.wait(timeout=10) == 0
    os.close(slave)
    os.close(master)


def test_jobs_of_a_step_are_followed(tmp_path: Path) -> None:
    """`submit` follows a launcher, not another step, and not what is followed already; nothing is left behind."""
    (tmp_path / "follow.py").write_text('#!/bin/bash\necho "$1|$2|$4" >> followed\nexec sleep 60\n')
    for name in ("step.sh", "parse_options.sh"):
        (tmp_path / name).write_text((REPOSITORY / "steps_py" / name).read_text())
    (tmp_path / "follow.py").chmod(0o755)
    script = tmp_path / "a.sh"
    script.write_text(
        """#!/usr/bin/env bash
# A step.
# usage: a.sh [options]
cmd="run.py --max-jobs-run 2"
. ./step.sh || exit 1
submit $cmd JOB=1:2 log/x.JOB.log sleep 0.3 \\; true
submit $cmd log/y.log sleep 0.3
submit env sleep 0.1
follow mine log/z.log
submit $cmd log/z.log sleep 0.3
stop_following
submit $cmd log/w.log sleep 0.3
"""
    )
    environment = os.environ | {"PATH": f"{REPOSITORY}/steps_py:{os.environ['PATH']}"}
    subprocess.run(["bash", script], cwd=tmp_path, env=environment, check=True, capture_output=True, timeout=30)
    assert (tmp_path / "followed").read_text().split() == [
        "|log/x.JOB.log|JOB=1:2",
        "|log/y.log|",
        "mine|log/z.log|",
        "|log/w.log|",
    ]


def test_it_ends_with_a_step_that_is_killed(tmp_path: Path) -> None:
    log = tmp_path / "x.log"
    parent = subprocess.Popen(["bash", "-c", f"{FOLLOW} x {log} $$ & echo $!; wait"], stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    follower = int(parent.stdout.readline())
    parent.kill()
    parent.wait()
    until(lambda: not Path(f"/proc/{follower}").exists() or " Z " in Path(f"/proc/{follower}/stat").read_text())
    parent.stdout.close()


def test_a_bar_on_a_terminal_for_all_jobs_side_by_side(tmp_path: Path) -> None:
    master, slave = pty.openpty()
    environment = os.environ | {"HDNN_PROGRESS": str(tmp_path / "progress"), "COLUMNS": "100"}
    (tmp_path / "progress").mkdir()
    for name, step in (("a", 50), ("b", 150)):
        (tmp_path / f"{name}.log").write_text(EPOCH.format(1) + STEP.format(2, step))
    both = [
        subprocess.Popen([FOLLOW, name, tmp_path / f"{name}.log", str(os.getpid())], stderr=slave, env=environment)
        for name in ("a", "b")
    ]
    output = ""
    deadline = time.monotonic() + 10
    while "a epoch 2 [#####...............] 25%  b epoch 2 [###############.....] 75%" not in output:
        assert time.monotonic() < deadline, output
        if select.select([master], [], [], 0.1)[0]:
            output += os.read(master, 4096).decode()
    assert output.count("a: ITERATION 01") == output.count("b: ITERATION 01") == 1
    for process in both:
        process.terminate()
        assert process.wait(timeout=10) == 0
    assert not list((tmp_path / "progress").iterdir())
    os.close(slave)
    os.close(master)


RECIPE = f"""#!/usr/bin/env bash
# A recipe.
# usage: run.sh [options]
# e.g.:  run.sh

stage=0          # {{0..9}} to begin with
stop_stage=9     # {{0..9}} to end with
nothing=         # work of stage 1
. {REPOSITORY}/steps_py/step.sh || exit 1
. {REPOSITORY}/local/recipe.sh
train_jobs=2
plan exp "two stages"
if run_stage 1 "nothing" "$nothing" "no --nothing"; then exit 9; fi
if run_stage 2 "two jobs"; then
  for number in 1 2; do in_background run.py "$number.log" "$JOB"; done
  wait_jobs
  figure "log-likelihood -80"
fi
if run_stage 3 "one step"; then submit ./step.sh; fi
"""
STEP_SCRIPT = f"""#!/usr/bin/env bash
# A step.
# usage: step.sh [options]
. {REPOSITORY}/steps_py/step.sh || exit 1
submit run.py 3.log "$JOB"
"""


def recipe(folder: Path, job: str, *words: str) -> subprocess.Popen[str]:
    for name, text in (("run.sh", RECIPE), ("step.sh", STEP_SCRIPT)):
        (folder / name).write_text(text)
        (folder / name).chmod(0o755)
    path = folder / "run.sh"
    environment = os.environ | {"JOB": job, "PATH": f"{REPOSITORY}/steps_py:{os.environ['PATH']}"}
    return subprocess.Popen(
        [path, *words], cwd=folder, env=environment, stderr=subprocess.PIPE, text=True, start_new_session=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # which the tests' own shell may ignore
    )  # fmt: skip


def test_a_recipe_says_what_it_will_do_and_what_came_of_it(tmp_path: Path) -> None:
    for expected in ("no earlier run to estimate the time from", r"the last run took \d+ s for 2 of these stages"):
        process = recipe(tmp_path, "true")
        _, messages = process.communicate(timeout=30)
        assert process.returncode == 0, messages
        assert re.search(rf"run\.sh: two stages\n{tmp_path}/run\.sh: {expected}\n", messages), messages
        assert "=== stage 1: nothing: nothing to do (no --nothing)\n" in messages
        assert "s: log-likelihood -80\n" in messages
    failed = recipe(tmp_path, "false")
    _, messages = failed.communicate(timeout=30)
    assert failed.returncode == 1
    assert messages.endswith("stage 2 (two jobs) failed; mend it and go on with --stage 2\n")


def test_nothing_is_said_after_a_stopped_recipe_has_ended(tmp_path: Path) -> None:
    """Ctrl-C reaches every process of the terminal, `kill` only one."""
    (tmp_path / "job").write_text("#!/bin/bash\ntrap 'sleep 0.5; echo ended; exit 1' TERM\nsleep 60 & wait\n")
    (tmp_path / "job").chmod(0o755)
    stages = (("2 (two jobs)", ("1.log", "2.log")), ("3 (one step)", ("3.log",)))
    for everybody, (stage, logs) in itertools.product((True, False), stages):
        for log in tmp_path.glob("*.log"):
            log.unlink()
        process = recipe(tmp_path, "./job", "--stage", stage[0])
        until(lambda logs=logs: all((tmp_path / name).exists() for name in logs))  # type: ignore[misc]  # logs=logs
        time.sleep(0.5)
        (os.killpg if everybody else os.kill)(process.pid, signal.SIGINT if everybody else signal.SIGTERM)
        assert process.wait(timeout=20) == 128 + (signal.SIGINT if everybody else signal.SIGTERM)
        for name in logs:
            assert "ended" in (tmp_path / name).read_text()
        assert process.stderr is not None
        assert process.stderr.read().endswith(f"stopped in stage {stage}; go on with --stage {stage[0]}\n")
        process.stderr.close()
