"""kill -9 of all that a step has started, at random moments: the same command again leaves the same files, bit by bit."""

import ctypes
import gzip
import os
import random
import re
import shutil
import signal
import subprocess
import time
import uuid
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import soundfile

from hdnn_nnet.kaldi.script_table import read_scp
from tests.support import fixture_recipe
from tests.support.fixture_recipe import REPOSITORY

KILLS = 3
MARK = "HDNN_TEST_MARK"
PR_SET_CHILD_SUBREAPER = 36  # prctl(2)
#: tell how long something took, or what happened
OMITTED = ("log", "events", "history.json", "history_sequence.json", "checkpoint.safetensors", ".scales")
ONE = "--num-threads 1 --device cpu --checkpoint-minutes 0.0001"
FEW = ("--num-iters", "4", "--max-iter-inc", "2", "--realign-iters", "2", "--nj", "2")
#: step -> its words; OUT is what it writes
STEPS: dict[str, tuple[str, ...]] = {
    "train_ce": ("train_ce.sh", "--network", "hdnn-h16l3", "--splice", "2", "--max-iters", "3", "--train-opts", ONE,
                 "data/train", "data/test", "lang", "exp/ali", "exp/ali_test", "OUT"),
    "train_ce, two processes": ("train_ce.sh", "--num-procs", "2", "--network", "dnn-h16l3", "--splice", "2", "--max-iters", "3",
                                "--train-opts", ONE, "data/train", "data/test", "lang", "exp/ali", "exp/ali_test", "OUT"),
    "train_kd": ("train_kd.sh", "--network", "hdnn-h16l3", "--splice", "2", "--max-iters", "3", "--train-opts", ONE,
                 "data/train", "data/test", "lang", "exp/ali", "exp/ali_test", "exp/hdnn", "OUT"),
    "train_smbr": ("train_smbr.sh", "--num-iters", "3", "--train-opts", ONE, "data/train", "lang", "exp/hdnn", "exp/ali",
                   "exp/denlats", "OUT"),
    "train_mono": ("train_mono.sh", "--nj", "2", "--num-iters", "4", "data/train", "lang", "OUT"),
    "train_deltas": ("train_deltas.sh", *FEW, "20", "40", "data/train", "lang", "exp/ali", "OUT"),
    "train_lda_mllt": ("train_lda_mllt.sh", *FEW, "--dim", "15", "--mllt-iters", "2", "20", "40", "data/train", "lang",
                       "exp/ali", "OUT"),
    "train_sat": ("train_sat.sh", *FEW, "--fmllr-iters", "2", "20", "40", "data/train", "lang", "exp/sat_ali", "OUT"),
    "align": ("align.sh", "--nj", "2", "data/train", "lang", "exp/hdnn", "OUT"),
    "align_si": ("align_si.sh", "--nj", "2", "data/train", "lang", "exp/mono", "OUT"),
    "align_fmllr": ("align_fmllr.sh", "--nj", "2", "data/train", "lang", "exp/sat", "OUT"),
    "make_fmllr_feats": ("make_fmllr_feats.sh", "--nj", "2", "--transform-dir", "exp/sat_ali", "OUT", "data/train", "exp/sat",
                         "OUT/log", "OUT/data"),
    "make_feats": ("make_feats.sh", "--nj", "2", "OUT"),
    "make_soft_labels": ("make_soft_labels.sh", "--nj", "2", "data/train", "exp/hdnn", "OUT"),
    "make_priors": ("make_priors.sh", "--nj", "2", "data/train", "OUT"),
    "make_denlats": ("make_denlats.sh", "--nj", "2", "--max-active", "300", "data/train", "lang", "exp/hdnn", "OUT"),
    "decode": ("decode.sh", "--nj", "2", "--srcdir", "exp/hdnn", "--skip-scoring", "true", "--max-active", "300",
               "--max-missing", "1", "graph", "data/test", "OUT"),
    "decode_fmllr": ("decode_fmllr.sh", "--nj", "2", "--srcdir", "exp/sat", "--skip-scoring", "true", "--first-max-active", "300",
                     "--max-active", "300", "--max-missing", "1", "graph", "data/test", "OUT"),
    "adapt": ("adapt.sh", "--nj", "2", "--labels", "soft", "--device", "cpu", "data/test", "exp/hdnn", "exp/hdnn", "OUT"),
    "mkgraph": ("mkgraph.sh", "--force", "true", "lang", "exp/sat", "OUT"),
}  # fmt: skip


@dataclass
class Recipe:
    """A directory to run steps in, and what a step's output directory begins with."""

    folder: Path

    def start(self, step: str, mark: str) -> subprocess.Popen[str]:
        words = [word.replace("OUT", "out") for word in STEPS[step]]
        command = [
            "bash",
            "-c",
            f'. {REPOSITORY}/path.sh && exec "$@"',
            "bash",
            str(REPOSITORY / "steps_py" / words[0]),
            *words[1:],
        ]
        environment = {key: value for key, value in os.environ.items() if key != "KALDI_ROOT"} | {MARK: mark}
        with open(self.folder / "said", "w") as said:
            return subprocess.Popen(command, cwd=self.folder, env=environment, stdout=said, stderr=said, text=True)

    def run(self, step: str) -> float:
        """To the end; gives the seconds."""
        begin = time.monotonic()
        status = self.start(step, "whole").wait(timeout=300)
        assert status == 0, (self.folder / "said").read_text()
        return time.monotonic() - begin

    def begin(self, step: str) -> None:
        """The output directory as it is before the step."""
        out = self.folder / "out"
        shutil.rmtree(out, ignore_errors=True)
        if step == "make_priors":
            shutil.copytree(self.folder / "exp/hdnn", out)
        if step == "make_feats":
            out.mkdir()
            sound = np.random.default_rng(1)
            for name in ("a", "b", "c", "d"):
                soundfile.write(out / f"{name}.wav", (sound.standard_normal(16000 * 4) * 1000).astype(np.int16), 16000)
            (out / "wav.scp").write_text("".join(f"{n} {out}/{n}.wav\n" for n in "abcd"))
            for name in ("utt2spk", "spk2utt"):
                (out / name).write_text("".join(f"{n} {n}\n" for n in "abcd"))

    def outputs(self, job: int) -> list[Path]:
        """What a job has written for good."""
        return sorted(p for p in (self.folder / "out").glob(f"*.{job}.*") if p.name.startswith(("ali.", "post.")))

    def files(self) -> dict[str, bytes]:
        """Everything in the output directory but what tells times."""
        out = self.folder / "out"
        found = {}
        for path in sorted(out.rglob("*")):
            name = path.relative_to(out)
            if path.is_file() and not set(name.parts) & set(OMITTED):
                data = (
                    re.sub(rb'"seconds": [-+.e0-9]+', b"", path.read_bytes())
                    if path.suffix == ".json"
                    else path.read_bytes()
                )
                found[str(name)] = gzip.decompress(data) if path.suffix == ".gz" else data
        return found


@pytest.fixture(scope="module")
def recipe(
    kaldi_fixture: Path, fmllr_fixture: Path, gmm_fixture: Path, tmp_path_factory: pytest.TempPathFactory
) -> Recipe:
    folder = fixture_recipe.make(kaldi_fixture, tmp_path_factory.mktemp("kills"))
    fixture_recipe.copy_data(kaldi_fixture, folder / "data/test", "test")
    shutil.copytree(gmm_fixture / "lang_phones", folder / "lang/phones", dirs_exist_ok=True)
    for source, target in (
        ("graph", "graph"),
        ("exp/ali", "exp/ali"),
        ("exp/ali_test", "exp/ali_test"),
        ("exp/denlats", "exp/denlats"),
    ):
        shutil.copytree(kaldi_fixture / source, folder / target, copy_function=shutil.copyfile)
    for name in ("final.mdl", "tree"):
        shutil.copyfile(kaldi_fixture / "exp/ali" / name, folder / "exp/ali_test" / name)
    lattices = read_scp(kaldi_fixture / "exp/denlats/lat.scp")
    (folder / "exp/denlats/lat.scp").write_text(
        "".join(f"{u} {kaldi_fixture}/exp/denlats/lat1/{u}.gz\n" for u in lattices)
    )
    (folder / "exp/sat").mkdir()
    for name in ("lda/final.mat", "lda/splice_opts", "lda/cmvn_opts", "lda/tree", "sat/final.mdl", "sat/final.alimdl"):
        shutil.copyfile(fmllr_fixture / name, folder / "exp/sat" / Path(name).name)
    shutil.copyfile(kaldi_fixture / "lang/phones.txt", folder / "exp/sat/phones.txt")
    for path in folder.rglob("*"):
        path.chmod(0o755)
    for words in (
        ("align_fmllr.sh", "--nj", "2", "data/train", "lang", "exp/sat", "exp/sat_ali"),
        ("train_mono.sh", "--nj", "2", "--num-iters", "2", "data/train", "lang", "exp/mono"),
    ):
        done = fixture_recipe.step(folder, *words)
        assert done.returncode == 0, done.stderr
    return Recipe(folder)


@pytest.fixture
def nobody_buries() -> Iterator[None]:
    """What was killed remains as a zombie: in containers, the first process often asks for no orphan's status."""
    prctl = ctypes.CDLL(None).prctl
    prctl(PR_SET_CHILD_SUBREAPER, 1)
    yield
    prctl(PR_SET_CHILD_SUBREAPER, 0)
    with suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass


def kill_all(mark: str) -> int:
    """SIGKILL for every process that has the mark in its environment; gives how many there were."""
    wanted, count = f"{MARK}={mark}".encode(), 0
    for path in Path("/proc").glob("[0-9]*/environ"):
        try:
            if wanted in path.read_bytes().split(b"\0"):
                os.kill(int(path.parent.name), signal.SIGKILL)
                count += 1
        except OSError:
            continue
    return count


def kill_at(recipe: Recipe, step: str, seconds: float) -> bool:
    """Start a step and kill all of it after a while; gives whether it was still at work."""
    mark = uuid.uuid4().hex
    process = recipe.start(step, mark)
    try:
        process.wait(timeout=seconds)
    except subprocess.TimeoutExpired:
        quiet = 0
        while (
            quiet < 3
        ):  # what was started meanwhile, too; one that is being executed shows no environment for a moment
            quiet = 0 if kill_all(mark) else quiet + 1
            time.sleep(0.02)
        process.wait(timeout=30)
    return process.returncode == -signal.SIGKILL


@pytest.mark.slow
@pytest.mark.parametrize("step", ["align", "align_si", "align_fmllr", "make_soft_labels"])
def test_jobs_that_had_ended_are_kept(step: str, recipe: Recipe, monkeypatch: pytest.MonkeyPatch) -> None:
    """The second of two jobs dies: the first is not run again, and the result is that of one run."""
    recipe.begin(step)
    recipe.run(step)
    wanted = recipe.files()
    launcher = recipe.folder / "launcher"
    launcher.write_text(
        "#!/usr/bin/env bash\n"
        f'if [ -e {recipe.folder}/die ] && [[ $1 == JOB=* ]]; then run.py JOB=1:1 "${{@:2}}"; exit 1; fi\n'
        'exec run.py "$@"\n'
    )
    launcher.chmod(0o755)
    monkeypatch.setitem(STEPS, step, (STEPS[step][0], "--cmd", "./launcher", *STEPS[step][1:]))
    recipe.begin(step)
    (recipe.folder / "die").touch()
    assert recipe.start(step, "dies").wait(timeout=300) == 1
    assert "run again: the parts that ended are kept" in (recipe.folder / "said").read_text()
    (recipe.folder / "die").unlink()
    first = {path: path.stat().st_mtime_ns for path in recipe.outputs(1)}
    assert first
    recipe.run(step)
    assert "1 of 2 parts are there from an earlier run" in (recipe.folder / "said").read_text()
    assert {path: path.stat().st_mtime_ns for path in recipe.outputs(1)} == first
    found = recipe.files()
    assert found.keys() == wanted.keys()
    assert [name for name in wanted if found[name] != wanted[name]] == []
    recipe.run(step)
    assert "from an earlier run" not in (recipe.folder / "said").read_text()  # it was whole


@pytest.mark.slow
@pytest.mark.parametrize("step", ["align", "align_si", "align_fmllr"])
def test_killed_behind_what_collects_the_jobs(step: str, recipe: Recipe, monkeypatch: pytest.MonkeyPatch) -> None:
    recipe.begin(step)
    recipe.run(step)
    wanted = recipe.files()
    launcher = recipe.folder / "launcher"
    launcher.write_text('#!/usr/bin/env bash\nrun.py "$@" || exit\n[[ $1 == JOB=* ]] || kill -9 $PPID\n')
    launcher.chmod(0o755)
    recipe.begin(step)
    with monkeypatch.context() as patch:
        patch.setitem(STEPS, step, (STEPS[step][0], "--cmd", "./launcher", *STEPS[step][1:]))
        assert recipe.start(step, "dies").wait(timeout=300) == -signal.SIGKILL
    recipe.run(step)
    assert "2 of 2 parts are there from an earlier run" in (recipe.folder / "said").read_text()
    assert recipe.files() == wanted


@pytest.mark.slow
@pytest.mark.usefixtures("nobody_buries")
@pytest.mark.parametrize("step", STEPS)
def test_killed_steps_end_as_if_nothing_had_been(step: str, recipe: Recipe) -> None:
    recipe.begin(step)
    seconds = recipe.run(step)
    wanted = recipe.files()
    assert wanted
    moments = random.Random(step)
    hits = 0
    for kill in range(KILLS):
        recipe.begin(step)
        hits += kill_at(recipe, step, seconds * moments.uniform(0.15, 0.95))
        if kill == 0:  # and once more on the way
            hits += kill_at(recipe, step, seconds * moments.uniform(0.15, 0.95))
        recipe.run(step)
        found = recipe.files()
        assert found.keys() == wanted.keys()
        assert [name for name in wanted if found[name] != wanted[name]] == []
    assert hits
