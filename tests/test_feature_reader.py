"""Reading features: bit for bit what Kaldi's copy-feats, apply-cmvn and add-deltas give."""

import os
import pickle
import shutil
import struct
import subprocess
from pathlib import Path

import kaldiio
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hdnn_nnet.errors import HdnnError
from hdnn_nnet.feats.reader import FeatureReader
from hdnn_nnet.feats.stats import accumulate_cmvn
from hdnn_nnet.feats.transforms import Cmvn, Deltas
from hdnn_nnet.kaldi.matrix_table import MatrixTable
from hdnn_nnet.kaldi.matrix_writer import write_matrices

MEANS = "--norm-means=true --norm-vars=false"


def _load(path: Path) -> dict[str, np.ndarray]:
    return dict(kaldiio.load_ark(str(path)))


@pytest.mark.parametrize("name", ["train", "test"])
def test_compressed_features(kaldi_fixture: Path, name: str) -> None:
    reader = FeatureReader(kaldi_fixture / "data" / name, root=kaldi_fixture)
    expected = _load(kaldi_fixture / "data" / name / "feats_float.ark")
    assert reader.utts == list(expected)
    assert reader.dim == 13
    for utterance, features in reader:
        assert features.dtype == np.float32
        np.testing.assert_array_equal(features, expected[utterance])
        assert features.flags.writeable
    assert reader.num_frames == {utterance: len(matrix) for utterance, matrix in expected.items()}


def test_frames_from_headers(kaldi_fixture: Path, tmp_path: Path) -> None:
    for name in ("feats.scp", "utt2spk"):
        shutil.copy(kaldi_fixture / "data/train" / name, tmp_path)
    reader = FeatureReader(tmp_path, root=kaldi_fixture)
    with_file = FeatureReader(kaldi_fixture / "data/train", root=kaldi_fixture)
    assert reader.num_frames == with_file.num_frames
    shutil.copy(kaldi_fixture / "data/train/feats_float.scp", tmp_path / "feats.scp")
    assert FeatureReader(tmp_path, root=kaldi_fixture).num_frames == with_file.num_frames


@pytest.mark.parametrize("kind", ["cm", "cm2", "cm3"])
def test_compression_formats(kaldi_fixture: Path, kind: str) -> None:
    table = MatrixTable(kaldi_fixture / f"data/formats/{kind}.scp", kaldi_fixture)
    ((key, expected),) = _load(kaldi_fixture / f"data/formats/{kind}.float.ark").items()
    np.testing.assert_array_equal(table[key], expected)
    assert table.shape(key) == expected.shape


def test_text_and_command(kaldi_fixture: Path, tmp_path: Path) -> None:
    """A text archive by offset, a command, and row and column ranges as Kaldi writes them (end included)."""
    ark = kaldi_fixture / "data/formats/text.ark"
    offset = len(ark.read_bytes().split(b" ")[0]) + 1
    scp = tmp_path / "feats.scp"
    float_ark = kaldi_fixture / "data/formats/cm.float.ark"
    scp.write_text(f"text {ark}:{offset}\npipe tail -c +{12} {float_ark} |\npart {float_ark}:11[10:19,2:4]\n")
    table = MatrixTable(scp)
    expected = _load(float_ark)["spkB-test1"]
    np.testing.assert_allclose(table["text"], expected, rtol=1e-6, atol=1e-6)
    np.testing.assert_array_equal(table["pipe"], expected)
    np.testing.assert_array_equal(table["part"], expected[10:20, 2:5])
    assert table.shape("part") == (10, 3)
    assert table.shape("text") == expected.shape


def test_cmvn(kaldi_fixture: Path) -> None:
    reader = FeatureReader(kaldi_fixture / "data/test", MEANS, root=kaldi_fixture)
    ((utterance, expected),) = _load(kaldi_fixture / "exp/nnet/feats_cmvn_one.ark").items()
    np.testing.assert_allclose(reader[utterance], expected, atol=1e-5, rtol=0)


def test_cmvn_variances_by_definition(kaldi_fixture: Path) -> None:
    """Over a speaker, normalised features have mean 0 and variance 1; skipped columns are untouched."""
    data = kaldi_fixture / "data/train"
    raw = FeatureReader(data, root=kaldi_fixture)
    reader = FeatureReader(data, "--norm-vars=true --skip-dims=0:2", root=kaldi_fixture)
    own = [utterance for utterance in reader.utts if reader.utt2spk[utterance] == "spkB"]
    frames = np.concatenate([reader[utterance] for utterance in own])
    np.testing.assert_allclose(frames.mean(axis=0)[[1, *range(3, 13)]], 0, atol=1e-4)
    np.testing.assert_allclose(frames.var(axis=0)[[1, *range(3, 13)]], 1, atol=1e-3)
    np.testing.assert_array_equal(frames[:, [0, 2]], np.concatenate([raw[utterance] for utterance in own])[:, [0, 2]])


def _slope(features: np.ndarray, window: int) -> np.ndarray:
    frames = len(features)
    weights = range(-window, window + 1)
    shifted = np.stack([features[np.clip(np.arange(frames) + j, 0, frames - 1)] * j for j in weights])
    return shifted.sum(axis=0) / sum(j * j for j in weights)


@settings(max_examples=30, deadline=None)
@given(frames=st.integers(1, 30), window=st.integers(1, 3), seed=st.integers(0, 99))
def test_deltas_by_definition(frames: int, window: int, seed: int) -> None:
    """The first derivative is the regression slope; away from the edges the second is the slope of the first."""
    features = np.random.default_rng(seed).standard_normal((frames, 3)).astype(np.float32)
    output = Deltas(2, window).apply(features)
    np.testing.assert_array_equal(output[:, :3], features)
    np.testing.assert_allclose(output[:, 3:6], _slope(features, window), atol=1e-5)
    inner = slice(2 * window, frames - 2 * window)
    np.testing.assert_allclose(output[inner, 6:], _slope(_slope(features, window), window)[inner], atol=1e-5)


def test_options() -> None:
    assert Cmvn.parse("") is None
    assert Cmvn.parse("--norm-means=false") is None
    assert Cmvn.parse("--norm-vars --norm-means=true") == Cmvn(True, True)
    assert Deltas.parse(" ") is None
    assert Deltas.parse("--delta-order=1") == Deltas(1, 2)
    for options in ("--norm-mean=true", "--norm-means=maybe", "norm-vars=true", "--norm-means=false --norm-vars=true"):
        with pytest.raises(HdnnError, match="cmvn_opts"):
            Cmvn.parse(options)
    for options in ("--delta-order", "--delta-order=x", "--delta-window=0"):
        with pytest.raises(HdnnError, match="delta_opts"):
            Deltas.parse(options)


def test_forked_and_pickled_readers_agree(kaldi_fixture: Path) -> None:
    """No shared file position: a child that reads must not disturb its parent."""
    reader = FeatureReader(kaldi_fixture / "data/train", MEANS, "--delta-order=2", root=kaldi_fixture)
    expected = {utterance: features.copy() for utterance, features in reader}
    child = os.fork()
    if child == 0:
        good = all((reader[utterance] == expected[utterance]).all() for utterance in reversed(reader.utts))
        os._exit(0 if good else 1)
    for utterance in reader.utts * 3:
        np.testing.assert_array_equal(reader[utterance], expected[utterance])
    assert os.waitpid(child, 0)[1] == 0
    copy = pickle.loads(pickle.dumps(reader))
    np.testing.assert_array_equal(copy[reader.utts[3]], expected[reader.utts[3]])


@pytest.fixture
def data_dir(tmp_path: Path) -> Path:
    """A data directory of three utterances of two speakers."""
    generator = np.random.default_rng(0)
    matrices = {name: generator.standard_normal((20, 4)).astype(np.float32) for name in ("a1", "a2", "b1")}
    write_matrices(tmp_path / "feats.ark", tmp_path / "feats.scp", matrices.items())
    (tmp_path / "utt2spk").write_text("a1 a\na2 a\nb1 b\n")
    stats = np.zeros((2, 5))
    stats[0, -1] = 20
    write_matrices(tmp_path / "cmvn.ark", tmp_path / "cmvn.scp", [("a", stats), ("b", stats)])
    return tmp_path


def test_missing_things(data_dir: Path) -> None:
    reader = FeatureReader(data_dir, MEANS)
    assert "a1" in reader
    assert len(reader) == 3
    with pytest.raises(HdnnError, match=r"feats\.scp: key c1 is missing"):
        reader["c1"]
    (data_dir / "cmvn.scp").write_text((data_dir / "cmvn.scp").read_text().splitlines()[0] + "\n")
    with pytest.raises(HdnnError, match=r"cmvn\.scp: key b is missing"):
        FeatureReader(data_dir, MEANS)["b1"]
    (data_dir / "utt2spk").write_text("a1 a\n")
    with pytest.raises(HdnnError, match="utt2spk: utterance a2 is missing"):
        FeatureReader(data_dir, MEANS)
    (data_dir / "feats.ark").unlink()
    with pytest.raises(HdnnError, match=r"feats\.scp, key a1: .*does not exist"):
        FeatureReader(data_dir)["a1"]
    (data_dir / "feats.scp").write_text("")
    with pytest.raises(HdnnError, match=r"feats\.scp is empty"):
        FeatureReader(data_dir)


def test_damaged_archive(data_dir: Path) -> None:
    data = (data_dir / "feats.ark").read_bytes()
    (data_dir / "feats.ark").write_bytes(data[:-5])
    assert FeatureReader(data_dir)["a2"].shape == (20, 4)
    with pytest.raises(HdnnError, match=r"feats\.ark, key b1: truncated archive, 5 bytes"):
        FeatureReader(data_dir)["b1"]
    (data_dir / "feats.ark").write_bytes(b"x" + data)
    with pytest.raises(HdnnError, match=r"feats\.ark, key a1: no Kaldi matrix"):
        FeatureReader(data_dir)["a1"]


@pytest.mark.parametrize(
    ("matrix", "message"),
    [
        (np.zeros((0, 4), np.float32), "utterance a1 has no frames"),
        (np.full((3, 4), np.nan, np.float32), "utterance a1 holds NaN"),
        (np.zeros((3, 7), np.float32), "utterance a1 has 7 dimensions"),
    ],
)
def test_bad_values(data_dir: Path, matrix: np.ndarray, message: str) -> None:
    write_matrices(data_dir / "feats.ark", data_dir / "feats.scp", [("a1", matrix)])
    with pytest.raises(HdnnError, match=message):
        FeatureReader(data_dir, MEANS)["a1"]


def test_bad_statistics(data_dir: Path) -> None:
    for stats in (np.zeros((2, 5)), np.full((2, 5), np.inf), np.zeros((3, 5))):
        write_matrices(data_dir / "cmvn.ark", data_dir / "cmvn.scp", [("a", stats)])
        with pytest.raises(HdnnError, match=r"cmvn\.scp, speaker a"):
            FeatureReader(data_dir, MEANS)["a1"]


@settings(max_examples=80, deadline=None)
@given(data=st.data())
def test_damaged_headers_never_crash(tmp_path_factory, data: st.DataObject) -> None:
    kind = data.draw(st.sampled_from([b"FM ", b"DM ", b"CM ", b"CM2 ", b"CM3 "]))
    numbers = st.integers(-5, 5) | st.integers(-(2**31), 2**31 - 1)
    rows, columns = data.draw(numbers), data.draw(numbers)
    if kind in (b"FM ", b"DM "):
        header = struct.pack("<bibi", 4, rows, data.draw(st.sampled_from([4, 8])), columns)
    else:
        header = struct.pack("<ffii", -1.0, 2.0, rows, columns)
    path = tmp_path_factory.mktemp("damaged")
    (path / "x.ark").write_bytes(b"\0B" + kind + header + data.draw(st.binary(max_size=60)))
    (path / "x.scp").write_text(f"x {path}/x.ark\n")
    try:
        matrix = MatrixTable(path / "x.scp")["x"]
    except HdnnError:
        return
    assert matrix.shape == (rows, columns)


@pytest.mark.kaldi
def test_kaldi_pipeline(kaldi_fixture: Path, kaldi_root: Path, tmp_path: Path) -> None:
    """copy-feats, apply-cmvn and add-deltas in a pipe."""
    binaries = kaldi_root / "src/featbin"
    for program in ("apply-cmvn", "add-deltas"):
        if not (binaries / program).exists():
            pytest.skip(f"{program} is not built")
    for cmvn, deltas in ((MEANS, "--delta-order=2 --delta-window=3"), ("--norm-vars=true", "--delta-order=1")):
        pipe = (
            f"{binaries}/apply-cmvn {cmvn} --utt2spk=ark:data/train/utt2spk scp:data/train/cmvn.scp "
            f"scp:data/train/feats.scp ark:- | {binaries}/add-deltas {deltas} ark:- ark:{tmp_path}/out.ark"
        )
        subprocess.run(["bash", "-o", "pipefail", "-c", pipe], cwd=kaldi_fixture, check=True, capture_output=True)
        expected = _load(tmp_path / "out.ark")
        for utterance, features in FeatureReader(kaldi_fixture / "data/train", cmvn, deltas, root=kaldi_fixture):
            np.testing.assert_allclose(features, expected[utterance], atol=1e-5, rtol=1e-6)


@pytest.mark.kaldi
@pytest.mark.parametrize(
    ("frames", "cmvn", "deltas"),
    [
        (50, "--norm-vars=true", ""), (50, "--norm-vars=true --skip-dims=1:3", ""), (1, "--norm-vars=true", ""),
        (1, MEANS, "--delta-order=2"), (2, MEANS, "--delta-order=2"), (3, MEANS, "--delta-order=3 --delta-window=3"),
        (50, MEANS, "--delta-order=0"),
    ],
)  # fmt: skip
def test_corners_of_cmvn_and_deltas(frames: int, cmvn: str, deltas: str, kaldi_root: Path, tmp_path: Path) -> None:
    """A constant column, one of tiny variance far from zero, very short utterances."""
    binaries = kaldi_root / "src/featbin"
    for program in ("compute-cmvn-stats", "apply-cmvn", "add-deltas"):
        if not (binaries / program).exists():
            pytest.skip(f"{program} is not built")
    matrix = np.random.default_rng(0).standard_normal((frames, 4)).astype(np.float32)
    matrix[:, 2] = 3.0
    matrix[:, 3] = 1e4 + matrix[:, 3] * 1e-3
    write_matrices(tmp_path / "f.ark", tmp_path / "f.scp", [("u", matrix)])
    last = f"{binaries}/add-deltas {deltas or '--delta-order=0'} ark:- ark:{tmp_path}/o.ark"
    pipe = (
        f"{binaries}/compute-cmvn-stats scp:{tmp_path}/f.scp ark:{tmp_path}/c.ark && "
        f"{binaries}/apply-cmvn {cmvn} ark:{tmp_path}/c.ark scp:{tmp_path}/f.scp ark:- | {last}"
    )
    subprocess.run(["bash", "-o", "pipefail", "-c", pipe], check=True, capture_output=True)
    stats = accumulate_cmvn(None, matrix)
    np.testing.assert_array_equal(stats, _load(tmp_path / "c.ark")["u"])
    normalisation = Cmvn.parse(cmvn)
    assert normalisation is not None
    offset, scale = normalisation.offset_and_scale(stats, "x")
    ours = matrix + offset if scale is None else matrix * scale + offset
    if derivatives := Deltas.parse(deltas):
        ours = derivatives.apply(ours)
    np.testing.assert_allclose(ours, _load(tmp_path / "o.ark")["u"], atol=1e-6, rtol=1e-6)


@pytest.mark.parametrize("options", ["--reverse=true", "--norm-vars=true --norm-means=false"])
def test_what_cmvn_does_not_do_is_refused(options: str) -> None:
    with pytest.raises(HdnnError, match="cmvn_opts"):
        Cmvn.parse(options)
