"""The face for Python users: what docs/python.md shows runs, and costs nothing until it is used."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import hdnn_nnet
from hdnn_nnet.cli import call
from tests.support import fixture_recipe, small_task, tone_task
from tests.support.fixture_recipe import REPOSITORY

SECTIONS = dict(
    re.findall(r"^## (.*?)$.*?^```python\n(.*?)^```", (REPOSITORY / "docs/python.md").read_text(), re.M | re.S)
)


@pytest.fixture(scope="module")
def kaldi_folder(kaldi_fixture: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Directories as the page names them, of files that Kaldi wrote; the network is one of ours."""
    folder = fixture_recipe.make(kaldi_fixture, tmp_path_factory.mktemp("api"))
    shutil.copytree(folder / "data/train", folder / "data/dev")
    (folder / "exp/ali").symlink_to(kaldi_fixture / "exp/ali")
    (folder / "exp/hdnn/decode_dev").symlink_to(kaldi_fixture / "exp/decode")
    (folder / "exp/denlats").mkdir()
    lines = (kaldi_fixture / "exp/denlats/lat.scp").read_text()  # each is a pipe: gunzip -c exp/denlats/...
    (folder / "exp/denlats/lat.scp").write_text(lines.replace(" exp/", f" {kaldi_fixture}/exp/"))
    return folder


def run(title: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> dict:
    monkeypatch.chdir(folder)
    names: dict = {}
    exec(compile(SECTIONS[title], title, "exec"), names)
    return names


@pytest.mark.parametrize(
    "title",
    [
        t
        for t in SECTIONS
        if t not in ("Soft labels", "The recogniser", "sMBR on Kaldi lattices, for any PyTorch model")
    ],
)
def test_sections_run(title: str, kaldi_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run(title, kaldi_folder, monkeypatch)


def test_results_are_those_of_the_commands(kaldi_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run("Its log-likelihoods", kaldi_folder, monkeypatch)
    assert call("forward", ["exp/hdnn", "data/dev", "ark,scp:again.ark,again.scp"]) == 0
    assert Path("again.ark").read_bytes() == Path("loglikes.ark").read_bytes()
    names = run("sMBR on Kaldi lattices, for any PyTorch model", kaldi_folder, monkeypatch)
    gradient = names["loglikes"].grad
    assert abs(gradient.sum(1)).max() < 1e-5  # rows of Kaldi's gradient sum to 0
    assert gradient.abs().sum() > 0


def test_soft_labels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data, cv, ali = (str(path) for path in small_task.make(tmp_path))
    teacher = str(tmp_path / "exp/teacher")
    network = ["--network=dnn-h8l1", "--splice=0", "--max-iters=1", "--precision=fp32"]
    assert call("train ce", [*network, data, cv, ali, ali, teacher]) == 0
    soft = f"{teacher}/soft"
    wspecifier = f"ark,scp:{soft}/post.1.ark,{soft}/post.1.scp"
    assert call("soft-labels", [f"--stats={soft}/stats.1.json", teacher, data, wspecifier]) == 0
    assert call("collect soft-labels", ["1", data, soft]) == 0
    run("Soft labels", tmp_path, monkeypatch)


def test_recogniser(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture) -> None:
    model, graph, data = tone_task.make(tmp_path / "task")
    (tmp_path / "exp").mkdir()
    shutil.move(model, tmp_path / "exp/hdnn")
    shutil.move(graph, tmp_path / "exp/graph")
    shutil.copyfile(data / "u0.wav", tmp_path / "recording.wav")
    run("The recogniser", tmp_path, monkeypatch)
    words = (data / "text").read_text().splitlines()[0].split(" ", 1)[1]
    assert capsys.readouterr().out == f"{words}\n"


def test_every_name_is_there_and_imported_when_used() -> None:
    for name in hdnn_nnet.__all__:
        assert getattr(hdnn_nnet, name) is not None
    program = "import sys, hdnn_nnet; dir(hdnn_nnet); print('torch' in sys.modules, 'numpy' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, cwd=REPOSITORY)
    assert done.stdout == "False False\n"
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        hdnn_nnet.nothing  # noqa: B018  # the access is what is tested
