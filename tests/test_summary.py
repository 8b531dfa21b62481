"""Tables and figures of results: what they show is what the files say."""

import json
import shutil
import statistics
from pathlib import Path

import pytest

from hdnn_nnet.cli import call
from hdnn_nnet.errors import HdnnError
from hdnn_nnet.nn.config import NetworkConfig
from hdnn_nnet.nn.model_dir import save_model
from hdnn_nnet.nn.networks import build_network

WERS = {"hdnn_kd_s1": (31.3, 33.0), "hdnn_kd_s22": (31.9, 33.5), "hdnn_kd_s3": (30.5, 34.0), "dnn": (40.0, 41.0)}


@pytest.fixture
def models(tmp_path: Path) -> list[str]:
    for name, wers in WERS.items():
        folder = tmp_path / name
        save_model(build_network(NetworkConfig(name.split("_")[0], 4, 5, 6, 2)), folder)
        history = [{"accepted": True, "cv_loss": wers[0] / 10, "cv_accuracy": 0.5}, {"accepted": False, "cv_loss": 9}]
        (folder / "history.json").write_text(json.dumps(history))
        if "kd" in name:
            (folder / "criterion").write_text("KD q=0 T=1\n")
        for part, wer in zip(("dev", "eval"), wers, strict=True):
            (folder / f"decode_{part}").mkdir()
            for weight, more in ((9, 1.0), (10, 0.0)):  # 10 is the better one on dev, and the worse one on eval
                worse = more if part == "dev" else 1 - more
                line = f"%WER {wer + worse:.2f} [ 1 / 3, 0 ins, 0 del, 1 sub ]\n"
                (folder / f"decode_{part}" / f"wer_{weight}_0.5").write_text(line)
    return [str(tmp_path / name) for name in WERS]


def test_seeds_share_a_row(models: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert call("wer-table", models) == 0
    rows = [[c.strip() for c in line.strip("|").split("|")] for line in capsys.readouterr().out.splitlines()]
    assert [row[0] for row in rows[2:]] == ["hdnn_kd", "dnn"]
    assert rows[2][1:3] == ["KD q=0 T=1", "3"]
    for column, index, shift in ((-2, 0, 0.0), (-1, 1, 1.0)):
        values = [WERS[name][index] + shift for name in WERS if "kd" in name]
        assert rows[2][column] == f"{statistics.mean(values):.2f} ± {statistics.stdev(values):.2f}"
    assert rows[2][6] == "10, 0.5; 10, 0.5; 10, 0.5"
    assert rows[3][1:3] == ["CE", "1"]
    assert rows[3][-2:] == ["40.00", "42.00"]


def test_one_name_in_two_places_is_two_systems(
    models: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for place in ("a", "b"):
        shutil.copytree(tmp_path / "hdnn_kd_s1", tmp_path / place / "hdnn_kd_s1")
    assert call("wer-table", [f"{tmp_path}/{place}/hdnn_kd_s1" for place in "ab"] + [models[-1]]) == 0
    rows = [[c.strip() for c in line.strip("|").split("|")] for line in capsys.readouterr().out.splitlines()]
    assert [(row[0], row[2]) for row in rows[2:]] == [("a/hdnn_kd", "1"), ("b/hdnn_kd", "1"), ("dnn", "1")]


def test_sclite_has_a_column_where_it_scored(
    models: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Its weight is chosen on dev, too."""
    (tmp_path / "dnn/decode_dev/ascore_wer").write_text("30.5 9 x.sys\n30.1 11 y.sys\n")
    (tmp_path / "dnn/decode_eval/ascore_wer").write_text("28.0 9 x.sys\n29.5 11 y.sys\n")
    assert call("wer-table", models) == 0
    lines = capsys.readouterr().out.splitlines()
    rows = [[c.strip() for c in line.strip("|").split("|")] for line in lines]
    assert rows[0][-1] == "sclite dev, eval %"
    assert (rows[2][-1], rows[3][-1]) == ("-, -", "30.1, 29.5")
    (tmp_path / "dnn/decode_dev/ascore_wer").write_text("no score\n")
    with pytest.raises(HdnnError, match="ascore_wer: expected lines"):
        call("wer-table", models)


def test_figure(models: list[str], tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    assert call("plot wer", [str(tmp_path / "wer.png"), *models]) == 0
    assert (tmp_path / "wer.png").read_bytes().startswith(b"\x89PNG")


def test_missing_scores(models: list[str], tmp_path: Path) -> None:
    for path in (tmp_path / "dnn/decode_dev").iterdir():
        path.unlink()
    with pytest.raises(HdnnError, match="dnn/decode_dev holds no wer_N_P; score it first"):
        call("wer-table", models)
