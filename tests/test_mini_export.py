"""The mini recipe's student for on-line use: the recipe's decoder, Vosk and ONNX on the whole evaluation set.

The student and its graph are kept in tests/data; the evaluation set is synthesised here as the recipe does it.
"""

import shutil
from pathlib import Path

import pytest

pytest.importorskip("onnxruntime")
pytest.importorskip("vosk")

from hdnn_nnet.cli import call
from hdnn_nnet.export.vosk_dir import acoustic_scale
from hdnn_nnet.runtime.load import load_recogniser
from hdnn_nnet.runtime.measure import measure
from hdnn_nnet.runtime.options import RecogniserOptions
from hdnn_nnet.score.best import read_wer_file
from local import prepare_ami
from local.mini.config import Config
from local.mini.make_corpus import make_meetings, write_resources
from local.mini.meeting import ANNOTATIONS
from local.mini.voices import cast_speakers
from tests.support.archives import unpack
from tests.support.decoder import OWN_DECODER
from tests.support.fixture_recipe import REPOSITORY, step
from tests.support.scripts import run_script

LM_WEIGHT = 5  # the recipe's choice on dev for this student, with no insertion penalty


@pytest.fixture(scope="module")
def recipe(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A recipe directory with model/, graph/ and the features of the evaluation set, data/fbank/eval."""
    folder = tmp_path_factory.mktemp("mini_export")
    unpack(REPOSITORY / "tests/data/mini_student.tar.xz", folder)
    folder /= "mini_student"
    config, corpus = Config(), folder / "corpus"
    cast = cast_speakers(config)
    # One training meeting too: 8-bit models are calibrated on training features.
    plans = [("train", config.meetings("train")[0]), *(("eval", meeting) for meeting in config.meetings("eval"))]
    make_meetings(config, plans, cast, corpus, nj=2)
    write_resources(corpus, plans, cast)
    run_script(prepare_ami, [str(corpus), str(corpus / ANNOTATIONS), str(folder / "data")])
    shutil.copytree(REPOSITORY / "egs/ami/s5/conf", folder / "conf")
    (folder / "local").symlink_to(REPOSITORY / "local")
    for name in ("train", "eval"):
        shutil.copytree(folder / "data/ihm" / name, folder / "data/fbank" / name)
        done = step(folder, "make_feats.sh", "--type", "fbank", "--nj", "2", f"data/fbank/{name}")
        assert done.returncode == 0, done.stderr[-2000:]
    return folder


@pytest.fixture(scope="module")
def recipe_wer(recipe: Path) -> float:
    """By decode.sh, from the stored features, at the acoustic scale of Vosk: the scale decides what is pruned."""
    weights = f"--min-lmwt {LM_WEIGHT} --max-lmwt {LM_WEIGHT}"
    words = ("--nj", "2", "--decoder", OWN_DECODER, "--beam", "11.0", "--lattice-beam", "6.0", "--max-active", "2000")
    scale = ("--acwt", str(acoustic_scale(LM_WEIGHT)))
    out = ("graph", "data/fbank/eval", "model/decode_eval")
    done = step(recipe, "decode.sh", *words, *scale, "--scoring-opts", weights, *out)
    assert done.returncode == 0, done.stderr[-2000:]
    wer = read_wer_file(recipe / f"model/decode_eval/wer_{LM_WEIGHT}_0.0").wer
    assert 10 < wer < 20
    return wer


def wer_of(recipe: Path, directory: str, choices: RecogniserOptions) -> float:
    return measure(load_recogniser(recipe / directory, choices), recipe / "data/fbank/eval").wer.wer


def test_vosk_has_the_recipes_wer(recipe: Path, recipe_wer: float) -> None:
    """Vosk is Kaldi: its features, its nnet3, its decoder, on the graph of the recipe."""
    call("export nnet3", [f"--lm-weight={LM_WEIGHT}", *(str(recipe / name) for name in ("model", "graph", "vosk"))])
    assert abs(wer_of(recipe, "vosk", RecogniserOptions(runtime="vosk")) - recipe_wer) <= 0.5


@pytest.mark.slow
def test_onnx_has_the_recipes_wer_and_eight_bits_lose_little(recipe: Path, recipe_wer: float) -> None:
    call("export nnet3", [f"--lm-weight={LM_WEIGHT}", *(str(recipe / name) for name in ("model", "graph", "onnx"))])
    call("export onnx", [*(str(recipe / name) for name in ("model", "data/fbank/train", "onnx"))])
    float_wer, int8_wer = (
        wer_of(recipe, "onnx", RecogniserOptions(runtime=runtime, lm_weight=LM_WEIGHT))
        for runtime in ("onnx", "onnx-int8")
    )
    assert abs(float_wer - recipe_wer) <= 0.5
    assert int8_wer - float_wer <= 0.5
