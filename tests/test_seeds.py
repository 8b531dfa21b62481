"""local/smbr_seeds.sh and kd_seeds.sh: what they train, what they call it, and that nothing is done twice or in vain."""

import shutil
from pathlib import Path

import pytest

from hdnn_nnet.cli import call
from hdnn_nnet.nn.tensor_file import load_tensors
from tests.support import fixture_recipe
from tests.support.decoder import OWN_DECODER


@pytest.fixture
def recipe(kaldi_fixture: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The fixture's data and Kaldi's network as a trained model with a seed in its name."""
    fixture_recipe.make(kaldi_fixture, tmp_path)
    fixture_recipe.copy_data(kaldi_fixture, tmp_path / "data/test", "test")
    for name in ("local", "steps_py"):
        (tmp_path / name).symlink_to(fixture_recipe.REPOSITORY / name)
    monkeypatch.chdir(kaldi_fixture)
    counts = "--class-frame-counts=exp/nnet/class_frame_counts"
    assert call("import nnet1", [counts, "exp/nnet", "exp/ali", str(tmp_path / "exp/dnn_s7")]) == 0
    denlats = tmp_path / "exp/denlats"
    denlats.mkdir()
    script = (kaldi_fixture / "exp/denlats/lat.scp").read_text()
    (denlats / "lat.scp").write_text(script.replace(" exp/", f" {kaldi_fixture}/exp/"))
    return tmp_path


def seeds(recipe: Path, graph: Path, *options: str, model: str = "exp/dnn_s7"):
    words = ["--parts", "test", "--denlats", "exp/denlats", "--smooth-ce", "0 0.2", "--updates", "all softmax"]
    words += [
        "--smbr-opts",
        "--num-iters 1 --device cpu",
        "--decode-opts",
        f"--nj 1 --decoder {OWN_DECODER} --beam 11.0",
    ]
    return fixture_recipe.step(recipe, "../local/smbr_seeds.sh", *words, *options, "data", "lang", str(graph), model)


def test_weights_and_groups(recipe: Path, kaldi_fixture: Path) -> None:
    done = seeds(recipe, kaldi_fixture / "graph")
    assert done.returncode == 0, done.stderr
    rows = [
        [cell.strip() for cell in line.split("|")[1:-1]]
        for line in done.stdout.splitlines()
        if line.startswith("| dnn")
    ]
    assert [(row[0], row[1]) for row in rows] == [
        ("dnn", "CE"),
        ("dnn_smbr_p0", "CE + sMBR"),
        ("dnn_smbr_p0.2", "CE + sMBR p=0.2 (CE)"),
        ("dnn_smbr_p0.2_softmax", "CE + sMBR p=0.2 (CE), softmax only"),
    ]
    before = load_tensors(recipe / "exp/dnn_s7/final.safetensors")
    for name, moved in (("p0_s7", {"output", "layers", "input"}), ("p0.2_softmax_s7", {"output"})):
        after = load_tensors(recipe / f"exp/dnn_smbr_{name}/final.safetensors")
        assert {key.split(".")[0] for key in after if not after[key].equal(before[key])} == moved
    written = {path: path.stat().st_mtime_ns for path in recipe.glob("exp/*/final.safetensors")}
    again = seeds(recipe, kaldi_fixture / "graph")
    assert (again.returncode, again.stdout.splitlines()[-4:]) == (0, done.stdout.splitlines()[-4:])
    assert {path: path.stat().st_mtime_ns for path in recipe.glob("exp/*/final.safetensors")} == written


def test_results_of_other_settings_are_not_shown(recipe: Path, kaldi_fixture: Path) -> None:
    """A model trained again, other options, or a distilled model without its teacher: refused before any work."""
    others = recipe / "exp/dnn_s8"
    shutil.copytree(recipe / "exp/dnn_s7", others)
    (others / "criterion").write_text("KD q=0 T=1\n")
    done = seeds(recipe, kaldi_fixture / "graph", model="exp/dnn_s8")
    assert (done.returncode, done.stdout) == (1, "")
    assert "exp/dnn_s8 was distilled; give the --teacher" in done.stderr
    folder = recipe / "exp/dnn_s7_ali"
    folder.mkdir()
    (folder / "settings").write_text("data data/train\nnetwork another\n")
    done = seeds(recipe, kaldi_fixture / "graph")
    assert (done.returncode, done.stdout) == (1, "")
    assert "exp/dnn_s7_ali was made with other settings" in done.stderr
    assert "< network another" in done.stderr
    assert not (recipe / "exp/dnn_smbr_p0_s7/final.safetensors").exists()


def test_a_model_that_is_not_there(recipe: Path, kaldi_fixture: Path) -> None:
    done = seeds(recipe, kaldi_fixture / "graph", model="exp/gone_s1")
    assert (done.returncode, done.stdout) == (1, "")
    assert "exp/gone_s1/final.safetensors does not exist" in done.stderr


def test_distillation_without_its_teacher(tmp_path: Path) -> None:
    """Refused before the students by cross-entropy are trained."""
    for name in ("local", "steps_py"):
        (tmp_path / name).symlink_to(fixture_recipe.REPOSITORY / name)
    for name in ("data/train_tr90/feats.scp", "data/train_cv10/feats.scp", "exp/ali/ali.1.gz", "exp/graph/HCLG.fst"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / "exp/dnn").mkdir()
    teacher = "exp/dnn exp/soft"
    done = fixture_recipe.step(
        tmp_path, "../local/kd_seeds.sh", "data", "lang", "exp/ali", "exp/graph", teacher, "exp/kd"
    )
    assert (done.returncode, done.stdout) == (1, "")
    assert "the teacher exp/soft is no directory; make it with steps_py/make_soft_labels.sh" in done.stderr
    assert not (tmp_path / "exp/kd").exists()
