"""Feature extraction: against a second implementation, real Kaldi, and by properties; the step as users run it."""

import os
import subprocess
import sys
from pathlib import Path

import kaldiio
import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from hdnn_nnet.cli import call
from hdnn_nnet.errors import HdnnError
from hdnn_nnet.feats.audio import read_audio, read_segments
from hdnn_nnet.feats.collect import speaker_stats
from hdnn_nnet.feats.extract import FeatureExtractor
from hdnn_nnet.feats.reader import FeatureReader
from hdnn_nnet.feats.stats import accumulate_cmvn
from hdnn_nnet.kaldi.byte_stream import ByteStream
from hdnn_nnet.kaldi.compress import compress_matrix
from hdnn_nnet.kaldi.matrix import read_matrix
from hdnn_nnet.kaldi.matrix_table import MatrixTable
from hdnn_nnet.kaldi.matrix_writer import write_matrices
from hdnn_nnet.kaldi.script_table import read_scp

REPOSITORY = Path(__file__).resolve().parent.parent
RATE = 16000


def _speech(seconds: float, seed: int) -> np.ndarray:
    """Coloured noise with a slowly changing level: enough like speech for features; int16."""
    generator = np.random.default_rng(seed)
    noise = generator.standard_normal(int(seconds * RATE))
    noise[1:] += 0.9 * noise[:-1]
    level = 300 + 3000 * np.sin(np.arange(len(noise)) / RATE * 7) ** 2
    return np.clip(noise * level, -32768, 32767).astype(np.int16)


@pytest.fixture
def data_dir(tmp_path: Path) -> Path:
    """Two recordings (one through a command), four segments, two speakers."""
    data = tmp_path / "data" / "tiny"
    data.mkdir(parents=True)
    for number, name in enumerate(("r1", "r2")):
        soundfile.write(tmp_path / f"{name}.wav", _speech(4.0, number), RATE, subtype="PCM_16")
    (data / "wav.scp").write_text(f"r1 {tmp_path}/r1.wav\nr2 cat {tmp_path}/r2.wav |\n")
    (data / "segments").write_text("a-1 r1 0.00 1.203\na-2 r1 1.5 3.9\nb-1 r2 0.5 1.5\nb-2 r2 2 -1\n")
    (data / "utt2spk").write_text("a-1 a\na-2 a\nb-1 b\nb-2 b\n")
    (data / "spk2utt").write_text("a a-1 a-2\nb b-1 b-2\n")
    return data


def test_audio(data_dir: Path) -> None:
    """Kaldi cuts fractions of samples; -1 is the end of the recording."""
    pieces = {segment.utterance: samples for segment, _, samples in read_audio(data_dir, read_segments(data_dir))}
    whole = [soundfile.read(data_dir.parent.parent / f"r{n}.wav", dtype="int16")[0] for n in (1, 2)]
    np.testing.assert_array_equal(pieces["a-1"], whole[0][: int(1.203 * RATE)])
    np.testing.assert_array_equal(pieces["b-1"], whole[1][RATE // 2 : RATE * 3 // 2])
    np.testing.assert_array_equal(pieces["b-2"], whole[1][2 * RATE :])
    (data_dir / "segments").unlink()
    assert [segment.utterance for segment in read_segments(data_dir)] == ["r1", "r2"]


@pytest.mark.parametrize(
    ("segments", "message"),
    [
        ("a-1 r3 0 1\n", "recording r3 is not in wav.scp"),
        ("a-1 r1 2 1\n", "bad times"),
        ("a-1 r1 x 1\n", "expected recording, start, end"),
        ("a-1 r1 0 1 7\n", "no channel 7"),
        ("", "segments is empty"),
    ],
)
def test_bad_segments(data_dir: Path, segments: str, message: str) -> None:
    (data_dir / "segments").write_text(segments)
    with pytest.raises(HdnnError, match=message):
        list(read_audio(data_dir, read_segments(data_dir)))


def test_bad_audio(data_dir: Path) -> None:
    for line, message in (
        ("r1 /no/such.wav", r"/no/such\.wav.*cannot read"),
        ("r1 false |", "the command failed"),
        (f"r1 {data_dir}/utt2spk", "cannot read the sound file"),
    ):
        (data_dir / "wav.scp").write_text(line + "\n")
        (data_dir / "segments").write_text("a-1 r1 0 1\n")
        with pytest.raises(HdnnError, match=message):
            list(read_audio(data_dir, read_segments(data_dir)))
    with pytest.raises(HdnnError, match="sample rate 8000"):
        FeatureExtractor("mfcc")(np.zeros(8000, np.float32), 8000, "x")


def test_against_lhotse() -> None:
    """lhotse's own implementation of Kaldi's features, written in torch."""
    import torch
    from lhotse.features.kaldi import layers

    samples = _speech(1.0, 5).astype(np.float32)
    common = {"sampling_rate": RATE, "dither": 0.0, "snip_edges": True, "use_energy": False}
    ours = FeatureExtractor("fbank")(samples, RATE)
    theirs = layers.Wav2LogFilterBank(num_filters=40, high_freq=0, **common)(torch.from_numpy(samples)[None])[0]
    assert ours.shape == theirs.shape == (98, 40)
    np.testing.assert_allclose(ours, theirs.numpy(), atol=2e-3)
    ours = FeatureExtractor("mfcc")(samples, RATE)
    theirs = layers.Wav2MFCC(num_filters=23, num_ceps=13, high_freq=0, cepstral_lifter=22, **common)(
        torch.from_numpy(samples)[None]
    )[0]
    assert ours.shape == theirs.shape == (98, 13)
    np.testing.assert_allclose(ours, theirs.numpy(), atol=2e-2)


def test_options_of_kaldi() -> None:
    samples = _speech(0.5, 6).astype(np.float32)
    wide = FeatureExtractor("fbank", {"num-mel-bins": "24", "frame-shift": "20"})(samples, RATE)
    assert wide.shape == (24, 24)
    dithered = FeatureExtractor("mfcc", {"dither": "1"})
    np.testing.assert_array_equal(dithered(samples, RATE, "a"), dithered(samples, RATE, "a"))
    assert (dithered(samples, RATE, "a") != dithered(samples, RATE, "b")).any()
    for options in ({"num-ceps": "x"}, {"no-such": "1"}, {"use-power": "true"}, {"use-energy": "perhaps"}):
        with pytest.raises(HdnnError, match="--"):
            FeatureExtractor("mfcc", options)
    with pytest.raises(HdnnError, match="only mfcc and fbank"):
        FeatureExtractor("plp")


@settings(max_examples=60, deadline=None)
@given(
    matrix=npst.arrays(
        np.float32,
        st.tuples(st.integers(1, 40), st.integers(1, 5)),
        elements=st.floats(-1000, 1000, width=32) | st.sampled_from([0.0, 1.0]),
    )
)
def test_compression_error_is_bounded(matrix: np.ndarray) -> None:
    """Within a sixtieth of the matrix's range; two bytes, and much finer, up to 8 rows."""
    data = b"\0B" + compress_matrix(matrix)
    again = read_matrix(ByteStream.of(data, "x"))
    assert again.shape == matrix.shape
    span = max(np.ptp(matrix), np.abs(matrix).max(), 1e-3)
    assert np.abs(again - matrix).max() <= span * (1e-4 if len(matrix) <= 8 else 1 / 60)


def test_compression_refuses_nan() -> None:
    with pytest.raises(HdnnError, match="NaN"):
        compress_matrix(np.full((9, 2), np.nan, np.float32))


@pytest.mark.parametrize("name", ["train", "test"])
def test_cmvn_statistics_bit_for_bit(kaldi_fixture: Path, name: str, tmp_path: Path) -> None:
    data = kaldi_fixture / "data" / name
    stats = speaker_stats(FeatureReader(data, root=kaldi_fixture), read_scp(data / "spk2utt"))
    write_matrices(tmp_path / "cmvn.ark", tmp_path / "cmvn.scp", stats)
    assert (tmp_path / "cmvn.ark").read_bytes() == (data / "cmvn.ark").read_bytes()


def test_cmvn_statistics_by_definition() -> None:
    frames = np.random.default_rng(0).standard_normal((50, 3)).astype(np.float32)
    stats = accumulate_cmvn(accumulate_cmvn(None, frames[:20]), frames[20:])
    np.testing.assert_allclose(stats[0], [*frames.sum(axis=0, dtype=float), 50])
    np.testing.assert_allclose(stats[1], [*(frames.astype(float) ** 2).sum(axis=0), 0], rtol=1e-6)


def _run(*words: str, cwd: Path) -> subprocess.CompletedProcess:
    paths = [str(REPOSITORY / "steps_py"), str(REPOSITORY / "local"), str(Path(sys.executable).parent)]
    environment = {**os.environ, "PATH": ":".join([*paths, os.environ["PATH"]]), "PYTHONPATH": str(REPOSITORY)}
    return subprocess.run(words, cwd=cwd, env=environment, capture_output=True, text=True, check=False)


def test_step(data_dir: Path, tmp_path: Path) -> None:
    """make_feats.sh with two jobs gives what one extractor gives, in order; a second run with one job the same."""
    (tmp_path / "mfcc.conf").write_text("--use-energy=false  # C0\n--num-ceps=12\n")
    script = str(REPOSITORY / "steps_py/make_feats.sh")
    options = ["--feat-config", "mfcc.conf", "--compress", "false", "data/tiny", "log", "ark"]
    for nj in ("2", "1"):
        done = _run(script, "--nj", nj, *options, cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        assert "4 of 4 utterances have mfcc features" in done.stdout
        reader = FeatureReader(data_dir)
        assert reader.utts == ["a-1", "a-2", "b-1", "b-2"]
        extractor = FeatureExtractor("mfcc", {"num-ceps": "12"})
        for segment, rate, samples in read_audio(data_dir, read_segments(data_dir)):
            expected = extractor(samples, rate)
            np.testing.assert_array_equal(reader[segment.utterance], expected)
            assert reader.num_frames[segment.utterance] == len(expected)
            assert float(read_scp(data_dir / "utt2dur")[segment.utterance]) == round(len(samples) / rate, 3)
        stats = MatrixTable(data_dir / "cmvn.scp")["b"]
        assert stats.shape == (2, 13)
        assert stats[0, -1] == reader.num_frames["b-1"] + reader.num_frames["b-2"]


def test_step_usage_and_failures(data_dir: Path, tmp_path: Path) -> None:
    script = str(REPOSITORY / "steps_py/make_feats.sh")
    done = _run(script, cwd=tmp_path)
    assert done.returncode == 1
    assert "usage:" in done.stderr
    (data_dir / "wav.scp").write_text(f"r1 {tmp_path}/r1.wav\nr2 cat {tmp_path}/missing.wav |\n")
    done = _run(script, "--nj", "2", "data/tiny", cwd=tmp_path)
    assert done.returncode != 0
    assert not (data_dir / "feats.scp").exists()
    (data_dir / "spk2utt").unlink()
    done = _run(script, "data/tiny", cwd=tmp_path)
    assert done.returncode == 1
    assert "spk2utt does not exist" in done.stderr


def test_missing_utterances_are_an_error(data_dir: Path, tmp_path: Path) -> None:
    """A segment too short for a frame is left out and counted; more than allowed stop the step."""
    (data_dir / "segments").write_text("a-1 r1 0 1\na-2 r1 1 1.02\na-3 r1 1 1.01\nb-1 r2 0 1\nb-2 r2 1 2\n")
    prefix = str(tmp_path / "raw")
    assert call("feats make", [str(data_dir), prefix]) == 0
    with pytest.raises(HdnnError, match=r"2 of 5 utterances have no features \(a-2 a-3"):
        call("collect feats", [str(data_dir), prefix])
    assert call("collect feats", ["--max-missing", "0.4", "--cmvn", prefix, str(data_dir), prefix]) == 0
    assert FeatureReader(data_dir).utts == ["a-1", "b-1", "b-2"]
    with pytest.raises(HdnnError, match=r"raw\.2\.scp does not exist"):
        call("collect feats", ["--num-jobs", "2", str(data_dir), prefix])
    with pytest.raises(HdnnError, match="--job 3"):
        call("feats make", ["--job", "3", "--num-jobs", "2", str(data_dir), prefix])


@pytest.mark.kaldi
def test_kaldi_extracts_the_same(data_dir: Path, kaldi_root: Path, tmp_path: Path) -> None:
    binaries = kaldi_root / "src/featbin"
    if not (binaries / "compute-mfcc-feats").exists():
        pytest.skip("compute-mfcc-feats is not built")
    for kind, options, tolerance in (("mfcc", "--use-energy=false", 1e-3), ("fbank", "--num-mel-bins=40", 1e-3)):
        pipe = (
            f"{binaries}/extract-segments scp:{data_dir}/wav.scp {data_dir}/segments ark:- | "
            f"{binaries}/compute-{kind}-feats --dither=0 {options} ark:- ark:{tmp_path}/kaldi.ark"
        )
        subprocess.run(["bash", "-o", "pipefail", "-c", pipe], check=True, capture_output=True)
        expected = dict(kaldiio.load_ark(f"{tmp_path}/kaldi.ark"))
        extractor = FeatureExtractor(kind)
        for segment, rate, samples in read_audio(data_dir, read_segments(data_dir)):
            np.testing.assert_allclose(extractor(samples, rate), expected[segment.utterance], atol=tolerance, rtol=0)


#: options of compute-KIND-feats, beside --dither=0
OPTIONS = {
    "mfcc": [
        "--use-energy=true --raw-energy=false", "--use-energy=true --energy-floor=1e9", "--snip-edges=false", "--htk-compat=true",
        "--htk-compat=true --use-energy=true", "--window-type=blackman --blackman-coeff=0.3", "--window-type=hanning",
        "--window-type=rectangular", "--window-type=sine", "--low-freq=100 --high-freq=-400", "--num-ceps=1",
        "--num-mel-bins=40 --num-ceps=40", "--cepstral-lifter=0", "--preemphasis-coefficient=0", "--remove-dc-offset=false",
        "--round-to-power-of-two=false", "--frame-length=20 --frame-shift=12.5",
        "--sample-frequency=8000 --num-mel-bins=15 --high-freq=3700",
    ],
    "fbank": [
        "--use-power=false", "--use-energy=true", "--use-energy=true --htk-compat=true", "--snip-edges=false", "--num-mel-bins=3",
        "--num-mel-bins=80 --high-freq=7000",
    ],
}  # fmt: skip


@pytest.mark.kaldi
@pytest.mark.parametrize(("kind", "options"), [(kind, line) for kind, lines in OPTIONS.items() for line in lines])
def test_every_option_does_what_kaldi_s_does(kind: str, options: str, kaldi_root: Path, tmp_path: Path) -> None:
    program = kaldi_root / f"src/featbin/compute-{kind}-feats"
    if not program.exists():
        pytest.skip(f"{program.name} is not built")
    given = {"use-energy": "false"} if kind == "mfcc" else {"num-mel-bins": "40"}  # where our defaults are others
    given |= dict(word.removeprefix("--").split("=") for word in options.split())
    samples, rate = _speech(1.7, 5), int(given.get("sample-frequency", RATE))
    soundfile.write(tmp_path / "s.wav", samples, rate, subtype="PCM_16")
    (tmp_path / "wav.scp").write_text(f"u {tmp_path}/s.wav\n")
    words = [f"--{name}={value}" for name, value in given.items()]
    command = [str(program), "--dither=0", *words, f"scp:{tmp_path}/wav.scp", f"ark:{tmp_path}/kaldi.ark"]
    subprocess.run(command, check=True, capture_output=True)
    expected = dict(kaldiio.load_ark(f"{tmp_path}/kaldi.ark"))["u"]
    np.testing.assert_allclose(FeatureExtractor(kind, given)(samples, rate), expected, atol=1e-3, rtol=1e-5)


@pytest.mark.kaldi
def test_kaldi_compresses_the_same(kaldi_fixture: Path, kaldi_root: Path, tmp_path: Path) -> None:
    """Byte for byte copy-feats --compress=true, for long and short matrices."""
    program = kaldi_root / "src/featbin/copy-feats"
    if not program.exists():
        pytest.skip("copy-feats is not built")
    generator = np.random.default_rng(3)
    sizes = (1, 3, 5, 8, 9, 10, 300)
    sizes = (1, 3, 5, 8, 9, 10, 300)
    matrices = {f"m{rows}": generator.standard_cauchy((rows, 5)).astype(np.float32) for rows in sizes}
    matrices["constant"] = np.full((20, 3), 7.0, np.float32)
    write_matrices(tmp_path / "in.ark", tmp_path / "in.scp", matrices.items())
    write_matrices(tmp_path / "ours.ark", tmp_path / "ours.scp", matrices.items(), compress=True)
    command = [str(program), "--compress=true", f"ark:{tmp_path}/in.ark", f"ark:{tmp_path}/kaldi.ark"]
    subprocess.run(command, check=True, capture_output=True)
    assert (tmp_path / "ours.ark").read_bytes() == (tmp_path / "kaldi.ark").read_bytes()
