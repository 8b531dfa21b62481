"""What directories tell about their features, and features of audio that comes piece by piece."""

import itertools
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st

from hdnn_nnet.cli import call
from hdnn_nnet.errors import HdnnError
from hdnn_nnet.feats.description import FeatureDescription
from hdnn_nnet.feats.extract import FeatureExtractor, FeatureStream
from hdnn_nnet.kaldi.data_dir import DataDir, copy_feat_opts
from hdnn_nnet.kaldi.tables import read_matrices

CONFIG = "--window-type=hamming  # a comment\n--num-mel-bins=23\n--dither=1.0\n"


def test_configuration_and_line_and_back(tmp_path: Path) -> None:
    (tmp_path / "fbank.conf").write_text(CONFIG)
    made = FeatureDescription.from_config("fbank", tmp_path / "fbank.conf")
    assert made.line() == "--type=fbank --dither=1.0 --num-mel-bins=23 --window-type=hamming"
    assert FeatureDescription.parse(made.line(), "x") == made
    made.write(tmp_path)
    assert FeatureDescription.read(tmp_path) == made
    assert made.kaldi_config() == "--dither=0\n--num-mel-bins=23\n--window-type=hamming\n"
    assert made.extractor().dim == 23
    assert made.extractor().dither == 0


def test_defaults_are_spelled_out_for_kaldi() -> None:
    # Kaldi's are 23 mel bins, the energy for C0, and dither.
    assert FeatureDescription.make("fbank", {}).kaldi_config() == "--dither=0\n--num-mel-bins=40\n"
    assert FeatureDescription.make("mfcc", {}).kaldi_config() == "--dither=0\n--use-energy=false\n"


@pytest.mark.parametrize(
    "line", ["--type=plp", "--type=mfcc --no-such=1", "--num-mel-bins=40", "'", "--type=fbank --num-mel-bins=x"]
)
def test_bad_lines_are_refused_with_the_file(line: str) -> None:
    with pytest.raises(HdnnError, match=r"^somewhere: "):
        FeatureDescription.parse(line, "somewhere")


def test_directories_pass_it_on(tmp_path: Path) -> None:
    data = tmp_path / "data"
    data.mkdir()
    samples = np.random.default_rng(0).integers(-1000, 1000, 8000).astype(np.int16)
    for name in ("a", "b"):
        soundfile.write(tmp_path / f"{name}.wav", samples, 16000)
    (data / "wav.scp").write_text(f"a {tmp_path}/a.wav\nb {tmp_path}/b.wav\n")
    (data / "utt2spk").write_text("a a\nb b\n")
    call(
        "feats make",
        ["--type", "fbank", "--num-mel-bins", "12", "--job", "2", "--num-jobs", "2", str(data), f"{tmp_path}/x"],
    )
    assert FeatureDescription.read(data) is None  # one job is enough to write it
    call(
        "feats make",
        ["--type", "fbank", "--num-mel-bins", "12", "--job", "1", "--num-jobs", "2", str(data), f"{tmp_path}/x"],
    )
    wanted = FeatureDescription.make("fbank", {"num-mel-bins": "12"})
    assert FeatureDescription.read(data) == wanted
    DataDir(data).write_subset(["b"], tmp_path / "part")
    assert FeatureDescription.read(tmp_path / "part") == wanted
    (data / "feat_opts").unlink()
    copy_feat_opts(data, tmp_path / "part")  # what an earlier state left would be wrong
    assert FeatureDescription.read(tmp_path / "part") is None
    shutil.rmtree(data)


@settings(max_examples=30, deadline=None)
@given(
    pieces=st.lists(st.integers(0, 3000), min_size=1, max_size=8),
    kind=st.sampled_from(["mfcc", "fbank"]),
    snip=st.sampled_from(["true", "false"]),
)
def test_pieces_give_the_frames_of_the_whole(pieces: list[int], kind: str, snip: str) -> None:
    extractor = FeatureExtractor(kind, {"snip-edges": snip})
    samples = (np.random.default_rng(3).standard_normal(sum(pieces)) * 1000).astype(np.float32)
    stream = FeatureStream(extractor)
    edges = np.cumsum([0, *pieces])
    parts = [stream.accept(samples[a:b]) for a, b in itertools.pairwise(edges)]
    np.testing.assert_array_equal(np.concatenate([*parts, stream.finish()]), extractor(samples, 16000))


@pytest.mark.kaldi
@pytest.mark.parametrize("kind", ["mfcc", "fbank"])
def test_kaldi_computes_the_same_from_an_exported_configuration(kind: str, kaldi_root: Path, tmp_path: Path) -> None:
    program = kaldi_root / f"src/featbin/compute-{kind}-feats"
    if not program.exists():
        pytest.skip(f"{program.name} is not built")
    made = FeatureDescription.make(kind, {"window-type": "hamming", "htk-compat": "true", "dither": "1.0"})
    (tmp_path / "x.conf").write_text(made.kaldi_config())
    samples = np.random.default_rng(0).integers(-3000, 3000, 20000).astype(np.int16)
    soundfile.write(tmp_path / "x.wav", samples, 16000)
    (tmp_path / "wav.scp").write_text(f"x {tmp_path}/x.wav\n")
    command: list[str | Path] = [
        program,
        f"--config={tmp_path}/x.conf",
        f"scp:{tmp_path}/wav.scp",
        f"ark:{tmp_path}/x.ark",
    ]
    subprocess.run(command, check=True, capture_output=True)
    ((_, theirs),) = read_matrices(f"{tmp_path}/x.ark")
    np.testing.assert_allclose(made.extractor()(samples.astype(np.float32), 16000), theirs, atol=2e-3)
