"""The mini recipe's student for on-line use: the recipe's decoder, ONNX and Vosk on the whole evaluation set.

Needs `./run.sh --corpus mini --online-networks hdnn-h128l10` (HDNN_MINI names another recipe directory than egs/ami/s5).
"""

import os
from pathlib import Path

import pytest

pytest.importorskip("k2")
pytest.importorskip("onnxruntime")
pytest.importorskip("vosk")

from hdnn_nnet.export.measure import measure
from hdnn_nnet.recognise.load import Choices, load_recogniser
from hdnn_nnet.score.best import best, read_wer_file, read_wer_files

RECIPE = Path(os.environ.get("HDNN_MINI", Path(__file__).resolve().parent.parent / "egs/ami/s5"))
MODEL = RECIPE / "exp/mini/hdnn-h128l10_online"


@pytest.fixture(scope="module")
def recipe_wer() -> float:
    if not (MODEL / "export/README.md").is_file():
        pytest.skip("needs ./run.sh --corpus mini --online-networks hdnn-h128l10")
    chosen = best(read_wer_files(MODEL / "decode_dev"))
    return read_wer_file(MODEL / "decode_eval" / chosen.path.name).wer


@pytest.fixture(scope="module")
def onnx_wer(recipe_wer: float) -> float:
    return _wer("onnx")


def _wer(runtime: str) -> float:
    return measure(load_recogniser(MODEL / "export", Choices(runtime=runtime)), RECIPE / "data/mini/fbank/eval").wer.wer


@pytest.mark.slow
def test_vosk_has_the_recipes_wer(recipe_wer: float) -> None:
    assert abs(_wer("vosk") - recipe_wer) <= 0.5


@pytest.mark.slow
def test_onnx_has_the_recipes_wer(recipe_wer: float, onnx_wer: float) -> None:
    assert abs(onnx_wer - recipe_wer) <= 0.5


@pytest.mark.slow
def test_eight_bits_lose_little(onnx_wer: float) -> None:
    assert _wer("onnx-int8") - onnx_wer <= 0.5
