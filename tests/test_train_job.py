"""Training jobs that die: started again while they make progress, an error otherwise. The launcher is a stand-in."""

import os
import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parent.parent
# Fails `failures` times with `status`, each time leaving a newer checkpoint if `progress` is true.
LAUNCHER = """#!/bin/bash
calls=$(($(cat calls 2> /dev/null || echo 0) + 1))
echo $calls > calls
echo "$*" > command
mkdir -p "$(dirname "$LOG")"
echo "attempt $calls" > "$LOG"
if [ "$calls" -le "$FAILURES" ]; then
  if [ "$PROGRESS" = true ]; then echo $calls > model/checkpoint.safetensors; fi
  exit "$STATUS"
fi
"""


STEP = f"""#!/bin/bash
# usage: step.sh [options] <exp-dir>
program="train ce"
. {REPOSITORY}/steps_py/train_job.sh || exit 1
train_job "$1" train ce "${{program_options[@]}}" "$1"
"""


def train(
    folder: Path,
    failures: int,
    status: int = 1,
    progress: bool = True,
    cmd: str = "",
    options: Sequence[str] = (),
    launcher: str = LAUNCHER,
) -> tuple[int, int, str]:
    """Status of the step, number of jobs, messages."""
    program = folder / "launch"
    program.write_text(launcher)
    program.chmod(0o755)
    step = folder / "step.sh"
    step.write_text(STEP)
    (folder / "model").mkdir(exist_ok=True)
    (folder / "calls").unlink(missing_ok=True)
    environment = {"FAILURES": str(failures), "STATUS": str(status), "PROGRESS": str(progress).lower()}
    environment |= {"LOG": "model/log/train.log"}
    done = subprocess.run(
        ["bash", step, "--cmd", f"./launch{cmd}", *options, "model"], cwd=folder, env=os.environ | environment,
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    return done.returncode, int((folder / "calls").read_text()), done.stderr


def test_a_job_that_died_is_started_again(tmp_path: Path) -> None:
    status, jobs, messages = train(tmp_path, failures=2)
    assert (status, jobs) == (0, 3)
    assert "started again from its checkpoint (2 of at most 3 times)" in messages
    logs = {path.name: path.read_text() for path in (tmp_path / "model/log").iterdir()}
    assert logs == {"train.1.log": "attempt 1\n", "train.2.log": "attempt 2\n", "train.log": "attempt 3\n"}
    assert train(tmp_path, failures=0)[:2] == (0, 1)
    # A later job takes no earlier log away.
    assert sorted(path.name for path in (tmp_path / "model/log").iterdir()) == [
        *(f"train.{number}.log" for number in (1, 2, 3)), "train.log",
    ]  # fmt: skip


def test_a_job_with_nothing_to_do_leaves_the_log_of_the_training(tmp_path: Path) -> None:
    logs = tmp_path / "model/log"
    logs.mkdir(parents=True)
    for said, kept in (("done: cross-validation loss 1", "done"), ("error: another set-up", "already")):
        (logs / "train.log").write_text(f"INFO (hdnn train ce) {said}\n")
        launcher = LAUNCHER.replace(
            'echo "attempt $calls" >',
            'sleep 0.5; echo "INFO (hdnn train ce) already trained: 3 epochs, nothing is left" >',
        )
        status, _, messages = train(tmp_path, failures=0, launcher=launcher)
        assert status == 0
        assert "model: already trained: 3 epochs" in messages
        assert kept in (logs / "train.log").read_text()
    assert "another set-up" in (logs / "train.1.log").read_text()


@pytest.mark.parametrize(
    ("case", "jobs"),
    [({"failures": 9}, 4), ({"failures": 1, "progress": False}, 1), ({"failures": 1, "status": 143}, 1)],
    ids=["always", "without progress", "launcher stopped"],
)
def test_when_it_is_an_error(tmp_path: Path, case: dict, jobs: int) -> None:
    status, count, messages = train(tmp_path, **case)
    assert (status, count) == (1, jobs)
    said = "was stopped; the same command goes on from its last checkpoint" if case.get("status") else "failed"
    assert f"training {said}; see model/log/train.log" in messages


def test_several_machines_go_through_torchrun(tmp_path: Path) -> None:
    train(tmp_path, 0, options=["--splice", "3", "--train-opts", "--min-iters 2"])
    program = "train ce --splice=3 --min-iters 2 model || exit 1\n"
    assert (tmp_path / "command").read_text() == f"model/log/train.log hdnn {program}"
    train(tmp_path, 0, cmd=" --num-nodes 2", options=["--splice", "3", "--train-opts", "--min-iters 2"])
    torchrun = f"--num-nodes 2 model/log/train.log hdnn torchrun --nproc_per_node=1 {program}"
    assert (tmp_path / "command").read_text() == torchrun
    train(tmp_path, 0, options=["--num-procs", "2"])
    assert " hdnn torchrun --nproc_per_node=2 train ce model " in (tmp_path / "command").read_text()
