"""Features of speech encoders: tiny random ones of transformers, made here; without the package only what needs none."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import soundfile
import torch
from hypothesis import given
from hypothesis import strategies as st

from hdnn_nnet.cli import call
from hdnn_nnet.errors import HdnnError
from hdnn_nnet.feats.description import FeatureDescription
from hdnn_nnet.feats.encoder import SpeechEncoder, windows
from hdnn_nnet.feats.encoder_files import EncoderFiles
from hdnn_nnet.feats.encoder_job import kaldi_frames
from hdnn_nnet.feats.extract import FeatureExtractor
from hdnn_nnet.feats.frame_rate import FrameRate
from hdnn_nnet.feats.options import EncoderOptions
from hdnn_nnet.feats.reader import FeatureReader
from hdnn_nnet.kaldi.script_table import read_scp
from tests.support.encoders import KINDS, tiny

REPOSITORY = Path(__file__).resolve().parent.parent
RATE = 16000


@given(rows=st.integers(0, 300), most=st.integers(10, 60), shared=st.integers(0, 5))
def test_windows_give_every_row_once_and_with_context(rows: int, most: int, shared: int) -> None:
    found = list(windows(rows, most, shared))
    assert [row for w in found for row in range(w.begin, w.end)] == list(range(rows))
    for w in found:
        assert 0 <= w.first <= w.begin < w.end <= w.last <= rows
        assert w.last - w.first == min(most, rows)
        assert w.begin - w.first >= (shared // 2 if w.first else 0)
        assert w.last - w.end >= (shared // 2 if w.last < rows else 0)


@given(samples=st.integers(0, 20000))
def test_frames_are_those_of_our_features(samples: int) -> None:
    assert kaldi_frames(samples, RATE) == len(FeatureExtractor("fbank")(np.zeros(samples, np.float32), RATE))


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "--model must name a folder with a speech encoder"),
        (["--model=x", "--layer=1", "--layer-weights=1,2"], "--layer or --layer-weights, not both"),
        (["--model=x", "--layer-weights=1,x"], "--layer-weights 1,x: numbers with commas"),
        (["--model=x", "--overlap=8", "--window=10"], "more than half of --window 10"),
        (["--model=no/such"], "no/such/config.json does not exist; .* nothing is downloaded"),
    ],
)
def test_options_are_checked(tmp_path: Path, words: list[str], message: str) -> None:
    with pytest.raises(HdnnError, match=message):
        call("feats ssl", [*words, str(tmp_path), str(tmp_path / "x")])


@pytest.fixture(scope="module", params=KINDS)
def folder(request, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny(request.param, tmp_path_factory.mktemp(request.param) / "tiny")


def sound(seconds: float, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(-8000, 8000, int(seconds * RATE)).astype(np.float32)


def encoder(folder: Path, **options) -> SpeechEncoder:
    return SpeechEncoder(EncoderFiles.open(folder), EncoderOptions(model=str(folder), **options), torch.device("cpu"))


def by_transformers(folder: Path, samples: np.ndarray) -> tuple[np.ndarray, ...]:
    """All hidden states as the package's users get them: its extractor, its model, nothing of ours."""
    import transformers

    extractor = transformers.AutoFeatureExtractor.from_pretrained(folder)
    model = transformers.AutoModel.from_pretrained(folder).eval()
    inputs = extractor(samples / 32768, sampling_rate=RATE, return_tensors="pt")
    with torch.no_grad():
        if hasattr(inputs, "input_features"):
            hidden = model.encoder(inputs.input_features, output_hidden_states=True).hidden_states
        else:
            hidden = model(inputs.input_values, output_hidden_states=True).hidden_states
    return tuple(layer[0].numpy() for layer in hidden)


def test_layers_are_those_of_transformers(folder: Path) -> None:
    samples = sound(1.5)
    hidden = by_transformers(folder, samples)
    for layer in (0, 1, 2):
        found = encoder(folder, layer=layer)(samples, RATE)
        assert 70 < len(found) < 80
        np.testing.assert_allclose(found, hidden[layer][: len(found)], atol=1e-5)
    np.testing.assert_array_equal(encoder(folder)(samples, RATE), encoder(folder, layer=2)(samples, RATE))
    found = encoder(folder, layer_weights="0.5,0,-2")(samples, RATE)
    np.testing.assert_allclose(found, (0.5 * hidden[0] - 2 * hidden[2])[: len(found)], atol=1e-5)


def test_whisper_with_little_silence(tmp_path: Path) -> None:
    """The encoder of a Whisper that has no more positions than audio and silence have; all of them where it fills its window."""
    folder, samples = tiny("whisper", tmp_path / "w"), sound(1.5)
    import transformers

    whole = transformers.AutoModel.from_pretrained(folder).encoder
    inputs = transformers.AutoFeatureExtractor.from_pretrained(folder)(
        samples / 32768, sampling_rate=RATE, return_tensors="pt"
    ).input_features
    config = transformers.WhisperConfig(**{**whole.config.to_dict(), "max_source_positions": 100})
    short = transformers.WhisperModel(config).encoder
    states = whole.state_dict()
    states["embed_positions.weight"] = states["embed_positions.weight"][:100]
    short.load_state_dict(states)
    with torch.no_grad():
        expected = short.eval()(inputs[..., :200], output_hidden_states=True).hidden_states
    ours = encoder(folder, pad=0.5)
    for _ in range(2):  # another length between
        for layer, found in ((2, ours(samples, RATE)), (1, encoder(folder, pad=0.5, layer=1)(samples, RATE))):
            np.testing.assert_allclose(found, expected[layer][0, : len(found)], atol=1e-5)
        assert len(ours(sound(0.7), RATE)) == 35
    full = encoder(folder)(samples, RATE)
    assert np.abs(full - found).max() > 1e-3
    np.testing.assert_array_equal(encoder(folder, pad=30)(samples, RATE), full)


def test_silence_is_whispers_alone(tmp_path: Path) -> None:
    folder = tiny("hubert", tmp_path / "h")
    with pytest.raises(HdnnError, match=r"--pad is for Whisper, and .* is of type hubert: leave it out"):
        EncoderFiles.open(folder).describe(EncoderOptions(model=str(folder), pad=1))
    folder = tiny("whisper", tmp_path / "w")
    files = EncoderFiles.open(folder)
    assert "--pad=1 " in files.describe(EncoderOptions(model=str(folder), pad=1)).line()
    assert "--pad" not in files.describe(EncoderOptions(model=str(folder))).line()


@pytest.mark.parametrize("count", [400, 719, 720, 721, 880, 16000, 16079, 16080, 16081])
def test_rows_fit_frames_of_10_ms(folder: Path, count: int) -> None:
    ours = encoder(folder)
    assert ours.files.factor == 2
    rows = len(ours(sound(1.1)[:count], RATE))
    assert rows == ours.num_rows(count)
    assert FrameRate(2, 2).fits(rows, kaldi_frames(count, RATE))


def test_long_recordings_are_cut(folder: Path) -> None:
    """As many rows, in the same places; away from the borders nearly those of one window."""
    samples = sound(7.3)
    whole, cut = encoder(folder)(samples, RATE), encoder(folder, window=3, overlap=1)(samples, RATE)
    assert whole.shape == cut.shape
    if EncoderFiles.open(folder).is_whisper:  # windows of other lengths are padded otherwise
        return
    similar = [np.corrcoef(a, b)[0, 1] for a, b in zip(whole, cut, strict=True)]
    shifted = [np.corrcoef(a, b)[0, 1] for a, b in zip(whole[1:], cut[:-1], strict=True)]
    assert np.median(similar) > 0.99
    assert np.median(similar) > np.median(shifted)


def write_data(data: Path, seconds: dict[str, float]) -> Path:
    data.mkdir()
    for number, (utt, length) in enumerate(seconds.items()):
        soundfile.write(data / f"{utt}.wav", sound(length, number).astype(np.int16), RATE)
    (data / "wav.scp").write_text("".join(f"{utt} {data}/{utt}.wav\n" for utt in seconds))
    for name in ("utt2spk", "spk2utt"):
        (data / name).write_text("".join(f"{utt} {utt}\n" for utt in seconds))
    return data


def test_a_job_of_the_command(folder: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    data = write_data(tmp_path / "data", {"a": 1.0, "b": 0.01, "c": 2.345, "d": 0.7})
    words = [f"--model={folder}", "--layer=1", "--compress=false", str(data), f"{tmp_path}/x"]
    for job in (1, 2):
        assert call("feats ssl", ["--num-jobs=2", f"--job={job}", *words]) == 0
    assert "utterance b is too short for one frame: left out" in caplog.text
    # Again: the same audio and encoder, nothing is done; another layer, it is.
    before = (tmp_path / "x.1.ark").stat().st_mtime_ns
    caplog.clear()
    assert call("feats ssl", ["--num-jobs=2", "--job=1", *words]) == 0
    assert "x.1.ark is there already" in caplog.text
    assert (tmp_path / "x.1.ark").stat().st_mtime_ns == before
    assert call("feats ssl", ["--num-jobs=2", "--job=1", *words, "--layer=2"]) == 0
    assert (tmp_path / "x.1.ark").stat().st_mtime_ns != before
    assert call("feats ssl", ["--num-jobs=2", "--job=1", *words]) == 0
    # Another sound under the same name.
    before = (tmp_path / "x.1.ark").stat().st_mtime_ns
    path = read_scp(data / "wav.scp")["a"]
    os.utime(path, ns=(0, 0))
    assert call("feats ssl", ["--num-jobs=2", "--job=1", *words]) == 0
    assert (tmp_path / "x.1.ark").stat().st_mtime_ns != before
    assert (
        call(
            "collect feats",
            ["--num-jobs=2", "--max-missing=0.5", f"--cmvn={tmp_path}/cmvn", str(data), f"{tmp_path}/x"],
        )
        == 0
    )
    description = FeatureDescription.read(data)
    assert description is not None
    assert (description.kind, description.rate) == ("ssl", FrameRate(2, 4))
    assert dict(description.options)["layer"] == "1"
    reader, ours = FeatureReader(data), encoder(folder, layer=1)
    assert reader.utts == ["a", "c", "d"]
    for utt, length in (("a", 1.0), ("c", 2.345), ("d", 0.7)):
        samples = soundfile.read(data / f"{utt}.wav", dtype="int16")[0].astype(np.float32)
        rows = ours(samples, RATE)
        frames = kaldi_frames(int(length * RATE), RATE)
        assert reader.num_frames[utt] == frames == len(reader[utt])
        np.testing.assert_array_equal(reader[utt], np.repeat(rows, 2, axis=0)[:frames])
    # MFCC in their place: frames again.
    assert call("feats make", [str(data), f"{tmp_path}/mfcc"]) == 0
    assert call("collect feats", ["--max-missing=0.5", str(data), f"{tmp_path}/mfcc"]) == 0
    assert FeatureReader(data).rate.same
    assert not (data / "utt2aligned_frames").exists()


def test_what_is_no_encoder(tmp_path: Path) -> None:
    folder = tiny("hubert", tmp_path / "tiny")
    data = write_data(tmp_path / "data", {"a": 0.5})
    words = [str(data), f"{tmp_path}/x"]
    with pytest.raises(HdnnError, match=r"--layer 3: .* has layers 0 to 2"):
        call("feats ssl", [f"--model={folder}", "--layer=3", *words])
    with pytest.raises(HdnnError, match=r"--layer-weights: 2 numbers, but .* has layers 0 to 2; give 3"):
        call("feats ssl", [f"--model={folder}", "--layer-weights=1,2", *words])
    weights = folder / "model.safetensors"
    for spoil, message in (
        (lambda: weights.write_bytes(weights.read_bytes()[:-100]), "transformers cannot load it"),
        (lambda: weights.unlink(), "has no model.safetensors; .* pickled weights are not read"),
        (lambda: (folder / "config.json").write_text("{}"), "transformers cannot read it"),
        (lambda: (folder / "preprocessor_config.json").unlink(), "preprocessor_config.json does not exist"),
    ):
        spoil()
        with pytest.raises(HdnnError, match=message):
            call("feats ssl", [f"--model={folder}", *words])
    assert not (data / "feat_opts").exists()
    assert not (tmp_path / "x.1.scp").exists()


def test_missing_parameters_are_not_drawn_at_random(tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    folder = tiny("wavlm", tmp_path / "tiny")
    tensors = load_file(folder / "model.safetensors")
    del tensors["encoder.layers.1.attention.k_proj.weight"]
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(
        HdnnError, match=r"lack 1 parameters of the encoder, .*encoder.layers.1.attention.k_proj.weight"
    ):
        encoder(folder)


def test_other_kinds_of_models_are_refused(tmp_path: Path) -> None:
    package = pytest.importorskip("transformers", reason="the extra ssl is not installed")
    package.BertConfig(hidden_size=8, num_hidden_layers=1, num_attention_heads=1, intermediate_size=8).save_pretrained(
        tmp_path
    )
    package.Wav2Vec2FeatureExtractor().save_pretrained(tmp_path)
    with pytest.raises(
        HdnnError, match=r"is a model of type bert; wav2vec 2.0, HuBERT, WavLM and Whisper are supported"
    ):
        EncoderFiles.open(tmp_path)


def test_sample_rates_must_agree(folder: Path) -> None:
    with pytest.raises(HdnnError, match=r"utterance u: sample rate 8000, but .* takes 16000; resample"):
        encoder(folder)(sound(1), 8000, "u")


def test_strides_that_are_no_multiple(tmp_path: Path) -> None:
    folder = tiny("hubert", tmp_path / "tiny")
    config = json.loads((folder / "config.json").read_text())
    config["conv_stride"] = [5, 2, 2, 2, 2, 2, 3]
    (folder / "config.json").write_text(json.dumps(config))
    assert EncoderFiles.open(folder).factor == 3
    config["conv_stride"] = [7, 2, 2, 2, 2, 2, 2]
    (folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(HdnnError, match="a row every 448 samples at 16000 samples a second is no multiple of 10 ms"):
        EncoderFiles.open(folder)


def test_the_step(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tiny("hubert", tmp_path / "tiny")
    data = write_data(tmp_path / "data", {"a": 1.0, "b": 1.5, "c": 2.345})
    plain = shutil.copytree(data, tmp_path / "plain")
    assert call("feats make", ["--snip-edges=false", str(plain), f"{tmp_path}/mfcc"]) == 0
    assert call("collect feats", [str(plain), f"{tmp_path}/mfcc"]) == 0
    words = ["--nj", "2", "--model", str(folder), "--like", str(plain), str(data)]
    command = [str(REPOSITORY / "steps_py/make_ssl_feats.sh"), *words]
    monkeypatch.setenv("PATH", f"{REPOSITORY}/steps_py:{Path(sys.executable).parent}:{os.environ['PATH']}")
    said = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert said.returncode == 0, said.stderr
    assert "3 of 3 utterances have features of the encoder, 240 rows for 485 frames; " in said.stdout
    assert FeatureReader(data).num_frames == FeatureReader(plain).num_frames
    assert (data / "cmvn.scp").read_text().count("\n") == 3
    missing = subprocess.run([command[0], str(data)], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert missing.returncode != 0
    assert "--model must name a folder with a speech encoder" in missing.stderr


def test_without_the_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("config.json", "preprocessor_config.json"):
        (tmp_path / name).write_text("{}")
    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(HdnnError, match=r"need the package transformers .*; pip install 'hdnn_nnet\[ssl\]'"):
        EncoderFiles.open(tmp_path)


def test_nothing_is_looked_up_elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The package is told so before it is imported, and every call names local files only."""
    asked: list[dict] = []

    def from_pretrained(path: Path, **options: object) -> None:
        asked.append(options)
        raise OSError("stop here")

    stub = SimpleNamespace(
        AutoConfig=SimpleNamespace(from_pretrained=from_pretrained),
        logging=SimpleNamespace(set_verbosity_error=lambda: None, disable_progress_bar=lambda: None),
    )
    monkeypatch.setitem(sys.modules, "transformers", stub)
    monkeypatch.setenv("HF_HUB_OFFLINE", "0")
    for name in ("config.json", "preprocessor_config.json"):
        (tmp_path / name).write_text("{}")
    with pytest.raises(HdnnError, match="stop here"):
        EncoderFiles.open(tmp_path)
    assert asked == [{"local_files_only": True}]
    assert os.environ["HF_HUB_OFFLINE"] == "1"
