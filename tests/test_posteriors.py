"""Kaldi's Posterior tables: round trips, Kaldi's own files, damage."""

import gzip
import subprocess
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hdnn_nnet.errors import HdnnError
from hdnn_nnet.kaldi.posteriors import PosteriorTable, PosteriorWriter, SparsePosteriors, read_posteriors, to_bytes

weights = st.floats(0, 1, width=32).map(lambda w: float(f"{w:.5g}"))
frames = st.lists(st.lists(st.tuples(st.integers(0, 4000), weights), max_size=4), max_size=6)


def build(content: list[list[tuple[int, float]]]) -> SparsePosteriors:
    flat = [pair for frame in content for pair in frame]
    return SparsePosteriors(
        np.cumsum([0, *map(len, content)]),
        np.array([p for p, _ in flat], np.int32),
        np.array([w for _, w in flat], np.float32),
    )


def same(a: SparsePosteriors, b: SparsePosteriors) -> None:
    assert a.offsets.tolist() == b.offsets.tolist()
    assert a.pdfs.tolist() == b.pdfs.tolist()
    np.testing.assert_allclose(a.weights, b.weights, rtol=1e-6)


@settings(max_examples=100, deadline=None)
@given(st.lists(frames, min_size=1, max_size=4), st.booleans())
def test_round_trip(tmp_path_factory, contents, text) -> None:
    folder = tmp_path_factory.mktemp("post")
    entries = {f"utt{i}": build(c) for i, c in enumerate(contents)}
    specifier = f"ark{',t' if text else ''},scp:{folder}/post.ark,{folder}/post.scp"
    with PosteriorWriter(specifier) as writer:
        for key, value in entries.items():
            writer.write_posteriors(key, value)
    for where in (folder / "post.ark", folder / "post.scp", f"ark:cat {folder}/post.ark |"):
        found = dict(read_posteriors(where))
        assert list(found) == list(entries)
        for key, value in entries.items():
            same(found[key], value)
    table = PosteriorTable(folder / "post.scp")
    for key in reversed(list(entries)):
        same(table[key], entries[key])
        assert table.num_frames(key) == len(entries[key])


@settings(max_examples=200, deadline=None)
@given(frames, st.data())
def test_cut_anywhere_is_an_error_that_names_the_key(tmp_path_factory, content, data) -> None:
    path = tmp_path_factory.mktemp("post") / "post.ark"
    whole = b"utt1 " + to_bytes(build(content))
    cut = data.draw(st.integers(1, len(whole) - 1))
    path.write_bytes(whole[:cut])
    with pytest.raises(HdnnError, match=r"post\.ark"):
        list(read_posteriors(path))


@pytest.mark.parametrize(
    "line",
    ["utt1 [ 3 0.5 ] [ 4 ]\n", "utt1 [ 3 x ]\n", "utt1 [ 3 0.5 ] tail\n", "utt1 [ -1 0.5 ]\n", "utt1 [ 1 nan ]\n"],
)
def test_bad_text(tmp_path: Path, line: str) -> None:
    (tmp_path / "post.ark").write_text(line)
    with pytest.raises(HdnnError, match=r"post\.ark.*utt1"):
        list(read_posteriors(tmp_path / "post.ark"))


def test_not_a_number_in_binary(tmp_path: Path) -> None:
    bad = build([[(1, 0.5)]])
    bad.weights[0] = np.nan
    (tmp_path / "post.ark").write_bytes(b"utt1 " + to_bytes(bad))
    with pytest.raises(HdnnError, match="utt1: a negative pdf or a weight that is NaN"):
        list(read_posteriors(tmp_path / "post.ark"))


def test_kaldis_binary_and_text(kaldi_fixture: Path) -> None:
    folder = kaldi_fixture / "exp" / "ali"
    (key, binary), (_, text) = (
        next(read_posteriors(folder / "post_one.ark")),
        next(read_posteriors(f"ark:{folder}/post_one.txt")),
    )
    same(binary, text)
    assert b"%s " % key.encode() + to_bytes(binary) == (folder / "post_one.ark").read_bytes()
    assert b"%s " % key.encode() + to_bytes(binary, text=True) == (folder / "post_one.txt").read_bytes()


def test_kaldis_lattice_posteriors(kaldi_fixture: Path) -> None:
    path = kaldi_fixture / "exp" / "decode" / "lat.pdf_post.gz"
    entries = dict(read_posteriors(f"ark:gunzip -c {path} |"))
    lengths = dict(line.split() for line in (kaldi_fixture / "data/test/utt2num_frames").read_text().splitlines())
    assert {k: str(len(v)) for k, v in entries.items()} == lengths
    for value in entries.values():
        np.testing.assert_allclose(value.sums(), 1, atol=1e-6)
    assert b"".join(k.encode() + b" " + to_bytes(v) for k, v in entries.items()) == gzip.decompress(path.read_bytes())


@pytest.mark.kaldi
def test_kaldi_reads_ours(kaldi_root: Path, tmp_path: Path) -> None:
    program = kaldi_root / "src/bin/copy-post"
    if not program.exists():
        pytest.skip("this Kaldi has no copy-post")
    value = build([[(3, 0.75), (0, 0.25)], [], [(39, 1.0)]])
    with PosteriorWriter(f"ark,scp:{tmp_path}/post.ark,{tmp_path}/post.scp") as writer:
        writer.write_posteriors("utt1", value)
    done = subprocess.run([program, f"scp:{tmp_path}/post.scp", "ark,t:-"], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["utt1", "[", "3", "0.75", "0", "0.25", "]", "[", "]", "[", "39", "1", "]"]
