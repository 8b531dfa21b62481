"""Loss and frame accuracy on an alignment: against nnet-train-frmshuff's own figures and against numpy."""

import re
import shutil
from pathlib import Path

import numpy as np
import pytest

from hdnn_nnet.cli import call
from hdnn_nnet.errors import HdnnError
from hdnn_nnet.kaldi.alignments import read_alignments
from hdnn_nnet.kaldi.tables import read_matrices
from hdnn_nnet.kaldi.transitions import TransitionModel
from tests.support import fixture_recipe


@pytest.fixture(scope="module")
def recipe(kaldi_fixture: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = fixture_recipe.make(kaldi_fixture, tmp_path_factory.mktemp("frames"))
    shutil.copytree(kaldi_fixture / "exp/ali", folder / "exp/ali")
    return folder


def figures(line: str) -> list[float]:
    """Frames, loss, frame accuracy and entropy."""
    return [float(number) for number in re.findall(r"-?\d+(?:\.\d+)?", line)]


@pytest.mark.parametrize("part", ["train", "test"])
def test_kaldis_figures(
    kaldi_fixture: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], part: str
) -> None:
    ali = tmp_path / "ali"
    shutil.copytree(kaldi_fixture / ("exp/ali_test" if part == "test" else "exp/ali"), ali)
    shutil.copy(kaldi_fixture / "exp/ali/final.mdl", ali / "final.mdl")
    monkeypatch.chdir(kaldi_fixture)
    assert call("cross-validate", ["exp/nnet", f"data/{part}", str(ali)]) == 0
    (line,) = capsys.readouterr().out.splitlines()
    text = (kaldi_fixture / f"exp/nnet/crossval_{part}.txt").read_text()
    _, loss, accuracy, _ = figures(line)
    assert loss == pytest.approx(float(re.search(r"AvgXent: ([0-9.]+)", text)[1]), abs=6e-5)  # type: ignore[index]  # None fails, too
    assert accuracy == pytest.approx(float(re.search(r"([0-9.]+)%", text)[1]), abs=6e-3)  # type: ignore[index]  # None fails, too


def test_silence_and_entropy(recipe: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model, data, ali = (str(recipe / name) for name in ("exp/hdnn", "data/train", "exp/ali"))
    assert call("cross-validate", ["--silence-phones=1:2", "--batch-frames=100", model, data, ali]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split(":")[0] for line in lines] == ["all", "without silence"]
    call("forward", ["--output=posteriors", model, data, f"ark:{recipe}/post.ark"])
    posteriors = dict(read_matrices(recipe / "post.ark"))
    transitions, alignments = TransitionModel.read(Path(ali) / "final.mdl"), read_alignments(ali)
    together = np.concatenate([posteriors[utterance].astype(np.float64) for utterance in posteriors])
    ids = np.concatenate([alignments[utterance] for utterance in posteriors])
    speech = ~np.isin(transitions.tid_to_phone[ids], [1, 2])
    assert 0 < speech.sum() < len(ids)
    for line, rows in zip(lines, (np.ones(len(ids), bool), speech), strict=True):
        y, pdfs = together[rows], transitions.tid_to_pdf[ids[rows]]
        frames, loss, accuracy, entropy = figures(line)
        assert frames == len(y)
        assert loss == pytest.approx(-np.log(y[np.arange(len(y)), pdfs]).mean(), abs=1e-3)
        assert accuracy == pytest.approx(100 * (y.argmax(1) == pdfs).mean(), abs=6e-3)
        assert entropy == pytest.approx(-(y * np.log(np.maximum(y, 1e-300))).sum(1).mean(), abs=1e-3)


def test_another_models_alignment(recipe: Path, kaldi_fixture: Path, tmp_path: Path) -> None:
    """Fewer pdfs than the network has: refused, and nothing computed."""
    ali = tmp_path / "ali"
    shutil.copytree(recipe / "exp/ali", ali)
    transitions = TransitionModel.read(ali / "final.mdl")
    transitions.tuples[:, 2:] = np.minimum(transitions.tuples[:, 2:], transitions.num_pdfs - 2)
    transitions.write(ali / "final.mdl")
    with pytest.raises(HdnnError, match=r"exp/hdnn has 40 pdfs, .*ali/final\.mdl 39; take an alignment"):
        call("cross-validate", [str(recipe / "exp/hdnn"), str(recipe / "data/train"), str(ali)])
