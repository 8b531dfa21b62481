"""The report is one file that needs nothing else, and shows what the files say."""

import base64
import json
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
import torch

from hdnn_nnet.adapt.store import save_speaker, write_index
from hdnn_nnet.cli import call
from hdnn_nnet.errors import HdnnError
from hdnn_nnet.nn.config import NetworkConfig
from hdnn_nnet.nn.model_dir import model_signature, save_model
from hdnn_nnet.nn.networks import build_network
from hdnn_nnet.score.report import draw_gains
from hdnn_nnet.score.speakers import read_per_speaker
from hdnn_nnet.score.summary import read_result
from hdnn_nnet.score.table import table
from hdnn_nnet.score.wer import Alignment, per_speaker

#: speaker -> (words, errors) of each directory
ERRORS = {"hdnn_a": {"x": (10, 4), "y&z": (20, 5), "silent": (0, 0)}, "hdnn_a_adapt": {"x": (10, 1), "y&z": (20, 6)}}
pytest.importorskip("matplotlib")


class Page(HTMLParser):
    """Images, tables and whatever names another file."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.images: list[str] = []
        self.cells: list[str] = []
        self.others: list[str] = []
        self.open = 0
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        attributes = dict(attrs)
        if tag == "img":
            self.images.append(attributes["src"] or "")
        elif tag in ("script", "link", "iframe") or "href" in attributes or "src" in attributes:
            self.others.append(tag)
        elif tag in ("td", "th"):
            self.cells.append("")
            self.open = 1

    def handle_endtag(self, tag: str) -> None:
        if tag in ("td", "th"):
            self.open = 0

    def handle_data(self, data: str) -> None:
        if self.open:
            self.cells[-1] += data


@pytest.fixture
def models(tmp_path: Path) -> list[Path]:
    network = build_network(NetworkConfig("hdnn", 4, 5, 6, 3))
    line = {"epoch": 1, "accepted": True, "train_loss": 2.0, "train_accuracy": 0.4, "cv_loss": 1.5, "cv_accuracy": 0.5}
    for name, speakers in ERRORS.items():
        folder = tmp_path / name
        save_model(network, folder)
        (folder / "criterion").write_text("KD <q=0>\n")
        if not name.endswith("adapt"):
            (folder / "history.json").write_text(json.dumps([line, {**line, "epoch": 2, "accepted": False}]))
        for part in ("dev", "eval"):
            decode = folder / f"decode_{part}"
            details = decode / "scoring_kaldi/wer_details"
            details.mkdir(parents=True)
            words, errors = (sum(values[i] for values in speakers.values()) for i in (0, 1))
            (decode / "wer_9_0.0").write_text(
                f"%WER {100 * errors / words:.2f} [ {errors} / {words}, 0 ins, 0 del, 0 sub ]\n"
            )
            items = [Alignment(s, ["a"] * w, ["b"] * e + ["a"] * (w - e)) for s, (w, e) in speakers.items()]
            (details / "per_spk").write_text(per_speaker(items, {s: s for s in speakers}))
            (decode / "log").mkdir()
            (decode / "log/decode.1.log").write_text("INFO 3.0 s, real-time factor 0.0250 at 100 frames a second\n")
            (decode / "log/decode.2.log").write_text(
                "Time taken 9s: real-time factor assuming 100 frames/sec is 0.035\n"
            )
            if name.endswith("adapt"):
                adapted = folder / part
                file = save_speaker(adapted, "x", {"gates": torch.zeros(1, 12, 6)}, model_signature(network))
                entries = {"x": {"file": file, "seconds": 3.0}, "y&z": {"reason": "too few frames", "seconds": 1.0}}
                model = str(tmp_path / "hdnn_a")
                write_index(adapted, {"model": model, "signature": model_signature(network), "speakers": entries})
    return [tmp_path / name for name in ERRORS]


def test_one_file_with_everything(models: list[Path], tmp_path: Path) -> None:
    path = tmp_path / "report.html"
    words = ["--title", "A < B", "--note", "only a test", "--seconds", "0.01", str(path), *map(str, models)]
    assert call("report", words) == 0
    text = path.read_text()
    page = Page(text)
    assert not page.others
    assert "http" not in text
    assert "<title>A &lt; B</title>" in text
    assert len(page.images) == 3
    for image in page.images:
        head, data = image.split(",", 1)
        assert head == "data:image/png;base64"
        assert base64.b64decode(data, validate=True).startswith(b"\x89PNG")
    results = [read_result(d) for d in models]
    expected = [cell for cells in table(results, True) for cell in cells]
    assert page.cells[: len(expected)] == expected
    assert "KD <q=0>" in page.cells
    speed = page.cells[len(expected) :]
    base, adapted = speed[7:14], speed[14:21]
    assert base[0] == "hdnn_a"
    assert float(base[3]) > 0
    assert base[4:] == ["0.030", "-", "-"]
    assert adapted[3:] == ["-", "0.030", "1", "2.0"]


def test_gains_of_speakers(models: list[Path]) -> None:
    figure = draw_gains(models, [("dev", "decode_dev")])
    assert figure is not None
    points = np.asarray(figure.axes[0].collections[0].get_offsets())
    np.testing.assert_allclose(points, [[40, 10], [25, 30]])
    assert draw_gains(models[:1], [("dev", "decode_dev")]) is None


def test_missing_scores_are_named(models: list[Path], tmp_path: Path) -> None:
    details = models[0] / "decode_dev/scoring_kaldi/wer_details/per_spk"
    details.write_text(details.read_text().replace("         4", "       bad"))
    with pytest.raises(HdnnError, match="cannot read the line of x; score again"):
        read_per_speaker(models[0] / "decode_dev")
    details.unlink()
    with pytest.raises(HdnnError, match=r"per_spk: .*; score again"):
        call("report", [str(tmp_path / "r.html"), *map(str, models)])
