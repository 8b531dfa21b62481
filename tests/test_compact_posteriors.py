"""The compact form of posteriors: against a decoder in plain Python, errors of weights, copies, damage, trainings."""

import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hdnn_nnet.cli import call
from hdnn_nnet.errors import HdnnError
from hdnn_nnet.kaldi.byte_stream import ByteStream
from hdnn_nnet.kaldi.compact_posteriors import pack, unpack
from hdnn_nnet.kaldi.posteriors import PosteriorTable, PosteriorWriter, SparsePosteriors, read_posteriors, to_bytes
from hdnn_nnet.kaldi.tables import read_int_vectors, read_matrices

pdf_ids = st.one_of(st.integers(0, 4000), st.integers(0, 2**31 - 1))
weights = st.sampled_from([1, 1e6]).flatmap(lambda most: st.floats(0, most, width=32, allow_subnormal=False))
frames = st.lists(st.lists(st.tuples(pdf_ids, weights), max_size=5), max_size=6)


def build(content: list[list[tuple[int, float]]]) -> SparsePosteriors:
    flat = [pair for frame in content for pair in frame]
    pdfs, values = np.array([p for p, _ in flat], np.int32), np.array([w for _, w in flat], np.float32)
    return SparsePosteriors(np.cumsum([0, *map(len, content)]), pdfs, values)


def packed(posteriors: SparsePosteriors) -> bytes:
    return pack(posteriors.offsets, posteriors.pdfs, posteriors.weights)


def unpacked(data: bytes) -> SparsePosteriors:
    return SparsePosteriors(*unpack(ByteStream.of(data, "post.ark", "utt1")))


def pairs(posteriors: SparsePosteriors) -> list[list[tuple[int, float]]]:
    flat = list(zip(posteriors.pdfs.tolist(), posteriors.weights.tolist(), strict=True))
    return [flat[a:b] for a, b in zip(posteriors.offsets[:-1], posteriors.offsets[1:], strict=True)]


def decoded(data: bytes) -> list[list[tuple[int, float]]]:
    """An entry by the letter of the format, number by number."""
    assert data[:5] == b"\0BSP "
    frames, size, entries = struct.unpack("<iii", data[5:17])
    scale, crc = struct.unpack("<fI", data[17:25])
    assert crc == zlib.crc32(data[:21] + data[25:])
    numbers, value, shift = [], 0, 0
    for byte in data[25 : 25 + size]:
        value |= (byte & 127) << shift
        shift += 7
        if byte < 128:
            numbers.append(value)
            value = shift = 0
    codes = data[25 + size :]
    assert len(codes) == entries == len(numbers) - frames
    result, place = [], 0
    for count in numbers[:frames]:
        pdf, frame = 0, []
        for step in numbers[frames + place : frames + place + count]:
            pdf += step
            frame.append((pdf, float(np.float32(scale) * np.float32((codes[place] / 255) ** 6))))
            place += 1
        result.append(frame)
    return result


@settings(max_examples=300, deadline=None)
@given(frames)
def test_pdfs_are_kept_and_weights_have_the_nearest_code(content) -> None:
    posteriors = build(content)
    found = decoded(packed(posteriors))
    assert [[p for p, _ in frame] for frame in found] == [sorted(p for p, _ in frame) for frame in content]
    scale = float(posteriors.weights.max(initial=0)) or 1.0
    for kept, given_ in zip(found, content, strict=True):
        before = [w for _, w in sorted(given_, key=lambda pair: pair[0])]
        after = [w for _, w in kept]
        one, other = (np.power(np.array(w, np.float64) / scale, 1 / 6) for w in (before, after))
        np.testing.assert_allclose(one, other, rtol=0, atol=0.5 / 255 + 1e-6)


@settings(max_examples=300, deadline=None)
@given(frames)
def test_reading_against_the_format_byte_by_byte(content) -> None:
    data = packed(build(content))
    entry = unpacked(data)
    assert pairs(entry) == decoded(data)
    assert packed(entry) == data  # a copy of a copy is the same
    assert (entry.offsets.dtype, entry.pdfs.dtype, entry.weights.dtype) == (np.int64, np.int32, np.float32)


def test_soft_labels_stay_close() -> None:
    """Peaked, flat and whole posteriors of 4000 pdfs: at most 0.7 % of probability, at any temperature up to 3."""
    generator = np.random.default_rng(0)
    for spread in (1.0, 4.0, 8.0):
        p = np.exp(spread * generator.standard_normal((50, 4000)))
        p /= p.sum(1, keepdims=True)
        whole = SparsePosteriors(
            np.arange(51) * 4000, np.tile(np.arange(4000, dtype=np.int32), 50), p.astype(np.float32).ravel()
        )
        q = unpacked(packed(whole)).dense(4000).astype(np.float64)
        for temperature in (1, 2, 3):
            ours, theirs = (x ** (1 / temperature) / (x ** (1 / temperature)).sum(1, keepdims=True) for x in (q, p))
            assert np.abs(ours - theirs).max() < 7e-3
            kept = ours > 0
            divergence = np.where(kept, ours * np.log(np.where(kept, ours, 1) / theirs), 0).sum(1).mean()
            assert divergence < 2e-3, (spread, temperature)


def test_tables_of_all_forms(tmp_path: Path) -> None:
    """An archive may hold every form; lengths come from the heads, and the compact one is what the writer said it would be."""
    posteriors = build([[(3, 0.75), (0, 0.2)], [], [(39, 1.0)]])
    with PosteriorWriter(f"ark,scp:{tmp_path}/c.ark,{tmp_path}/c.scp", "compact") as writer:
        stored = writer.write_posteriors("utt1", posteriors)
    other = b"utt2 " + to_bytes(posteriors) + b"utt3 " + to_bytes(posteriors, text=True)
    archive = tmp_path / "c.ark"
    archive.write_bytes(archive.read_bytes() + other + archive.read_bytes().replace(b"utt1", b"utt4"))
    found = dict(read_posteriors(archive))
    assert list(found) == ["utt1", "utt2", "utt3", "utt4"]
    assert found["utt1"].checksum() == found["utt4"].checksum() == stored.checksum() != posteriors.checksum()
    assert pairs(found["utt1"])[0][0][0] == 0
    table = PosteriorTable(tmp_path / "c.scp")
    assert table.num_frames("utt1") == 3
    assert table["utt1"].checksum() == stored.checksum()
    for read in (read_matrices, read_int_vectors):
        with pytest.raises(HdnnError, match=r"c\.ark, key utt1: posteriors in compact form, not"):
            list(read(f"ark:{archive}"))


def test_copies(tmp_path: Path) -> None:
    """`hdnn copy-post`: to the compact form, back to Kaldi's, to text."""
    generator = np.random.default_rng(1)
    with PosteriorWriter(f"ark:{tmp_path}/kaldi.ark") as writer:
        for number in range(3):
            values = generator.dirichlet(np.full(20, 0.2), 30).astype(np.float32)
            pdfs = np.concatenate([generator.permutation(4000)[:20] for _ in range(30)]).astype(np.int32)
            writer.write_posteriors(f"utt{number}", SparsePosteriors(np.arange(31) * 20, pdfs, values.ravel()))
    table = f"ark,scp:{tmp_path}/small.ark,{tmp_path}/small.scp"
    assert call("copy-post", ["--form=compact", f"{tmp_path}/kaldi.ark", table]) == 0
    assert call("copy-post", [f"{tmp_path}/small.scp", f"ark:{tmp_path}/back.ark"]) == 0
    assert call("copy-post", [f"{tmp_path}/small.scp", f"ark,t:{tmp_path}/text.ark"]) == 0
    assert call("copy-post", ["--form=compact", f"{tmp_path}/back.ark", f"ark:{tmp_path}/again.ark"]) == 0
    sizes = {name: (tmp_path / f"{name}.ark").stat().st_size for name in ("kaldi", "small", "back")}
    assert sizes["small"] < 0.3 * sizes["kaldi"]
    assert sizes["back"] == sizes["kaldi"]
    assert (tmp_path / "again.ark").read_bytes() == (tmp_path / "small.ark").read_bytes()
    small, back, text = (dict(read_posteriors(tmp_path / name)) for name in ("small.scp", "back.ark", "text.ark"))
    for key, value in small.items():
        assert value.checksum() == back[key].checksum()
        np.testing.assert_allclose(text[key].weights, value.weights, rtol=1e-6)
    (tmp_path / "none.ark").touch()
    for arguments, message in (
        ([f"{tmp_path}/none.ark", f"ark:{tmp_path}/x"], "none.ark: no posteriors"),
        (["--form=compact", f"{tmp_path}/back.ark", f"ark,t:{tmp_path}/x"], "the compact form has no text form"),
    ):
        with pytest.raises(HdnnError, match=message):
            call("copy-post", arguments)
    assert not (tmp_path / "x").exists()


@pytest.mark.parametrize("pair", [(1, -0.5), (1, np.nan), (1, np.inf), (-1, 0.5)])
def test_what_the_form_cannot_hold(tmp_path: Path, pair: tuple[int, float]) -> None:
    with (
        pytest.raises(HdnnError, match=r"p\.ark, key utt1: the compact form holds .* --form kaldi"),
        PosteriorWriter(f"ark:{tmp_path}/p.ark", "compact") as writer,
    ):
        writer.write_posteriors("utt1", build([[(2, 1.0), pair]]))
    assert not list(tmp_path.iterdir())


def test_every_bit_counts(tmp_path: Path) -> None:
    """Each flipped bit and each cut is an error that names file and key, with or without a file of checksums."""
    path, data = tmp_path / "post.ark", packed(build([[(3, 0.5), (700, 0.5)], [], [(5, 1.0)]]))
    damaged = [data[:cut] for cut in range(len(data))]
    damaged += [data[:i] + bytes([data[i] ^ 1 << bit]) + data[i + 1 :] for i in range(len(data)) for bit in range(8)]
    for changed in damaged:
        path.write_bytes(b"utt1 " + changed)
        with pytest.raises(HdnnError, match=r"post\.ark, key utt1: "):
            list(read_posteriors(path))


@pytest.mark.parametrize(
    ("numbers", "entries"),
    [
        (b"\1\200", 1),  # a number that does not end
        (b"\1\200\200\200\200\200\1", 1),  # six bytes
        (b"\1\377\377\377\377\17", 1),  # 2^32 - 1
        (b"\2\3", 1),  # a frame of two entries, one there
        (b"\1\3\4", 1),  # a number too many
        (b"\2\377\377\377\377\7\1", 2),  # a pdf of 2^31
    ],
)
def test_nonsense_under_a_true_checksum(numbers: bytes, entries: int) -> None:
    head = b"\0BSP " + struct.pack("<iiif", 1, len(numbers), entries, 1.0)
    body = numbers + bytes(entries)
    with pytest.raises(HdnnError, match=r"post\.ark, key utt1: .*; regenerate it"):
        unpacked(head + struct.pack("<I", zlib.crc32(head + body)) + body)
