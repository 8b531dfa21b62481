"""Jobs of the recipe through Kaldi's queue.pl on a real GridEngine and slurm.pl on a real Slurm, both of this test's own."""

import os
import re
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import soundfile
from safetensors.numpy import load_file

from tests.support import small_task
from tests.support.schedulers import GridEngine, Scheduler, Slurm

REPOSITORY = Path(__file__).resolve().parent.parent
pytestmark = [pytest.mark.kaldi, pytest.mark.slow]
LAUNCHERS = {"GridEngine": "queue.pl", "Slurm": "slurm.pl"}


@pytest.fixture(scope="module", params=[GridEngine, Slurm], ids=list(LAUNCHERS))
def scheduler(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scheduler]:
    folder = tmp_path_factory.mktemp("scheduler")
    for parent in (folder, *folder.parents[:2]):  # munge wants a path that others can search
        parent.chmod(parent.stat().st_mode | 0o055)
    with request.param(folder) as running:
        yield running


@pytest.fixture
def launcher(scheduler: Scheduler) -> str:
    return LAUNCHERS[type(scheduler).__name__]


@pytest.fixture
def recipe(tmp_path: Path, kaldi_root: Path) -> Path:
    """A recipe directory with a data directory of four short recordings and the small classification task."""
    for name in ("local", "steps_py", "path.sh"):
        (tmp_path / name).symlink_to(REPOSITORY / name)
    shutil.copytree(REPOSITORY / "egs/ami/s5/conf", tmp_path / "conf")
    (tmp_path / "utils").symlink_to(kaldi_root / "egs/wsj/s5/utils")
    data = tmp_path / "data"
    data.mkdir()
    generator = np.random.default_rng(1)
    names = [f"s{speaker}-u{number}" for speaker in (1, 2) for number in (1, 2)]
    for name in names:
        soundfile.write(data / f"{name}.wav", generator.standard_normal(16000) * 0.1, 16000)
    (data / "wav.scp").write_text("".join(f"{name} {data}/{name}.wav\n" for name in names))
    (data / "utt2spk").write_text("".join(f"{name} {name[:2]}\n" for name in names))
    (data / "spk2utt").write_text("s1 s1-u1 s1-u2\ns2 s2-u1 s2-u2\n")
    (tmp_path / "lang").mkdir()
    (tmp_path / "lang/phones.txt").write_text("<eps> 0\n")
    return tmp_path


def command(recipe: Path, scheduler: Scheduler | None, *words: str, kaldi_root: Path) -> subprocess.Popen[str]:
    """A step in the recipe's environment, as a user starts it."""
    environment = os.environ | (scheduler.environment if scheduler else {})
    environment |= {"KALDI_ROOT": str(kaldi_root), "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(
        ["bash", "-c", '. ./path.sh && "$@"', "bash", *words], cwd=recipe, env=environment, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip


def finish(process: subprocess.Popen[str], seconds: float = 300) -> str:
    """Output of a step that must succeed."""
    output = process.communicate(timeout=seconds)[0]
    assert process.returncode == 0, output
    return output


def test_array_jobs(recipe: Path, scheduler: Scheduler, launcher: str, kaldi_root: Path) -> None:
    """Features by two jobs of an array are those of one job on this machine."""
    finish(
        command(
            recipe, scheduler, "steps_py/make_feats.sh", "--cmd", launcher, "--nj", "2", "data", kaldi_root=kaldi_root
        )
    )
    log = (recipe / "data/log").glob("make_mfcc_*.1.log")
    assert "with status 0" in next(log).read_text()
    queued = [p.read_bytes() for p in sorted((recipe / "data/data").glob("*.ark"))]
    finish(
        command(recipe, None, "steps_py/make_feats.sh", "--cmd", "run.py", "--nj", "2", "data", kaldi_root=kaldi_root)
    )
    assert [p.read_bytes() for p in sorted((recipe / "data/data").glob("*.ark"))] == queued
    assert len(queued) >= 3


def test_a_job_that_fails_fails_the_step(recipe: Path, scheduler: Scheduler, launcher: str, kaldi_root: Path) -> None:
    (recipe / "data/s2-u1.wav").write_bytes(b"no sound")
    process = command(
        recipe, scheduler, "steps_py/make_feats.sh", "--cmd", launcher, "--nj", "2", "data", kaldi_root=kaldi_root
    )
    output = process.communicate(timeout=300)[0]
    assert process.returncode == 1
    assert "1 / 2 failed" in output
    assert "s2-u1.wav" in next((recipe / "data/log").glob("make_mfcc_*.2.log")).read_text()
    assert not (recipe / "data/feats.scp").exists()


def train(recipe: Path, cmd: str, directory: str, *options: str) -> list[str]:
    return [
        "steps_py/train_ce.sh", "--cmd", cmd, "--network", "hdnn-h16l2", "--splice", "1", "--device", "cpu", "--max-iters", "3",
        *options, "data_tr", "data_cv", "lang", "ali", "ali", directory,
    ]  # fmt: skip


def weights(directory: Path) -> np.ndarray:
    tensors = load_file(str(directory / "final.safetensors"))
    return np.concatenate([tensors[name].ravel() for name in sorted(tensors)])


def test_torchrun_job(recipe: Path, scheduler: Scheduler, launcher: str, kaldi_root: Path) -> None:
    """Two processes in one job: on Slurm one on each of two nodes; the result is that of two processes here."""
    small_task.make(recipe)
    cmd, procs = (f"{launcher} --num-nodes 2", "1") if launcher == "slurm.pl" else (f"{launcher} --num-threads 2", "2")
    finish(command(recipe, scheduler, *train(recipe, cmd, "queued", "--num-procs", procs), kaldi_root=kaldi_root))
    finish(command(recipe, None, *train(recipe, "run.py", "here", "--num-procs", "2"), kaldi_root=kaldi_root))
    np.testing.assert_array_equal(weights(recipe / "queued"), weights(recipe / "here"))
    log = (recipe / "queued/log/train.log").read_text()
    if launcher == "slurm.pl":
        assert "2 hosts of slurm: n1 n2" in log


def python_of(directory: Path) -> int | None:
    """Process id of the training program that writes to `directory` with a checkpoint there."""
    if not (directory / "checkpoint.safetensors").exists():
        return None
    for entry in Path("/proc").iterdir():
        try:
            words = (entry / "cmdline").read_bytes().split(b"\0")
            here = os.readlink(entry / "cwd") if entry.name.isdigit() else ""
        except OSError:
            continue
        if (
            b"python" in words[0]
            and {b"train", b"ce", directory.name.encode()} <= set(words)
            and here == str(directory.parent)
        ):
            return int(entry.name)
    return None


def test_a_training_that_is_killed_goes_on(recipe: Path, scheduler: Scheduler, launcher: str, kaldi_root: Path) -> None:
    small_task.make(recipe, speakers=12, utterances=60)
    often = ("--train-opts", "--checkpoint-minutes 0.0001")
    finish(command(recipe, None, *train(recipe, "run.py", "here", *often), kaldi_root=kaldi_root))
    process = command(recipe, scheduler, *train(recipe, launcher, "queued", *often), kaldi_root=kaldi_root)
    deadline = time.monotonic() + 120
    while (pid := python_of(recipe / "queued")) is None:
        assert time.monotonic() < deadline
        assert process.poll() is None
        time.sleep(0.01)
    os.kill(pid, signal.SIGKILL)
    output = finish(process)
    assert "started again from its checkpoint (1 of at most 3 times)" in output
    assert "resuming at epoch" in (recipe / "queued/log/train.log").read_text()
    np.testing.assert_array_equal(weights(recipe / "queued"), weights(recipe / "here"))


def test_the_end_of_the_time_is_a_clear_error(
    recipe: Path, scheduler: Scheduler, launcher: str, kaldi_root: Path
) -> None:
    """A limit that the scheduler enforces by killing all of the job."""
    words = [launcher, "--time", "0:0:4" if launcher == "queue.pl" else "0:0:1", "JOB=1:2", "log/x.JOB.log"]
    process = command(recipe, scheduler, *words, "sleep", "$[JOB*150-149]", kaldi_root=kaldi_root)
    output = process.communicate(timeout=400)[0]
    assert process.returncode == 1
    assert re.search("Exceeded time limit", output)
    assert "x.2.log" in output
    assert "status 0" in (recipe / "log/x.1.log").read_text()


def test_a_node_that_goes_down_costs_time_only(
    recipe: Path, scheduler: Scheduler, launcher: str, kaldi_root: Path
) -> None:
    if launcher != "slurm.pl":
        pytest.skip("one node only")
    process = command(recipe, scheduler, launcher, "JOB=1:4", "log/x.JOB.log", "sleep", "8", kaldi_root=kaldi_root)
    scheduler.wait_until(lambda: "n2" in scheduler.run("squeue", "-h", "-t", "R", "-o", "%N"))
    scheduler.run("scontrol", "update", "NodeName=n2", "State=DOWN", "Reason=test")
    finish(process)
    logs = [(recipe / f"log/x.{job}.log").read_text() for job in range(1, 5)]
    assert all("status 0" in log for log in logs)
