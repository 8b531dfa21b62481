"""From a trained model to words in every runtime, and what is refused on the way."""

import io
import json
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from safetensors.torch import save_file

pytest.importorskip("onnxruntime")
pytest.importorskip("vosk")

import itertools

from hdnn_nnet.cli import call
from hdnn_nnet.errors import HdnnError
from hdnn_nnet.export import manifest
from hdnn_nnet.export.source import overlay
from hdnn_nnet.feats.audio import read_audio, read_segments
from hdnn_nnet.kaldi.fst import read_fst, write_fst
from hdnn_nnet.kaldi.transitions import TransitionModel
from hdnn_nnet.nn.model_dir import load_model
from hdnn_nnet.runtime.audio import file_chunks, stdin_chunks
from hdnn_nnet.runtime.load import find_graph, load_recogniser
from hdnn_nnet.runtime.measure import measure
from hdnn_nnet.runtime.options import RecogniserOptions, Search
from hdnn_nnet.runtime.recogniser import Pauses
from tests.support import tone_task
from tests.support.fixture_recipe import REPOSITORY, step


@pytest.fixture(scope="module")
def task(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tones")
    tone_task.make(folder)
    return folder


@pytest.fixture(scope="module")
def exported(task: Path) -> Path:
    """All of an export, in one directory."""
    out = task / "export"
    call("export nnet3", ["--trained-on", "tones", str(task / "model"), str(task / "graph"), str(out)])
    call("export onnx", ["--trained-on", "tones", str(task / "model"), str(task / "data"), str(out)])
    return out


@pytest.fixture
def copy(exported: Path, tmp_path: Path) -> Path:
    return shutil.copytree(exported, tmp_path / "export")


def test_every_runtime_hears_the_words(task: Path, exported: Path) -> None:
    """Vosk, which is Kaldi, without a Kaldi: from audio through its own features, network and search."""
    for directory, runtime in ((task / "model", "torch"), *((exported, r) for r in ("onnx", "onnx-int8", "vosk"))):
        found = measure(load_recogniser(directory, RecogniserOptions(runtime=runtime)), task / "data")
        assert found.wer.words > 30
        assert found.wer.errors == 0, (runtime, found.hypotheses)
        assert found.seconds > 10
        assert found.processor > 0


@pytest.mark.parametrize(("runtime", "search"), [("onnx-int8", "auto"), ("onnx", "numpy"), ("vosk", "")])
def test_exports_need_no_torch(runtime: str, search: str, task: Path, exported: Path) -> None:
    """Where torch and k2 cannot be imported, the words are the same."""
    code = "import sys; sys.modules.update(torch=None, k2=None); from hdnn_nnet.cli import main; main()"
    words = ["transcribe", f"--runtime={runtime}", *([f"--search={search}"] if search else [])]
    done = subprocess.run(
        [sys.executable, "-c", code, *words, str(exported), str(task / "data/u0.wav")],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == (task / "data/text").read_text().splitlines()[0].split()[1:]


@pytest.mark.skipif(find_spec("k2") is None, reason="k2 is not installed")
def test_searches_of_an_export_agree(task: Path, exported: Path) -> None:
    options = [RecogniserOptions(runtime="onnx", search=Search(search=search)) for search in ("k2", "numpy")]
    found = [measure(load_recogniser(exported, o), task / "data").hypotheses for o in options]
    assert found[0] == found[1]


def test_vosk_alone(task: Path, exported: Path) -> None:
    found = measure(load_recogniser(exported, RecogniserOptions(runtime="vosk")), task / "data")
    assert found.wer.errors == 0, found.hypotheses


@pytest.mark.parametrize("arch", ["dnn"])
def test_text_form_in_vosk(arch: str, tmp_path: Path) -> None:
    model, graph, data = tone_task.make(tmp_path, arch)
    call("export nnet3", ["--binary=false", str(model), str(graph), str(tmp_path / "out")])
    assert (tmp_path / "out/am/final.mdl").read_bytes().startswith(b"<TransitionModel>")
    assert measure(load_recogniser(tmp_path / "out", RecogniserOptions()), data).wer.errors == 0


def test_steps(task: Path, tmp_path: Path) -> None:
    """The shell steps leave a whole directory, say what they did, and name what is missing."""
    done = step(
        tmp_path, "export_nnet3.sh", "--licence", "free for all", *map(str, (task / "model", task / "graph", "out"))
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert re.search(r"Done: \d+ files in out, \d+ bytes", done.stdout)
    done = step(
        tmp_path, "export_onnx.sh", "--licence", "free for all", *map(str, (task / "model", task / "data", "out"))
    )
    assert done.returncode == 0, done.stderr[-2000:]
    listed = manifest.check_files(tmp_path / "out", "am/", "graph/", "conf/", "onnx/")
    assert {"am/final.mdl", "graph/HCLG.fst", "conf/model.conf", "onnx/stream.int8.onnx"} <= set(listed)
    assert "free for all" in (tmp_path / "out/README.md").read_text()
    done = step(tmp_path, "export_nnet3.sh", str(task / "model"), str(task / "data"), "out2")
    assert done.returncode == 1
    assert f"{task}/data/HCLG.fst does not exist" in done.stderr
    assert step(tmp_path, "export_onnx.sh", "x").returncode == 1


def long_speech(words: list[str], pause: float) -> np.ndarray:
    return tone_task.speak(words, np.random.default_rng(5), pause)[0]


def test_pieces_of_a_stream(task: Path, exported: Path) -> None:
    """Cut at pauses; the same words from files, chunks of any size and stdin."""
    words = list(tone_task.WORDS) * 4
    samples = long_speech(words, pause=0.6)
    for runtime in ("onnx", "onnx-int8"):
        recogniser = load_recogniser(exported, RecogniserOptions(runtime=runtime))
        for size in (700, 3200, len(samples)):
            pieces = list(recogniser.pieces(samples[i : i + size] for i in range(0, len(samples), size)))
            assert [w for piece in pieces for w in piece.words] == words
            assert len(pieces) > 3
            assert all(a.end <= b.start for a, b in itertools.pairwise(pieces))
            assert pieces[-1].end <= len(samples) / tone_task.RATE
    vosk = load_recogniser(exported, RecogniserOptions(runtime="vosk"))
    assert [w for p in vosk.pieces(np.array_split(samples, 20)) for w in p.words] == words


def test_program(
    task: Path, exported: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    wavs = [str(task / f"data/u{i}.wav") for i in range(2)]
    texts = [line.split()[1:] for line in (task / "data/text").read_text().splitlines()[:2]]
    call("transcribe", [str(task / "model"), *wavs])
    assert capsys.readouterr().out == "".join(f"{wav} {' '.join(t)}\n" for wav, t in zip(wavs, texts, strict=True))
    for runtime in ("onnx", "vosk"):
        call("transcribe", [f"--runtime={runtime}", str(exported), wavs[0]])
        assert capsys.readouterr().out.split() == texts[0]
    raw = soundfile.read(wavs[1], dtype="int16")[0].tobytes()
    for data in (raw, Path(wavs[1]).read_bytes()):
        monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(data)))
        call("transcribe", [str(exported), "-"])
        assert capsys.readouterr().out.split() == texts[1]


def test_words_with_times_and_confidences(
    task: Path, exported: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Each tone lies where it was put; the formats agree; digital silence around it has no words."""
    pytest.importorskip("k2")
    words = list(tone_task.WORDS) * 2
    zeros = np.zeros(2 * tone_task.RATE, np.int16)
    samples = np.concatenate([zeros, long_speech(words, pause=0.6), zeros])
    soundfile.write(tmp_path / "a b.wav", samples, tone_task.RATE)
    soundfile.write(tmp_path / "nothing.wav", zeros, tone_task.RATE)
    loud = np.convolve(np.abs(samples.astype(float)), np.ones(160) / 160, "same") > 3000  # where the tones are
    graph = shutil.copytree(exported / "graph", tmp_path / "graph")
    kinds = ["nonword", *["singleton"] * len(tone_task.WORDS)]
    (graph / "phones/word_boundary.int").write_text("".join(f"{n} {kind}\n" for n, kind in enumerate(kinds, 1)))
    for options in (["--runtime=onnx", f"--graph-dir={graph}"], ["--runtime=vosk"]):
        call("transcribe", [*options, "--format=json", str(exported), str(tmp_path / "a b.wav")])
        found = json.loads(capsys.readouterr().out)
        assert found["text"].split() == words
        assert found["duration"] == pytest.approx(len(samples) / tone_task.RATE, abs=1e-3)
        listed = [word for piece in found["pieces"] for word in piece["words"]]
        assert [word["word"] for word in listed] == words
        for word in listed:
            assert 0.5 < word["confidence"] <= 1
            assert 0 <= word["start"] < word["end"] <= len(samples) / tone_task.RATE
            inside = loud[int(word["start"] * tone_task.RATE) : int(word["end"] * tone_task.RATE)]
            assert options[0] == "--runtime=vosk" or inside.mean() > 0.8  # it takes no word boundaries from us here
        assert all(a["end"] <= b["start"] for a, b in itertools.pairwise(listed))
        call("transcribe", [*options, "--format=ctm", str(exported), str(tmp_path / "a b.wav")])
        rows = [line.split() for line in capsys.readouterr().out.splitlines()]
        assert [(r[0], r[1], float(r[2]), r[4]) for r in rows] == [("a_b", "1", w["start"], w["word"]) for w in listed]
        call("transcribe", [*options, "--format=srt", str(exported), str(tmp_path / "a b.wav")])
        blocks = capsys.readouterr().out.strip().split("\n\n")
        assert [block.splitlines()[0] for block in blocks] == [str(n) for n in range(1, len(blocks) + 1)]
        assert " ".join(" ".join(block.splitlines()[2:]) for block in blocks).split() == words
        assert all(re.fullmatch(r"\d\d:\d\d:\d\d,\d{3} --> \d\d:\d\d:\d\d,\d{3}", b.splitlines()[1]) for b in blocks)
        call("transcribe", [*options, str(exported), str(tmp_path / "nothing.wav")])
        assert capsys.readouterr().out == ""


def test_one_bad_file_stops_no_other(
    task: Path, exported: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    pytest.importorskip("k2")
    good, bad = str(task / "data/u0.wav"), tmp_path / "x.m4a"
    bad.write_bytes(b"\0\0\0\x20ftypM4A " + bytes(500))
    with pytest.raises(HdnnError, match="2 of 4 files could not be transcribed"):
        call("transcribe", [str(exported), good, str(tmp_path / "none.wav"), str(bad), good])
    assert capsys.readouterr().out.count(f"{good} ") == 2
    assert "none.wav: no such file" in caplog.text
    assert "ffmpeg -i " in caplog.text
    with pytest.raises(HdnnError, match="one file at a time"):
        call("transcribe", ["--format=srt", str(exported), good, good])


@pytest.mark.parametrize(
    ("data", "kind"),
    [
        (b"hello there\n", "text"), ("drei V\u00f6gel\n".encode() * 900, "text"), (b"fLaC" + bytes(90), "FLAC"),
        (b"\0\0\0\x20ftypM4A " + bytes(90), "MP4"), (b"OggS" + bytes(90), "Ogg"),
    ],
)  # fmt: skip
def test_what_is_no_sound_on_stdin(data: bytes, kind: str) -> None:
    with pytest.raises(HdnnError, match=rf"stdin is {kind}.*send WAV or raw"):
        list(stdin_chunks(16000, source=io.BytesIO(data)))


def test_models_that_normalise_by_speaker(task: Path, tmp_path: Path) -> None:
    """Files can be transcribed, streams and devices not."""
    model = shutil.copytree(task / "model", tmp_path / "model")
    (model / "cmvn_opts").write_text("--norm-means=true --norm-vars=true\n")
    with pytest.raises(HdnnError, match="takes a whole recording"):
        call("transcribe", ["--graph-dir", str(task / "graph"), str(model), "-"])
    with pytest.raises(HdnnError, match="does not know its speaker"):
        call("export nnet3", [str(model), str(task / "graph"), str(tmp_path / "out")])
    call("transcribe", ["--graph-dir", str(task / "graph"), str(model), str(task / "data/u0.wav")])
    (model / "cmvn_opts").unlink()
    (model / "delta_opts").write_text("--delta-order=2\n")
    with pytest.raises(HdnnError, match="deltas"):
        call("export nnet3", [str(model), str(task / "graph"), str(tmp_path / "out")])
    assert not (tmp_path / "out").exists()


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-5])


def exchange(path: Path) -> None:
    path.write_text(path.read_text().replace("=15", "=23"))


DAMAGE: list[tuple[str, Callable[[Path], None], str]] = [
    ("am/final.mdl", cut, "not the file that was exported"),
    ("am/final.mdl", Path.unlink, "does not exist"),
    ("graph/HCLG.fst", cut, "not the file that was exported"),
    ("graph/words.txt", Path.unlink, "does not exist"),
    ("conf/fbank.conf", exchange, "not the file that was exported"),
    ("conf/fbank.conf", Path.unlink, "does not exist"),
    ("conf/model.conf", Path.unlink, "does not exist"),
    ("onnx/stream.onnx", cut, "not the file that was exported"),
    ("export.json", cut, "not valid JSON"),
    ("export.json", Path.unlink, "neither model.json"),
]


@pytest.mark.parametrize(("name", "damage", "message"), DAMAGE)
def test_damaged_exports_are_refused(copy: Path, name: str, damage: Callable[[Path], None], message: str) -> None:
    damage(copy / name)
    runtime = "onnx" if name.startswith("onnx/") else "vosk"
    with pytest.raises(HdnnError, match=message) as error:
        load_recogniser(copy, RecogniserOptions(runtime=runtime))
    assert "\n" not in str(error.value)


def relist(directory: Path, name: str) -> None:
    """As if the file had been exported like this."""
    manifest.update_manifest(directory, manifest.read_manifest(directory)["model"], [name])


def test_mismatched_exports_are_refused(copy: Path) -> None:
    """With right checksums, too: what is inside is compared."""
    config = copy / "conf/fbank.conf"
    original = config.read_text()
    exchange(config)
    relist(copy, "conf/fbank.conf")
    for runtime in ("vosk", "onnx"):
        with pytest.raises(HdnnError, match="23 columns, the network takes 15"):
            load_recogniser(copy, RecogniserOptions(runtime=runtime))
    config.write_text(original)
    relist(copy, "conf/fbank.conf")
    fst = read_fst(copy / "graph/HCLG.fst")
    first, second = (int(np.flatnonzero(fst.arcs["ilabel"] == tid)[0]) for tid in (1, 2))
    arcs = fst.arcs.copy()
    arcs["ilabel"][[first, second]] = arcs["ilabel"][[second, first]]  # a self-loop that leads elsewhere
    fst.arcs = arcs
    write_fst(copy / "graph/HCLG.fst", fst)
    relist(copy, "graph/HCLG.fst")
    with pytest.raises(HdnnError, match="graph of another tree"):
        load_recogniser(copy, RecogniserOptions(runtime="vosk"))


def test_graphs_of_other_trees_are_refused_at_export(task: Path, tmp_path: Path) -> None:
    graph = shutil.copytree(task / "graph", tmp_path / "graph")
    (graph / "num_pdfs").write_text("7\n")
    with pytest.raises(HdnnError, match="made for 7 pdfs"):
        call("export nnet3", [str(task / "model"), str(graph), str(tmp_path / "out")])
    (graph / "num_pdfs").unlink()
    fst = read_fst(graph / "HCLG.fst")
    fst.arcs = fst.arcs.copy()
    fst.arcs["ilabel"][fst.arcs["ilabel"] == 10] = 11
    write_fst(graph / "HCLG.fst", fst)
    with pytest.raises(HdnnError, match="graph of another tree"):
        call("export nnet3", [str(task / "model"), str(graph), str(tmp_path / "out")])
    (graph / "words.txt").write_text("<eps> 0\nDO 1\n")
    shutil.copy(task / "graph/HCLG.fst", graph / "HCLG.fst")
    with pytest.raises(HdnnError, match="words that"):
        call("export nnet3", [str(task / "model"), str(graph), str(tmp_path / "out")])
    assert not (tmp_path / "out").exists()


def test_feature_options_must_agree(task: Path, tmp_path: Path) -> None:
    config = tmp_path / "fbank.conf"
    config.write_text("--num-mel-bins=15\n")
    arguments = [str(task / "model"), str(task / "graph"), str(tmp_path / "out")]
    with pytest.raises(HdnnError, match="was trained on features of"):
        call("export nnet3", ["--feat-type=fbank", f"--feat-config={config}", *arguments])
    model = shutil.copytree(task / "model", tmp_path / "model")
    (model / "feat_opts").unlink()
    with pytest.raises(HdnnError, match="does not say how its features were computed"):
        call("export nnet3", [str(model), *arguments[1:]])
    (model / "feats_of").write_text("speaker-adapted features of data/train\n")
    with pytest.raises(HdnnError, match="was trained on speaker-adapted features of data/train, which a device cannot"):
        call("export nnet3", ["--feat-type=fbank", f"--feat-config={config}", str(model), *arguments[1:]])
    (model / "feats_of").unlink()
    config.write_text("--num-mel-bins=16\n")
    with pytest.raises(HdnnError, match="gives 16 features a frame"):
        call("export nnet3", ["--feat-type=fbank", f"--feat-config={config}", str(model), *arguments[1:]])


def test_parameters_of_a_speaker_are_baked_in(task: Path, tmp_path: Path) -> None:
    model = load_model(task / "model")
    gates = torch.zeros_like(model.state_dict()["gates"])
    save_file({"gates": gates}, tmp_path / "speaker.safetensors")
    out = tmp_path / "out"
    call(
        "export nnet3",
        [
            f"--params={tmp_path}/speaker.safetensors",
            "--binary=false",
            *map(str, (task / "model", task / "graph", out)),
        ],
    )
    from tests.support import nnet3_reference

    read = nnet3_reference.read(out / "am/final.mdl")
    assert not read.components["transform"][1]["LinearParams"].any()
    assert "Adapted" in (out / "README.md").read_text()
    overlay(model, tmp_path / "speaker.safetensors")
    x = np.random.default_rng(0).standard_normal((6, 15)).astype(np.float32)
    with torch.no_grad():
        wanted = torch.log_softmax(model(torch.from_numpy(x)), 1).numpy()
    np.testing.assert_allclose(nnet3_reference.compute(read, x), wanted, rtol=1e-4, atol=1e-4)
    for tensors, message in (
        ({"gate": gates}, "gate of shape"),
        ({"gates": gates[:, :3]}, "wants of shape"),
        ({"gates": gates / 0}, "NaN"),
    ):
        save_file({k: v.contiguous() for k, v in tensors.items()}, tmp_path / "bad.safetensors")
        with pytest.raises(HdnnError, match=message):
            overlay(model, tmp_path / "bad.safetensors")


def snippets(card: str) -> dict[str, str]:
    """Heading line of each block of code -> the code."""
    return {m[1]: m[2] for m in re.finditer(r"^([^\n]+):\n\n```\w+\n(.*?)```", card, re.M | re.S)}


def run(code: str, *words: str) -> str:
    done = subprocess.run([sys.executable, "-c", code, *words], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout


def test_the_cards_snippets_run(task: Path, exported: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    card = (exported / "README.md").read_text()
    assert "tones" in card
    assert str((exported / "am/final.mdl").stat().st_size) in card
    code = snippets(card)
    text = (task / "data/text").read_text().split("\n")[0].split()[1:]
    assert run(code["Vosk, Python (`pip install vosk`)"], str(task / "data/u0.wav")).split() == text
    np.save(tmp_path / "x.npy", np.zeros((12, 15), np.float32))
    shape = run(code["ONNX Runtime, Python (`pip install onnxruntime`)"], str(tmp_path / "x.npy"))
    assert shape.strip() == f"(12, {tone_task.PHONES})"
    words = code["hdnn_nnet"].split()
    assert words[0] == "hdnn-transcribe"
    call("transcribe", [*words[1:-1], str(task / "data/u0.wav")])
    assert capsys.readouterr().out.split() == text


@pytest.mark.kaldi
def test_the_cards_kaldi_snippet_runs(task: Path, exported: Path, kaldi_root: Path, tmp_path: Path) -> None:
    program = kaldi_root / "src/nnet3bin/nnet3-latgen-faster"
    if not program.exists():
        pytest.skip("nnet3-latgen-faster is not built")
    code = snippets((exported / "README.md").read_text())["Kaldi"]
    code = code.replace("nnet3-latgen-faster", str(program), 1).replace("scp:feats.scp", f"scp:{task}/data/feats.scp")
    done = subprocess.run(["bash", "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    for line in (task / "data/text").read_text().splitlines():
        assert f"\n{line} \n" in done.stderr, done.stderr[-2000:]


def test_figures_of_a_trial_are_on_the_card(task: Path, tmp_path: Path) -> None:
    arguments = ["--check-data", str(task / "data"), "--check-utterances", "2"]
    call("export nnet3", [*arguments, str(task / "model"), str(task / "graph"), str(tmp_path / "out")])
    assert re.search(r"\| vosk \| 2 \| 0\.00 \| \d", (tmp_path / "out/README.md").read_text())


def test_audio_of_other_forms(task: Path, tmp_path: Path) -> None:
    samples = soundfile.read(task / "data/u0.wav", dtype="int16")[0]
    stereo = np.stack([samples, np.zeros_like(samples)], 1)
    soundfile.write(tmp_path / "stereo.flac", stereo, 16000)
    np.testing.assert_array_equal(np.concatenate(list(file_chunks(tmp_path / "stereo.flac", 16000))), samples)
    time = np.arange(44100) / 44100
    soundfile.write(tmp_path / "fast.wav", 0.5 * np.sin(2 * np.pi * 440 * time), 44100)
    converted = np.concatenate(list(file_chunks(tmp_path / "fast.wav", 16000)))
    assert len(converted) == 16000
    wanted = 16384 * np.sin(2 * np.pi * 440 * np.arange(16000) / 16000)
    assert np.abs(converted - wanted)[500:-500].max() < 60
    with pytest.raises(HdnnError, match="no such file"):
        list(file_chunks(tmp_path / "none.wav", 16000))
    soundfile.write(tmp_path / "stereo.wav", stereo, 16000)
    with pytest.raises(HdnnError, match="2 channels"):
        list(stdin_chunks(16000, source=io.BytesIO((tmp_path / "stereo.wav").read_bytes())))
    odd = samples[:1001].tobytes()
    assert len(np.concatenate(list(stdin_chunks(16000, 0.01, io.BytesIO(odd))))) == 1001


@pytest.mark.parametrize("subtype", ["FLOAT", "DOUBLE", "PCM_16", "PCM_24"])
def test_samples_have_one_scale_in_every_subtype(task: Path, tmp_path: Path, subtype: str) -> None:
    """Without scaling, libsndfile turns floating-point samples into zeros."""
    samples = soundfile.read(task / "data/u0.wav", dtype="int16")[0]
    soundfile.write(tmp_path / "x.wav", samples / 32768, 16000, subtype=subtype)
    np.testing.assert_array_equal(np.concatenate(list(file_chunks(tmp_path / "x.wav", 16000))), samples)
    (tmp_path / "wav.scp").write_text(f"x {tmp_path}/x.wav\n")
    (tmp_path / "segments").write_text("x-1 x 0.1 0.3\n")
    ((_, rate, segment),) = read_audio(tmp_path, read_segments(tmp_path))
    assert rate == 16000
    np.testing.assert_array_equal(segment, samples[1600:4800])
    soundfile.write(tmp_path / "loud.wav", np.array([1.5, -1.5, 1.0]), 16000, subtype="FLOAT")
    with pytest.raises(HdnnError, match=r"loud\.wav: floating-point sample 1\.5 outside"):
        list(file_chunks(tmp_path / "loud.wav", 16000))


def test_log_posteriors_are_not_decoded(task: Path, copy: Path) -> None:
    words = ["--subtract-prior", "false", str(task / "model"), str(task / "data"), str(copy)]
    assert call("export onnx", words) == 0
    with pytest.raises(HdnnError, match="gives logposteriors, a decoder needs log-likelihoods"):
        load_recogniser(copy, RecogniserOptions(runtime="onnx"))


@pytest.mark.parametrize(
    ("choices", "message"),
    [
        (RecogniserOptions(runtime="onnx", weights="iter2.safetensors"), "leave out --weights"),
        (RecogniserOptions(runtime="vosk", pauses=Pauses(pause=1.0)), "leave out --pause"),
    ],
)
def test_options_that_would_do_nothing_are_refused(copy: Path, choices: RecogniserOptions, message: str) -> None:
    with pytest.raises(HdnnError, match=message):
        load_recogniser(copy, choices)


def test_what_was_measured_with_other_files_is_forgotten(copy: Path) -> None:
    figures = {"utterances": 2, "wer": 0.0, "rtf": 0.1}
    for runtime in ("onnx", "vosk"):
        manifest.add_measured(copy, runtime, figures)
    relist(copy, "graph/words.txt")  # as it was
    assert manifest.read_manifest(copy)["measured"] == {"onnx": figures, "vosk": figures}
    config = copy / "conf/model.conf"
    config.write_text(config.read_text() + "\n")
    (copy / "onnx/stream.onnx").write_bytes(b"another")
    relist(copy, "onnx/stream.onnx")
    assert manifest.read_manifest(copy)["measured"] == {"vosk": figures}
    relist(copy, "conf/model.conf")
    assert manifest.read_manifest(copy)["measured"] == {}


def test_the_card_has_no_wer_of_other_weights(task: Path, tmp_path: Path) -> None:
    model = shutil.copytree(task / "model", tmp_path / "model", ignore=shutil.ignore_patterns("export"))
    (model / "decode_dev").mkdir(exist_ok=True)
    (model / "decode_dev/wer_7_0.5").write_text("%WER 12.34 [ 1 / 8, 0 ins, 0 del, 1 sub ]\n")
    shutil.copyfile(model / "final.safetensors", model / "iter2.safetensors")
    for weights, shown in (("final.safetensors", True), ("iter2.safetensors", False)):
        out = tmp_path / weights
        call("export nnet3", ["--weights", weights, str(model), str(task / "graph"), str(out)])
        assert ("12.34 % on the development set" in (out / "README.md").read_text()) == shown
        assert manifest.read_manifest(out)["model"]["wer"]["lm_weight"] == 7


def test_which_graph(task: Path, tmp_path: Path) -> None:
    (tmp_path / "exp/net").mkdir(parents=True)
    with pytest.raises(HdnnError, match="no graph beside"):
        find_graph(tmp_path / "exp/net")
    for name in ("mono", "tri"):
        (tmp_path / f"exp/{name}/graph").mkdir(parents=True)
        (tmp_path / f"exp/{name}/graph/HCLG.fst").touch()
        if name == "mono":
            assert find_graph(tmp_path / "exp/net") == tmp_path / "exp/mono/graph"
    with pytest.raises(HdnnError, match="2 graphs"):
        find_graph(tmp_path / "exp/net")
    # The transition-ids tell which is meant, whatever their probabilities are.
    model = TransitionModel.read(task / "model/final.mdl")
    model.write(tmp_path / "exp/net/final.mdl")
    TransitionModel(model.topology, model.tuples, model.log_probs - 1).write(tmp_path / "exp/tri/final.mdl")
    other = model.tuples.copy()
    other[:, 2:] = model.num_pdfs - 1 - other[:, 2:]
    TransitionModel(model.topology, other).write(tmp_path / "exp/mono/final.mdl")
    assert find_graph(tmp_path / "exp/net") == tmp_path / "exp/tri/graph"


def test_the_example_in_c(task: Path, exported: Path, tmp_path: Path) -> None:
    """docs/examples/transcribe.c, built against the library that Vosk's wheel carries."""
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None:
        pytest.skip("no C compiler")
    import vosk

    library = Path(vosk.__file__).parent
    program = tmp_path / "transcribe"
    source = REPOSITORY / "docs/examples/transcribe.c"
    assert len(source.read_text().splitlines()) < 100
    build = [
        compiler,
        "-std=c11",
        "-Wall",
        "-Wextra",
        "-Werror",
        "-o",
        str(program),
        str(source),
        f"{library}/libvosk.so",
    ]
    subprocess.run([*build, f"-Wl,-rpath,{library}"], check=True)
    texts = [line.split()[1:] for line in (task / "data/text").read_text().splitlines()]
    for number in range(3):
        done = subprocess.run(
            [program, exported, task / f"data/u{number}.wav"], capture_output=True, text=True, check=True
        )
        assert done.stdout.split() == texts[number]
        assert re.search(r"[\d.]+ s of audio, .* kB at most", done.stderr)
    (tmp_path / "x.wav").write_text("no sound")
    for words, said in (
        ([exported, tmp_path / "x.wav"], "is no WAV file"),
        ([exported, "none.wav"], "cannot be opened"),
    ):
        done = subprocess.run([program, *words], capture_output=True, text=True, check=False)
        assert (done.returncode, done.stdout) == (1, "")
        assert said in done.stderr


def test_the_example_for_onnx_needs_no_torch(task: Path, exported: Path) -> None:
    """Neither does Vosk from Python; both hear what was said."""
    text = (task / "data/text").read_text().splitlines()[0].split()[1:]
    example = REPOSITORY / "docs/examples/transcribe_onnx.py"
    assert len(example.read_text().splitlines()) < 100
    wav = str(task / "data/u0.wav")
    programs = (
        f"import runpy\nsys.argv = ['x', {str(exported)!r}, {wav!r}]\nrunpy.run_path({str(example)!r}, run_name='__main__')",
        f"from hdnn_nnet.cli import call\ncall('transcribe', ['--runtime=vosk', {str(exported)!r}, {wav!r}])",
    )
    for program in programs:
        code = f"import sys\n{program}\nassert 'torch' not in sys.modules and 'k2' not in sys.modules"
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        assert done.stdout.split() == text
