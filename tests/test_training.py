"""The training program: it learns, repeats itself exactly, resumes exactly, and refuses what does not fit."""

import contextlib
import gzip
import json
import logging
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch

from hdnn_nnet.cli import call
from hdnn_nnet.errors import HdnnError
from hdnn_nnet.feats.reader import FeatureReader
from hdnn_nnet.kaldi.alignments import read_alignments, read_counts, read_pdf_alignments, write_alignments
from hdnn_nnet.kaldi.posteriors import PosteriorWriter, SparsePosteriors
from hdnn_nnet.nn.model_dir import load_model
from hdnn_nnet.nn.prior import log_prior, read_log_prior
from hdnn_nnet.nn.tensor_file import load_tensors
from tests.support.small_task import DIM, PDFS, make, transition_model

SETTINGS = ["--network=hdnn-h16l4", "--splice=2", "--minibatch-size=64", "--learn-rate=0.01", "--max-iters=5"]
SETTINGS += ["--precision=fp32"]


@pytest.fixture(scope="module")
def task(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path, Path]:
    return make(tmp_path_factory.mktemp("task"))


def arguments(task: tuple[Path, Path, Path], directory: Path, *more: str) -> list[str]:
    data_tr, data_cv, ali = task
    return [*SETTINGS, *more, str(data_tr), str(data_cv), str(ali), str(ali), str(directory)]


def weights(directory: Path) -> dict[str, torch.Tensor]:
    return load_tensors(directory / "final.safetensors")


@pytest.fixture(scope="module")
def trained(task: tuple[Path, Path, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("trained") / "model"
    assert call("train ce", arguments(task, directory)) == 0
    return directory


def test_it_learns(trained: Path, task: tuple[Path, Path, Path]) -> None:
    history = json.loads((trained / "history.json").read_text())
    accepted = [e for e in history if e["accepted"]]
    losses = [e["cv_loss"] for e in accepted]
    assert losses == sorted(losses, reverse=True)
    # The stored loss is that of the stored model, recomputed from scratch on whole utterances.
    model = load_model(trained)
    labels = read_pdf_alignments(task[2], transition_model())
    total, frames, correct = 0.0, 0, 0
    with torch.no_grad():
        for utt, features in FeatureReader(task[1]):
            logits = model(torch.from_numpy(features))
            pdfs = torch.from_numpy(labels[utt].astype(np.int64))
            total += float(torch.nn.functional.cross_entropy(logits, pdfs, reduction="sum"))
            correct += int((logits.argmax(1) == pdfs).sum())
            frames += len(pdfs)
    assert total / frames == pytest.approx(losses[-1], abs=1e-4)
    assert correct / frames == pytest.approx(accepted[-1]["cv_accuracy"], abs=1e-3)
    assert correct / frames > 0.8


def test_model_directory_is_what_kaldi_scripts_expect(trained: Path, task: tuple[Path, Path, Path]) -> None:
    for name in ("final.mdl", "ali_train_pdf.counts", "cmvn_opts", "delta_opts", "model.json", "events"):
        assert (trained / name).exists(), name
    counts = np.zeros(PDFS)
    for pdfs in read_pdf_alignments(task[2], transition_model()).values():
        counts += np.bincount(pdfs, minlength=PDFS)
    np.testing.assert_array_equal(read_counts(trained / "ali_train_pdf.counts"), counts + 0.5)


def test_normalisation_is_global(trained: Path, task: tuple[Path, Path, Path]) -> None:
    frames = np.concatenate([f for _, f in FeatureReader(task[0])]).astype(np.float64)
    stored = weights(trained)
    np.testing.assert_allclose(stored["mean"], frames.mean(0), rtol=1e-5)
    np.testing.assert_allclose(stored["inverse_std"], 1 / frames.std(0), rtol=1e-5)


def test_same_seed_same_weights_other_seed_others(trained: Path, task: tuple[Path, Path, Path], tmp_path: Path) -> None:
    call("train ce", arguments(task, tmp_path / "again"))
    call("train ce", arguments(task, tmp_path / "other", "--seed", "1"))
    first, again, other = weights(trained), weights(tmp_path / "again"), weights(tmp_path / "other")
    assert all(torch.equal(first[k], again[k]) for k in first)
    assert not torch.equal(first["weights"], other["weights"])


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM])
def test_stopped_anywhere_and_resumed_gives_identical_weights(
    how: signal.Signals, trained: Path, task: tuple[Path, Path, Path], tmp_path: Path
) -> None:
    directory = tmp_path / "model"
    # A sleep in every step, put in from outside, so that the signal arrives in the middle of an epoch.
    slow = (
        "import time\nfrom hdnn_nnet.train.sgd import Sgd\nstep = Sgd.step\n"
        "def slow(*a):\n    time.sleep(0.05)\n    return step(*a)\nSgd.step = slow\n"
        "import sys\nfrom hdnn_nnet.cli import main\nmain(['train', 'ce', *sys.argv[1:]])\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", slow, *arguments(task, directory)], stderr=subprocess.PIPE, text=True
    )
    deadline = time.monotonic() + 90
    while not (directory / "history.json").exists() and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.05)
    time.sleep(0.3)
    process.send_signal(how)
    _, messages = process.communicate(timeout=60)
    assert process.returncode == (-signal.SIGKILL if how == signal.SIGKILL else 1), messages
    assert not (directory / "final.safetensors").exists()
    if how == signal.SIGTERM:
        assert "run the same command again" in messages
    assert call("train ce", arguments(task, directory)) == 0
    first, resumed = weights(trained), weights(directory)
    assert all(torch.equal(first[k], resumed[k]) for k in first)


@pytest.mark.slow
def test_two_processes_give_the_result_of_one(trained: Path, task: tuple[Path, Path, Path], tmp_path: Path) -> None:
    command = [sys.executable, "-m", "hdnn_nnet", "torchrun", "--nproc_per_node=2"]
    command += ["train", "ce", *arguments(task, tmp_path / "two", "--device", "cpu")]
    done = subprocess.run(
        command, env=os.environ | {"OMP_NUM_THREADS": "1"}, capture_output=True, text=True, timeout=240, check=False
    )
    assert done.returncode == 0, done.stderr[-2000:]
    history = [json.loads((d / "history.json").read_text()) for d in (trained, tmp_path / "two")]
    # The frames are drawn in another order, so the runs are alike, not equal.
    assert history[0][-1]["cv_loss"] == pytest.approx(history[1][-1]["cv_loss"], rel=0.1)


SLOW = """
import sys, time
from hdnn_nnet.train.sgd import Sgd
step = Sgd.step
def slow(*a):
    time.sleep(0.05)
    return step(*a)
Sgd.step = slow
from hdnn_nnet.cli import main
main(['train', 'ce', *sys.argv[1:]])
"""


def processes_of(folder: Path) -> list[int]:
    """Processes with `folder` on their command line."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) != os.getpid():
            with contextlib.suppress(OSError):
                if str(folder).encode() in (entry / "cmdline").read_bytes():
                    found.append(int(entry.name))
    return found


def listening(process: int) -> list[str]:
    """Addresses (hexadecimal, as in /proc/net/tcp) on which a process listens."""
    sockets = set()
    for link in Path(f"/proc/{process}/fd").iterdir():
        with contextlib.suppress(OSError):
            sockets.add(os.readlink(link))
    rows = [line.split() for name in ("tcp", "tcp6") for line in Path("/proc/net", name).read_text().splitlines()[1:]]
    return [row[1].split(":")[0] for row in rows if row[3] == "0A" and f"socket:[{row[9]}]" in sockets]


def test_ranks_of_one_machine_are_private_and_end_with_their_agent(
    task: tuple[Path, Path, Path], tmp_path: Path
) -> None:
    script = tmp_path / "slow.py"
    script.write_text(SLOW)
    command = [sys.executable, "-m", "hdnn_nnet", "torchrun", "--nproc_per_node=2", str(script)]
    command += arguments(task, tmp_path / "two", "--device", "cpu")
    with subprocess.Popen(command, env=os.environ | {"OMP_NUM_THREADS": "1"}, stderr=subprocess.DEVNULL) as agent:
        deadline = time.monotonic() + 90
        while not (tmp_path / "two/history.json").exists() and time.monotonic() < deadline and agent.poll() is None:
            time.sleep(0.1)
        running = processes_of(tmp_path)
        assert len(running) == 3
        # 127.0.0.1 in both families; 0 would be everybody.
        assert {a for p in running for a in listening(p)} <= {"0100007F", "0000000000000000FFFF00000100007F"}
        agent.kill()
    while processes_of(tmp_path) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not processes_of(tmp_path)


def test_a_rank_that_is_killed_is_named(tmp_path: Path) -> None:
    script = tmp_path / "ranks.py"
    script.write_text(
        "import os, signal, time\nif os.environ['RANK'] == '1': os.kill(os.getpid(), signal.SIGKILL)\ntime.sleep(60)\n"
    )
    command = [sys.executable, "-m", "hdnn_nnet", "torchrun", "--nproc_per_node=2", str(script)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 1
    assert "hdnn torchrun: error: rank 1 (process " in done.stderr.splitlines()[-1]
    assert "was killed by SIGKILL" in done.stderr.splitlines()[-1]


@pytest.mark.parametrize("bad", [0, 1])
def test_the_rank_that_fails_is_named_not_one_that_misses_it(tmp_path: Path, bad: int) -> None:
    script = tmp_path / "ranks.py"
    script.write_text(
        "import torch\nfrom hdnn_nnet.cli import leave\nfrom hdnn_nnet.errors import HdnnError\n"
        "from hdnn_nnet.train.distributed import join\n\ndef work():\n    job = join('cpu')\n"
        f"    if job.rank == {bad}:\n        raise HdnnError('no such thing')\n"
        "    job.sum(1.0, device=torch.device('cpu'))\n\nleave(work, 'ranks')\n"
    )
    command = [sys.executable, "-m", "hdnn_nnet", "torchrun", "--nproc_per_node=2", str(script)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 1
    assert "ranks: error: no such thing\n" in done.stderr
    assert f"hdnn torchrun: error: rank {bad} (process " in done.stderr.splitlines()[-1]
    assert "ended with status 1" in done.stderr.splitlines()[-1]
    assert "Traceback" not in done.stderr


def test_gradients_are_summed_over_processes(tmp_path: Path) -> None:
    """Two ranks with half a minibatch each make the step of one process with the whole minibatch."""
    script = tmp_path / "ranks.py"
    script.write_text(
        "import sys, torch\nfrom pathlib import Path\nfrom hdnn_nnet.train.distributed import join\n"
        "job = join('cpu')\nx = torch.nn.Parameter(torch.zeros(3)); y = torch.nn.Parameter(torch.zeros(2, 2))\n"
        "if job.rank == 0:\n    ((x * torch.tensor([1., 2., 3.])).sum() + y.sum()).backward()\n"
        "else:\n    (x * 10).sum().backward()\n"
        "job.sum_gradients([x, y])\n"
        "total = job.sum(job.rank + 1, device=torch.device('cpu'))\n"
        "Path(sys.argv[1], str(job.rank)).write_text(str((x.grad.tolist(), y.grad.tolist(), total)))\n"
    )
    command = [
        sys.executable,
        "-m",
        "hdnn_nnet",
        "torchrun",
        "--standalone",
        "--nproc_per_node=2",
        str(script),
        str(tmp_path),
    ]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    expected = str(([11.0, 12.0, 13.0], [[1.0, 1.0], [1.0, 1.0]], [3.0]))
    assert [(tmp_path / r).read_text() for r in "01"] == [expected, expected]


def refuse(match: str, arguments: list[str]) -> None:
    with pytest.raises(HdnnError, match=match):
        call("train ce", arguments)


def test_changed_settings_do_not_resume(trained: Path, task: tuple[Path, Path, Path], tmp_path: Path) -> None:
    directory = tmp_path / "model"
    shutil.copytree(trained, directory)
    refuse("minibatch_size changed", arguments(task, directory, "--minibatch-size", "32"))


def test_trained_in_two_goes_is_trained_in_one(
    trained: Path, task: tuple[Path, Path, Path], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """More epochs may be asked for later; a training that is over is left as it is, whatever the number."""
    caplog.set_level("INFO")
    directory = tmp_path / "model"
    for epochs in ("1", "3", "5"):
        assert call("train ce", arguments(task, directory, "--max-iters", epochs)) == 0
        assert len(json.loads((directory / "history.json").read_text())) == int(epochs)
    assert all(torch.equal(value, weights(trained)[name]) for name, value in weights(directory).items())
    before = {path: path.stat().st_mtime_ns for path in directory.rglob("*")}
    for epochs in ("5", "2"):
        assert call("train ce", arguments(task, directory, "--max-iters", epochs)) == 0
        assert "already trained: 5 epochs, nothing is left to do" in caplog.text
        caplog.clear()
    assert {path: path.stat().st_mtime_ns for path in directory.rglob("*")} == before
    # A network that was not written after the last checkpoint is written now.
    wanted = (directory / "final.safetensors").read_bytes()
    (directory / "final.safetensors").write_bytes(b"that of the epoch before")
    os.utime(directory / "final.safetensors", (1, 1))
    assert call("train ce", arguments(task, directory)) == 0
    assert (directory / "final.safetensors").read_bytes() == wanted


def test_patience_goes_on_from_epochs_that_are_not_the_best(task: tuple[Path, Path, Path], tmp_path: Path) -> None:
    """The epochs are those of a training that accepts all, the model is the best of them; also where it was stopped."""

    def run(name: str, epochs: int, *more: str) -> list[dict]:
        options = ["--learn-rate", "0.3", "--max-iters", str(epochs), *more]
        assert call("train ce", arguments(task, tmp_path / name, *options)) == 0
        return json.loads((tmp_path / name / "history.json").read_text())

    losses = [epoch["cv_loss"] for epoch in run("every", 9, "--keep-lr-iters", "9")]
    worse = [epoch for epoch in range(1, 9) if losses[epoch] > min(losses[:epoch])]
    assert len(worse) > 1, losses
    epochs = worse[-1] + 1
    losses = losses[:epochs]
    patient = run("patient", epochs, "--halving-patience", "9")
    assert [epoch["cv_loss"] for epoch in patient] == losses
    assert [epoch["accepted"] for epoch in patient] == [loss < min([9.0, *losses[:i]]) for i, loss in enumerate(losses)]
    run("until", losses.index(min(losses)) + 1, "--keep-lr-iters", "9")
    for until in (2, epochs - 1, epochs):
        run("in three goes", until, "--halving-patience", "9")
    for name in ("until", "in three goes"):
        for key, value in weights(tmp_path / "patient").items():
            assert torch.equal(value, weights(tmp_path / name)[key]), (name, key)


def test_damaged_checkpoint(trained: Path, task: tuple[Path, Path, Path], tmp_path: Path) -> None:
    directory = tmp_path / "model"
    shutil.copytree(trained, directory)
    checkpoint = directory / "checkpoint.safetensors"
    checkpoint.write_bytes(checkpoint.read_bytes()[:-50])
    refuse("checkpoint.safetensors is damaged", arguments(task, directory))


def test_alignment_of_another_length(task: tuple[Path, Path, Path], tmp_path: Path) -> None:
    ali = tmp_path / "ali"
    shutil.copytree(task[2], ali)
    write_alignments(ali / "ali.1.gz", {u: a[:-1] for u, a in read_alignments(task[2]).items()})
    refuse("another length.*regenerate features and targets", arguments((task[0], task[1], ali), tmp_path / "model"))


def _text(ids: dict[str, np.ndarray]) -> str:
    return "".join(f"{utt} {' '.join(map(str, row))}\n" for utt, row in ids.items())


#: what became of an alignment: its transition-ids, changed; and what training says
CHANGED = {
    "one frame more": (
        lambda ids: {u: np.append(a, a[-1]) for u, a in ids.items()},
        r"s0-u0 has 67 frames .*68 of tar",
    ),
    "zeros": (lambda ids: {u: 0 * a for u, a in ids.items()}, "utterance s0-u0: transition-ids 0 to 0, but .* 1 to 10"),
    "of another model": (lambda ids: {u: a + 1000 for u, a in ids.items()}, "s0-u0: transition-ids 100.* 1 to 10"),
    "pdf-ids": (lambda ids: {u: (a - 1) // 2 for u, a in ids.items()}, "transition-ids 0 to 4, but the model has 1"),
}


@pytest.mark.parametrize("name", CHANGED)
def test_alignments_that_do_not_fit(task: tuple[Path, Path, Path], tmp_path: Path, name: str) -> None:
    change, message = CHANGED[name]
    ali = tmp_path / "ali"
    shutil.copytree(task[2], ali)
    write_alignments(ali / "ali.1.gz", change(read_alignments(task[2])))
    refuse(message, arguments((task[0], task[1], ali), tmp_path / "model"))


def test_posteriors_are_no_alignments(task: tuple[Path, Path, Path], tmp_path: Path) -> None:
    ali = tmp_path / "ali"
    shutil.copytree(task[2], ali)
    with PosteriorWriter(f"ark:| gzip -c > {ali}/ali.1.gz") as writer:
        for utt, row in read_alignments(task[2]).items():
            writer.write_posteriors(utt, SparsePosteriors(np.arange(len(row) + 1), row, np.ones(len(row), np.float32)))
    refuse(r"ali\.1\.gz.*s0-u0", arguments((task[0], task[1], ali), tmp_path / "model"))


def test_alignments_in_text_and_a_short_one(task: tuple[Path, Path, Path], tmp_path: Path, caplog) -> None:
    """In text they give the same model; one of twenty utterances that lacks a frame is left out and named."""
    ids = read_alignments(task[2])
    texts = {"binary": None, "text": _text(ids), "short": _text(ids | {"s1-u2": ids["s1-u2"][:-1]})}
    models = {}
    for name, text in texts.items():
        ali = tmp_path / name
        shutil.copytree(task[2], ali)
        if text is not None:
            (ali / "ali.1.gz").write_bytes(gzip.compress(text.encode()))
        caplog.clear()
        caplog.set_level(logging.WARNING)
        call("train ce", arguments((task[0], task[1], ali), tmp_path / f"model-{name}", "--max-iters=1"))
        assert ("19 of 20 utterances usable; 1 of another length, s1-u2 has" in caplog.text) == (name == "short")
        models[name] = weights(tmp_path / f"model-{name}")
    for key, value in models["binary"].items():
        assert torch.equal(value, models["text"][key])
    assert not all(torch.equal(value, models["short"][key]) for key, value in models["binary"].items())


def test_missing_alignments_beyond_a_tenth(task: tuple[Path, Path, Path], tmp_path: Path) -> None:
    ali = tmp_path / "ali"
    shutil.copytree(task[2], ali)
    write_alignments(ali / "ali.1.gz", [(u, a) for u, a in read_alignments(task[2]).items() if "u1" not in u])
    refuse("missing", arguments((task[0], task[1], ali), tmp_path / "model"))


def test_common_utterances_in_train_and_cv(task: tuple[Path, Path, Path], tmp_path: Path) -> None:
    refuse("in both", arguments((task[0], task[0], task[2]), tmp_path / "model"))


def test_missing_model(task: tuple[Path, Path, Path], tmp_path: Path) -> None:
    ali = tmp_path / "ali"
    shutil.copytree(task[2], ali)
    (ali / "final.mdl").unlink()
    refuse("final.mdl", arguments((task[0], task[1], ali), tmp_path / "model"))


def test_prior_as_in_kaldi() -> None:
    """The rule of Kaldi's PdfPrior, computed here in plain numbers."""
    counts = np.array([90.0, 10.0, 0.0, 1e-9])
    result = log_prior(counts)
    assert result.dtype == np.float32
    total = counts.sum()
    np.testing.assert_allclose(result[:2], np.log(counts[:2] / total + 1e-20), rtol=1e-6)
    assert result[2] == result[3] == pytest.approx(np.sqrt(3.4028235e38))
    assert np.isfinite(-result).all()


def test_prior_of_another_tree(trained: Path) -> None:
    with pytest.raises(HdnnError, match=f"has {PDFS} pdfs but the network has {DIM}"):
        read_log_prior(trained / "ali_train_pdf.counts", DIM)


def test_new_alignments_under_an_old_name_are_noticed_and_nothing_is_touched(
    task: tuple[Path, Path, Path], tmp_path: Path
) -> None:
    """Otherwise the old weights would be decoded with the new priors and transition model."""
    ali, directory = tmp_path / "ali", tmp_path / "model"
    shutil.copytree(task[2], ali)
    changed = (task[0], task[1], ali)
    call("train ce", arguments(changed, directory))
    before = {p.name: p.read_bytes() for p in directory.iterdir() if p.is_file()}
    write_alignments(ali / "ali.1.gz", {u: a[::-1] for u, a in read_alignments(task[2]).items()})
    refuse("train utterances and alignment.* changed", arguments(changed, directory))
    refuse("delta_opts", arguments(task, directory, "--delta-opts=--delta-order=0"))
    assert {p.name: p.read_bytes() for p in directory.iterdir() if p.is_file()} == before


def test_wrong_frame_counts_are_found(task: tuple[Path, Path, Path], tmp_path: Path) -> None:
    data = tmp_path / "data"
    shutil.copytree(task[0], data)
    lengths = {u: len(f) for u, f in FeatureReader(task[0])}
    utt = next(iter(lengths))
    lengths[utt] += 1
    (data / "utt2num_frames").write_text("".join(f"{u} {n}\n" for u, n in lengths.items()))
    ali = tmp_path / "ali"
    shutil.copytree(task[2], ali)
    longer = {u: np.append(a, a[-1]) if u == utt else a for u, a in read_alignments(task[2]).items()}
    write_alignments(ali / "ali.1.gz", longer)
    refuse(f"{utt}: .* frames announced", arguments((data, task[1], ali), tmp_path / "model"))
