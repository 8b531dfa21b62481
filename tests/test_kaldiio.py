"""Matrices beside a second library: what we read and write is what kaldiio reads and writes, for every kind."""

import gzip
import io
from pathlib import Path
from typing import Any

import kaldiio
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hdnn_nnet.kaldi.compress import compress_matrix
from hdnn_nnet.kaldi.matrix_table import MatrixTable
from hdnn_nnet.kaldi.matrix_writer import MatrixWriter, write_matrices
from hdnn_nnet.kaldi.tables import read_matrices

#: kind -> arguments of kaldiio.save_ark
KINDS: dict[str, dict[str, Any]] = {
    "FM": {},
    "DM": {},
    "text": {"text": True},
    "CM": {"compression_method": 2},
    "CM2": {"compression_method": 3},
    "CM3": {"compression_method": 5},
}
shapes = st.tuples(st.integers(1, 40), st.integers(1, 9))


def matrices(kind: str, shape: tuple[int, int], seed: int) -> dict[str, np.ndarray]:
    generator = np.random.default_rng(seed)
    dtype = np.float64 if kind == "DM" else np.float32
    return {f"utt{i}": (10.0**i * generator.standard_normal(shape)).astype(dtype) for i in range(3)}


@settings(max_examples=120, deadline=None)
@given(kind=st.sampled_from(list(KINDS)), shape=shapes, seed=st.integers(0, 1000))
def test_ours_reads_what_kaldiio_writes(tmp_path_factory, kind: str, shape: tuple[int, int], seed: int) -> None:
    """In a stream, a gzipped one, through a pipe and at random; compressed kinds to the rounding of single precision."""
    folder = tmp_path_factory.mktemp("kaldiio")
    ark, scp, gz = folder / "a.ark", folder / "a.scp", folder / "a.gz"
    written = matrices(kind, shape, seed)
    kaldiio.save_ark(str(ark), written, scp=str(scp), **KINDS[kind])
    mark = ark.read_bytes()[5:].partition(b" ")[0]
    assert mark == (b"" if kind == "text" else b"\0B" + kind.encode())
    gz.write_bytes(gzip.compress(ark.read_bytes()))
    expected = dict(kaldiio.load_ark(str(ark)))
    table = MatrixTable(scp)
    for where in (ark, scp, gz, f"ark:cat {ark} |", f"scp:cat {scp} |"):
        found = dict(read_matrices(where))
        assert list(found) == list(written)
        for key, matrix in found.items():
            tolerance = 0 if kind in ("FM", "DM") else 2e-6 * np.ptp(written[key])
            assert matrix.dtype == np.float32
            np.testing.assert_allclose(matrix, expected[key].astype(np.float32), rtol=1e-6, atol=tolerance)
            np.testing.assert_array_equal(matrix, table[key].astype(np.float32))
            assert table.shape(key) == shape
    if kind == "DM":
        assert all((table[key] == written[key]).all() and table[key].dtype == np.float64 for key in written)


@pytest.mark.parametrize("method", range(1, 8))
def test_every_compression_method_of_kaldiio(tmp_path: Path, method: int) -> None:
    """Also those whose scale is fixed: 16 or 8 bit integers, and numbers from 0 to 1."""
    matrix = np.random.default_rng(method).random((20, 4))
    matrix = (matrix * {4: 30000, 6: 255}.get(method, 1)).astype(np.float32)
    kaldiio.save_ark(f"{tmp_path}/a.ark", {"u": matrix}, scp=f"{tmp_path}/a.scp", compression_method=method)
    expected = kaldiio.load_scp(f"{tmp_path}/a.scp")["u"]
    assert np.abs(expected - matrix).max() <= np.ptp(matrix) / 100
    for found in (MatrixTable(tmp_path / "a.scp")["u"], dict(read_matrices(tmp_path / "a.ark"))["u"]):
        np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-6 * float(np.ptp(matrix)))


@settings(max_examples=80, deadline=None)
@given(kind=st.sampled_from(["FM", "DM", "text", "CM"]), shape=shapes, seed=st.integers(0, 1000))
def test_kaldiio_reads_what_ours_writes(tmp_path_factory, kind: str, shape: tuple[int, int], seed: int) -> None:
    folder = tmp_path_factory.mktemp("ours")
    written = matrices(kind, shape, seed)
    if kind == "CM":  # CM2 up to 8 rows
        write_matrices(folder / "a.ark", folder / "a.scp", written.items(), compress=True)
    else:
        with MatrixWriter(f"ark{',t' if kind == 'text' else ''},scp:{folder}/a.ark,{folder}/a.scp") as writer:
            for key, matrix in written.items():
                writer.write_matrix(key, matrix)
    ours, script = dict(read_matrices(folder / "a.ark")), kaldiio.load_scp(f"{folder}/a.scp")
    for found in (dict(kaldiio.load_ark(f"{folder}/a.ark")), {key: script[key] for key in script}):
        assert list(found) == list(written)
        for key, matrix in found.items():
            tolerance = 0 if kind != "CM" else 2e-6 * np.ptp(written[key])
            np.testing.assert_allclose(ours[key], matrix.astype(np.float32), rtol=1e-6, atol=tolerance)
            if kind in ("FM", "DM"):
                np.testing.assert_array_equal(matrix, written[key])


def test_only_ours_decompresses_as_kaldi_does(kaldi_fixture: Path) -> None:
    """Why compressed matrices are not left to kaldiio; when it does so too, our code for them can go."""
    for kind in ("cm", "cm2", "cm3"):
        folder = kaldi_fixture / "data/formats"
        ((_, expected),) = kaldiio.load_ark(f"{folder}/{kind}.float.ark")
        ((_, ours),) = read_matrices(folder / f"{kind}.ark")
        ((_, theirs),) = kaldiio.load_ark(f"{folder}/{kind}.ark")
        np.testing.assert_array_equal(ours, expected)
        assert 0.1 < (theirs != expected).mean() < 0.9
        np.testing.assert_allclose(theirs, expected, atol=1e-4)


def test_only_ours_compresses_as_kaldi_does() -> None:
    """The same for writing: kaldiio's bytes are one step off in some matrices; ours are Kaldi's (test_feats.py)."""
    differ = 0
    for seed in range(60):
        matrix = np.random.default_rng(seed).standard_normal((5 if seed % 2 else 50, 13)).astype(np.float32)
        stream = io.BytesIO()
        kaldiio.matio.write_array(stream, matrix, compression_method=1)
        theirs, ours = stream.getvalue(), b"\0B" + compress_matrix(matrix)
        assert len(theirs) == len(ours)
        differ += theirs != ours
    assert 0 < differ < 30


@pytest.mark.parametrize("rows", [0, 1])
def test_matrices_without_and_with_one_row(tmp_path: Path, rows: int) -> None:
    matrix = np.ones((rows, 3), np.float32)
    write_matrices(tmp_path / "a.ark", tmp_path / "a.scp", [("utt", matrix)])
    kaldiio.save_ark(f"{tmp_path}/b.ark", {"utt": matrix})
    assert (tmp_path / "a.ark").read_bytes() == (tmp_path / "b.ark").read_bytes()
    assert dict(read_matrices(tmp_path / "b.ark"))["utt"].shape == (rows, 3)
