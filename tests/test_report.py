"""The report is one file that needs nothing else, and shows what the files say."""

import base64
import io
import itertools
import json
import re
import xml.etree.ElementTree as ET
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from hypothesis import given
from hypothesis import strategies as st

from hdnn_nnet.adapt.store import save_speaker, write_index
from hdnn_nnet.cli import call
from hdnn_nnet.errors import HdnnError
from hdnn_nnet.nn.config import NetworkConfig
from hdnn_nnet.nn.model_dir import model_signature, save_model
from hdnn_nnet.nn.networks import build_network
from hdnn_nnet.score.page import charts
from hdnn_nnet.score.page.errors import clips, marked, worst
from hdnn_nnet.score.page.svg import log_ticks, nice_ticks, place_labels
from hdnn_nnet.score.page.tables import html_table
from hdnn_nnet.score.page.terms import explained
from hdnn_nnet.score.speakers import read_per_speaker
from hdnn_nnet.score.summary import read_result
from hdnn_nnet.score.table import table
from hdnn_nnet.score.wer import GAP, Alignment, per_speaker

#: speaker -> (words, errors) of each directory
ERRORS = {"hdnn_a": {"x": (10, 4), "y&z": (20, 5), "silent": (0, 0)}, "hdnn_a_adapt": {"x": (10, 1), "y&z": (20, 6)}}


class Page(HTMLParser):
    """Charts, tables and whatever names another file."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.charts = 0
        self.cells: list[str] = []
        self.others: list[str] = []
        self.open = 0
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        attributes = dict(attrs)
        where = attributes.get("href") or attributes.get("src") or ""
        if tag == "svg":
            self.charts += 1
        elif tag in ("link", "iframe") or (where and not where.startswith(("#", "data:"))):
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
    # dev, eval and the paper; waterfall and speakers of both sets; one training.
    assert page.charts == 3 + 4 + 1
    for drawing in re.findall("<svg.*?</svg>", text, re.DOTALL):
        ET.fromstring(drawing)
    assert "-6.67" in text  # 9 errors in 30 words before, 7 after: what the step of adaptation wins
    assert "better (hdnn_a → hdnn_a_adapt)" in text
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
    """Dots stand where the counts of speakers say: x from 40 to 10 %, y&z from 25 to 30 %, silent nowhere."""
    drawing = charts.speakers(models[0] / "decode_dev", models[1] / "decode_dev", ("before", "after"), "dev")
    assert "1 of 2 speakers better" in drawing
    tips = re.findall("<title>([^<]*)</title>", drawing)
    assert tips == ["x: 40.0 % before", "x: 10.0 % after", "y&amp;z: 25.0 % before", "y&amp;z: 30.0 % after"]
    xs = [float(x) for x in re.findall(r'<circle class="dot [a-z]+" cx="([0-9.]+)"', drawing)]
    scale = (xs[0] - xs[1]) / 30
    np.testing.assert_allclose([xs[2] - xs[1], xs[3] - xs[1]], [15 * scale, 20 * scale], atol=0.2)


def test_a_chain_is_the_longest_row_of_names() -> None:
    class One:
        def __init__(self, wer: float) -> None:
            self.dev = type("File", (), {"wer": wer})

    names = {"h256": 15.0, "h128": 16.0, "h128_kd": 14.0, "h128_kd_smbr": 13.0, "h128_kd_adapt": 12.0, "h12": 9.0}
    results = {name: [One(wer)] for name, wer in names.items()}
    assert charts.chain(results) == ["h128", "h128_kd", "h128_kd_adapt"]  # type: ignore[arg-type]  # stand-ins


@given(low=st.floats(0.01, 100), share=st.floats(0.01, 50))
def test_ticks_lie_inside_and_are_few(low: float, share: float) -> None:
    high = low * (1 + share)
    for ticks in (nice_ticks(low, high), log_ticks(low, high)):
        assert all(low * (1 - 1e-6) <= tick <= high * (1 + 1e-6) for tick in ticks)
        assert 1 <= len(ticks) <= 14
    assert len(nice_ticks(low, high)) >= 2


@given(st.lists(st.floats(0, 300), min_size=1, max_size=12))
def test_labels_do_not_cover_each_other(heights: list[float]) -> None:
    placed = sorted(h + move for h, move in zip(heights, place_labels(heights), strict=True))
    assert all(b - a > 8 for a, b in itertools.pairwise(placed))


def test_errors_are_marked_where_they_are() -> None:
    item = Alignment("u<1", ["a", "b<", GAP, "d"], ["a", "x", "y", GAP])
    assert marked(item) == (
        'a <b class="sub">b&lt;</b> <b class="del">d</b>',
        'a <b class="sub">x</b> <b class="ins">y</b>',
    )
    others = [Alignment("right", ["a"], ["a"]), Alignment("one", ["a"], ["b"]), Alignment("short", [GAP], ["b"])]
    assert [i.key for i in worst([*others, item])] == ["u<1", "one", "short"]


def test_terms_are_explained_and_numbers_left_alone() -> None:
    text = explained("WER at 95 %: 11.95 % < KD_x")
    assert text.count("<abbr") == 2
    assert "11.95 % &lt; KD_x" in text
    assert html_table([["WER"], ["<b>"]]).count("&lt;b&gt;") == 1


def test_clips_are_bounded_and_are_the_sound(tmp_path: Path) -> None:
    samples = np.random.default_rng(0).integers(-9000, 9000, 16000 * 40).astype(np.int16)
    soundfile.write(tmp_path / "x.wav", samples, 16000)
    (tmp_path / "wav.scp").write_text(f"r {tmp_path}/x.wav\n")
    (tmp_path / "segments").write_text("a r 1.0 2.5\nlong r 0.0 30.0\nb r 3.0 4.0\nc r 5.0 6.0\n")
    found = clips(tmp_path, ["b", "long", "a", "missing"])
    assert sorted(found) == ["a", "b"]
    head, data = found["a"].split(",", 1)
    assert head == "data:audio/flac;base64"
    heard, rate = soundfile.read(io.BytesIO(base64.b64decode(data)), dtype="int16")
    assert rate == 16000
    np.testing.assert_array_equal(heard, samples[16000:40000])


def test_missing_scores_are_named(models: list[Path], tmp_path: Path) -> None:
    details = models[0] / "decode_dev/scoring_kaldi/wer_details/per_spk"
    details.write_text(details.read_text().replace("         4", "       bad"))
    with pytest.raises(HdnnError, match="cannot read the line of x; score again"):
        read_per_speaker(models[0] / "decode_dev")
    details.unlink()
    with pytest.raises(HdnnError, match=r"per_spk.*; score again"):
        call("report", [str(tmp_path / "r.html"), *map(str, models)])
