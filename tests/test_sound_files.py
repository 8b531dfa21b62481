"""Sound by every way in: headers of streams, broken copies, containers on stdin, channels, floats, segments outside."""

import io
import logging
import struct
from pathlib import Path

import numpy as np
import pytest
import soundfile

from hdnn_nnet.errors import HdnnError
from hdnn_nnet.feats.audio import read_audio, read_segments
from hdnn_nnet.feats.collect import collect_feats
from hdnn_nnet.feats.sound_file import container, open_sound
from hdnn_nnet.runtime.audio import file_chunks, stdin_chunks

RATE = 16000


@pytest.fixture
def samples() -> np.ndarray:
    time = np.arange(RATE) / RATE
    return (8000 * np.sin(2 * np.pi * 440 * time) * (1 - time)).astype(np.int16)


def wav(samples: np.ndarray, size: int | None = None, order: str = "<", tail: bytes = b"") -> bytes:
    """A WAV file by hand, so that its header can say what it wants."""
    data = samples.astype(f"{order}i2").tobytes()
    size = len(data) if size is None else size
    riff = b"RIFF" if order == "<" else b"RIFX"
    form = struct.pack(f"{order}HHIIHH", 1, 1, RATE, 2 * RATE, 2, 16)
    head = (
        riff + struct.pack(f"{order}I", min(36 + size, 0xFFFFFFFF)) + b"WAVEfmt " + struct.pack(f"{order}I", 16) + form
    )
    return head + b"data" + struct.pack(f"{order}I", size) + data + tail


def ways(tmp_path: Path, data: bytes) -> dict[str, str]:
    """Extended file names of the same sound."""
    path = tmp_path / "s.wav"
    path.write_bytes(data)
    (tmp_path / "s.ark").write_bytes(b"utt " + data)
    return {"file": str(path), "pipe": f"cat {path} |", "archive": f"{tmp_path}/s.ark:4"}


@pytest.mark.parametrize("way", ["file", "pipe", "archive"])
@pytest.mark.parametrize("size", [None, 0, 0xFFFFFFFF, 0x7FFFF000])
@pytest.mark.parametrize("order", ["<", ">"])
def test_streams(tmp_path: Path, samples: np.ndarray, way: str, size: int | None, order: str) -> None:
    sound = open_sound(ways(tmp_path, wav(samples, size, order))[way], "s")
    np.testing.assert_array_equal(sound.read(dtype="int16"), samples)


@pytest.mark.parametrize("way", ["file", "pipe", "archive"])
def test_broken_copies(tmp_path: Path, samples: np.ndarray, way: str) -> None:
    with pytest.raises(HdnnError, match="truncated: the header announces 32000 bytes of sound, 20000 are there"):
        open_sound(ways(tmp_path, wav(samples)[: 44 + 20000])[way], "s")


@pytest.mark.parametrize("size", [None, 0, 0xFFFFFFFF])
def test_wav_on_stdin(samples: np.ndarray, size: int | None) -> None:
    got = np.concatenate(list(stdin_chunks(RATE, source=io.BytesIO(wav(samples, size)))))
    np.testing.assert_array_equal(got, samples)


def test_chunks_after_the_samples_are_no_sound(tmp_path: Path, samples: np.ndarray) -> None:
    data = wav(samples, tail=b"LIST" + struct.pack("<I", 200) + bytes(200))
    assert sum(map(len, stdin_chunks(RATE, source=io.BytesIO(data)))) == len(samples)
    for name in ways(tmp_path, data).values():
        assert len(open_sound(name, "s")) == len(samples)
    with pytest.raises(HdnnError, match="before the end that its WAV header announces"):
        list(stdin_chunks(RATE, source=io.BytesIO(wav(samples)[:30000])))


@pytest.mark.parametrize("form", ["FLAC", "AIFF", "AU", "NIST", "RF64", "W64", "CAF", "OGG", "MP3"])
def test_containers_on_stdin(samples: np.ndarray, form: str) -> None:
    if form not in soundfile.available_formats():
        pytest.skip(f"libsndfile without {form}")
    buffer = io.BytesIO()
    soundfile.write(buffer, samples, RATE, format=form)
    got = np.concatenate(list(stdin_chunks(RATE, source=io.BytesIO(buffer.getvalue()))))
    if form in ("OGG", "MP3"):  # they change the samples
        assert np.corrcoef(got[2000:14000], samples[2000:14000])[0, 1] > 0.9 or len(got) > len(samples) * 0.9
    else:
        np.testing.assert_array_equal(got, samples)


def test_unknown_containers_and_raw_samples(samples: np.ndarray) -> None:
    with pytest.raises(HdnnError, match=r"stdin is MP4 \(m4a\); send WAV"):
        list(stdin_chunks(RATE, source=io.BytesIO(b"\0\0\0\x20ftypM4A " + bytes(4000))))
    raw = np.random.default_rng(0).integers(-9000, 9000, 4000).astype("<i2")
    raw[0] = -1025  # FF FB, the mark of an MP3 frame
    assert container(raw.tobytes()) == ""
    np.testing.assert_array_equal(np.concatenate(list(stdin_chunks(RATE, source=io.BytesIO(raw.tobytes())))), raw)


@pytest.mark.parametrize("value", [1.5, np.nan, np.inf])
def test_floats_outside_are_refused(tmp_path: Path, value: float) -> None:
    samples = np.zeros(RATE, np.float32)
    samples[100] = value
    soundfile.write(tmp_path / "f.wav", samples, RATE, subtype="FLOAT")
    with pytest.raises(HdnnError, match=r"f\.wav: floating-point sample .* outside"):
        list(file_chunks(tmp_path / "f.wav", RATE))
    (tmp_path / "wav.scp").write_text(f"r {tmp_path}/f.wav\n")
    with pytest.raises(HdnnError, match=r"f\.wav \(recording r\): floating-point sample"):
        list(read_audio(tmp_path, read_segments(tmp_path)))


def test_channels(tmp_path: Path, samples: np.ndarray, caplog: pytest.LogCaptureFixture) -> None:
    soundfile.write(tmp_path / "s.wav", np.stack([samples, -samples], 1), RATE)
    (tmp_path / "wav.scp").write_text(f"r {tmp_path}/s.wav\n")
    with caplog.at_level(logging.WARNING):
        ((_, _, found),) = read_audio(tmp_path, read_segments(tmp_path))
    np.testing.assert_array_equal(found, samples)
    assert "2 channels, but none is named" in caplog.text
    (tmp_path / "segments").write_text("u r 0 1\n")
    with pytest.raises(HdnnError, match="2 channels, but none is named"):
        list(read_audio(tmp_path, read_segments(tmp_path)))
    (tmp_path / "segments").write_text("u r 0 1 1\n")
    ((_, _, found),) = read_audio(tmp_path, read_segments(tmp_path))
    np.testing.assert_array_equal(found, -samples)
    (tmp_path / "segments").write_text("u r 0 1 A\n")
    with pytest.raises(HdnnError, match="number of a channel"):
        read_segments(tmp_path)


def test_segments_outside(tmp_path: Path, samples: np.ndarray, caplog: pytest.LogCaptureFixture) -> None:
    soundfile.write(tmp_path / "s.wav", samples, RATE)
    (tmp_path / "wav.scp").write_text(f"r {tmp_path}/s.wav\n")
    (tmp_path / "segments").write_text("a r 0 0.5\nb r 2 3\nc r 0.5 9\nd r 0.5 1.2\n")
    outside: list[str] = []
    found = [segment.utterance for segment, _, _ in read_audio(tmp_path, read_segments(tmp_path), outside)]
    assert (found, outside) == (["a", "d"], ["b", "c"])
    assert "utterance b, 2 to 3 s: left out, the recording ends at 1.00 s" in caplog.text
    (tmp_path / "segments").unlink()
    (tmp_path / "s.wav").write_bytes(wav(samples[:0]))
    assert not list(read_audio(tmp_path, read_segments(tmp_path), outside))
    assert "the whole recording: left out, the recording is empty" in caplog.text


def test_one_of_few_may_be_missing(tmp_path: Path) -> None:
    (tmp_path / "wav.scp").write_text("".join(f"u{n} x.wav\n" for n in range(4)))
    prefix = tmp_path / "p"
    for kind in ("scp", "utt2num_frames", "utt2dur"):
        Path(f"{prefix}.1.{kind}").write_text("u0 1\nu1 1\n")
    with pytest.raises(HdnnError, match=r"2 of 4 .* too short for a frame .* --max-missing"):
        collect_feats(tmp_path, str(prefix), 1, 0.005, "")
