"""One's own recordings: folders, tables and manifests as data directories, the rule for texts, measures of audio, odd input."""

import logging
import os
import shutil
import subprocess
import sys
import types
from pathlib import Path
from typing import cast

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st

from hdnn_nnet.cli import call
from hdnn_nnet.corpus.normalise import Normaliser, NotPlain
from hdnn_nnet.corpus.quality import Quality, advice, band_edge, common_edge, measure
from hdnn_nnet.errors import HdnnError
from hdnn_nnet.feats.audio import read_audio, read_segments
from hdnn_nnet.kaldi.script_table import read_scp
from hdnn_nnet.lock import locked

REPOSITORY = Path(__file__).resolve().parent.parent
RANDOM = np.random.default_rng(3)


def speechlike(seconds: float, rate: int, cut: float = 1e9) -> np.ndarray:
    """Noise with the slope of speech, in bursts, nothing above `cut` Hz; int16."""
    count = int(seconds * rate)
    spectrum = np.fft.rfft(RANDOM.standard_normal(count))
    frequency = np.fft.rfftfreq(count, 1 / rate)
    spectrum *= (frequency < cut) / (1 + (frequency / 800) ** 1.3)
    noise = np.fft.irfft(spectrum, count)
    noise *= 0.3 + 0.7 * (np.sin(2 * np.pi * 3 * np.arange(count) / rate) > -0.5)
    return np.rint(noise / np.abs(noise).max() * 12000).astype(np.int16)


def folder(root: Path, speakers: int = 4, each: int = 8, rate: int = 16000, ending: str = "wav") -> Path:
    for speaker in range(speakers):
        for number in range(each):
            path = root / f"spk{speaker}/rec {number}.{ending}"
            path.parent.mkdir(parents=True, exist_ok=True)
            soundfile.write(path, speechlike(0.5, rate), rate)
            path.with_suffix(".txt").write_text(f"Hello, world; take {'abcdefghijkl'[number]}!\n")
    return root


def tables(data: Path) -> dict[str, dict[str, str]]:
    return {name: read_scp(data / name) for name in ("wav.scp", "text", "utt2spk", "spk2utt")}


def test_a_folder(tmp_path: Path) -> None:
    source = folder(tmp_path / "my recordings", ending="flac")
    assert call("data from-folder", [str(source), str(tmp_path / "data")]) == 0
    found = tables(tmp_path / "data")
    assert found["text"]["spk1-rec_2"] == "HELLO WORLD TAKE C"
    assert found["utt2spk"]["spk1-rec_2"] == "spk1"
    assert [len(found[name]) for name in ("wav.scp", "text", "spk2utt")] == [32, 32, 4]
    for name in found:
        keys = list(found[name])
        assert keys == sorted(keys, key=str.encode)
    segment, rate, samples = next(read_audio(tmp_path / "data", read_segments(tmp_path / "data")))
    assert (segment.utterance, rate, len(samples)) == ("spk0-rec_0", 16000, 8000)
    original, _ = soundfile.read(source / "spk0/rec 0.flac", dtype="int16")
    np.testing.assert_array_equal(samples, original)
    said = (tmp_path / "data/prepared.txt").read_text()
    assert "32 utterances, 4 speakers, 128 words" in said
    assert "32 texts in other than capitals, 32 texts with punctuation left out" in said


def test_decoded_audio_follows_its_recordings(tmp_path: Path) -> None:
    """Another rate, another recording of the same name, a command with another file: nothing decoded before stays."""
    source, data = folder(tmp_path / "audio", 2, 2), tmp_path / "data"

    def decoded(*options: str) -> dict[str, tuple[int, int, int]]:
        assert call("data from-folder", [*options, str(source), str(data)]) == 0
        paths = {key: Path(path) for key, path in read_scp(data / "wav.scp").items()}
        return {k: (soundfile.info(p).samplerate, soundfile.info(p).frames, p.stat().st_ino) for k, p in paths.items()}

    first = decoded()
    assert first == decoded()  # what is right is kept
    low = decoded("--rate=8000")
    assert {(rate, frames) for rate, frames, _ in low.values()} == {(8000, 4000)}
    soundfile.write(source / "spk1/rec 1.wav", speechlike(0.8, 16000), 16000)
    other = decoded("--rate=8000")
    assert other["spk1-rec_1"][:2] == (8000, 6400)
    assert {key for key in low if low[key] != other[key]} == {"spk1-rec_1"}
    (source / "spk1/rec 1.wav").unlink()
    (source / "spk1/rec 1.txt").unlink()
    assert len(decoded()) == 3
    assert len(list((data / "wav").glob("*.wav"))) == 3


@pytest.mark.parametrize(
    ("head", "row", "options"),
    [
        ("file_name,transcription,speaker_id", '{file},"Yes, {word}",{speaker}', []),
        ("utterance\tspeaker\tsubset\ttext", "{stem}\t{speaker}\tx\tYes {word}", []),
        ("path;sentence;client_id", "{file};Yes {word};{speaker}", []),
        (
            "",
            "{file}\t{speaker}\t0.5\tYes {word}\ttrain",
            ["--columns", "file,speaker,,text,split", "--where", "split=train"],
        ),
    ],
)
def test_tables_of_any_make(tmp_path: Path, head: str, row: str, options: list[str]) -> None:
    source = folder(tmp_path / "audio", each=2)
    lines = [head] if head else ["spk0/none.wav\tspk0\t1\tno\ttest"] if options else []
    for path in sorted(source.glob("*/*.wav")):
        # Stems must be unique where only they are named.
        path = path.rename(path.with_name(f"{path.parent.name}-{path.name.replace(' ', '')}"))
        words = {"file": path.relative_to(source), "stem": path.stem, "speaker": path.parent.name, "word": "it is"}
        lines.append(row.format(**words))
    table = tmp_path / "table.csv"
    table.write_text("\n".join(lines) + "\n")
    assert call("data from-csv", ["--audio", str(source), *options, str(table), str(tmp_path / "data")]) == 0
    found = tables(tmp_path / "data")
    assert set(found["text"].values()) == {"YES IT IS"}
    assert sorted(found["spk2utt"]) == ["spk0", "spk1", "spk2", "spk3"]
    assert len(found["text"]) == 8


def test_ljspeech(tmp_path: Path) -> None:
    """No header, no endings, the third column has numbers in words; one speaker."""
    (tmp_path / "wavs").mkdir()
    for name in ("LJ001-0001", "LJ001-0002"):
        soundfile.write(tmp_path / f"wavs/{name}.wav", speechlike(0.5, 22050), 22050)
    table = tmp_path / "metadata.csv"
    table.write_text('LJ001-0001|in 2 "parts"|in two "parts"\nLJ001-0002|so.|so.\n')
    assert call("data from-csv", [str(table), str(tmp_path / "data")]) == 0
    found = tables(tmp_path / "data")
    assert list(found["text"].items()) == [("unknown-LJ001-0001", "IN TWO PARTS"), ("unknown-LJ001-0002", "SO")]
    assert soundfile.info(found["wav.scp"]["unknown-LJ001-0001"]).samplerate == 16000


def test_lhotse_manifests(tmp_path: Path) -> None:
    lhotse = pytest.importorskip("lhotse")
    soundfile.write(tmp_path / "long.wav", speechlike(3, 16000), 16000)
    recording = lhotse.Recording.from_file(tmp_path / "long.wav")
    pieces = [
        lhotse.SupervisionSegment(f"u{i}", recording.id, 0.5 * i, 0.5, speaker="ann", text=f"Part {'abcd'[i]}")
        for i in range(4)
    ]
    lhotse.RecordingSet.from_recordings([recording]).to_file(tmp_path / "recordings.jsonl.gz")
    lhotse.SupervisionSet.from_segments(pieces).to_file(tmp_path / "supervisions.jsonl.gz")
    words = [str(tmp_path / f"{kind}.jsonl.gz") for kind in ("recordings", "supervisions")]
    assert call("data from-lhotse", [*words, str(tmp_path / "data")]) == 0
    assert read_scp(tmp_path / "data/segments") == {
        f"ann-u{i}": f"long {0.5 * i:.3f} {0.5 * i + 0.5:.3f}" for i in range(4)
    }
    assert read_scp(tmp_path / "data/text")["ann-u3"] == "PART D"
    with pytest.raises(HdnnError, match=r"supervisions\.jsonl\.gz holds a SupervisionSet, expected a RecordingSet"):
        call("data from-lhotse", [words[1], words[1], str(tmp_path / "data")])
    (tmp_path / "supervisions.jsonl.gz").write_text("no manifest")
    with pytest.raises(HdnnError, match="lhotse cannot read it as a manifest"):
        call("data from-lhotse", [*words, str(tmp_path / "data")])


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("It's 'quoted' — well-known.", "IT'S QUOTED WELL KNOWN"),
        ("[laughter] um <noise> {cough} yes", "UM YES"),
        ("the boys’ don’t", "THE BOYS DON'T"),
        ("Größe, naïve; ça", "GRÖSSE NAÏVE ÇA"),
        ("Привет, мир!", "ПРИВЕТ МИР"),
        ("हिन्दी भाषा", "हिन्दी भाषा"),
        ("  ... !? ", ""),
        ("a_b/c", "A B C"),
        ("co\u00adoperate, zero\u200bwidth", "COOPERATE ZERO WIDTH"),
        ("كِتَاب שָׁלוֹם", "كِتَاب שָׁלוֹם"),
    ],
)
def test_the_rule_for_texts(text: str, words: str) -> None:
    rule = Normaliser()
    assert rule(text) == words
    assert rule(words) == words


@pytest.mark.parametrize("text", ["at 5 o'clock", "100%", "R&D", "$ave", "½ cup", "x²"])
def test_what_has_no_one_reading_is_refused(text: str) -> None:
    with pytest.raises(NotPlain):
        Normaliser()(text)


@settings(max_examples=60, deadline=None)
@given(st.text(max_size=20))
def test_the_rule_is_applied_once(text: str) -> None:
    try:
        words = Normaliser()(text)
    except NotPlain:
        return
    assert Normaliser()(words) == words
    assert words.split(" ") == words.split() or not words
    assert not set(words) & set('0123456789.,;:!?-"()[]<>&%$\t\n')


@pytest.fixture
def num2words(monkeypatch: pytest.MonkeyPatch) -> None:
    """A stand-in that says what it is asked for."""

    def said(number: str, lang: str, to: str) -> str:
        float(number)  # as num2words does
        return f"{lang} {to[0]} {number}".translate(str.maketrans("0123456789.", "abcdefghijp"))

    module = types.SimpleNamespace(CONVERTER_CLASSES={"en": 0, "de": 0}, num2words=said)
    monkeypatch.setitem(sys.modules, "num2words", cast(types.ModuleType, module))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("the 21st of May", "THE EN O CB OF MAY"),
        ("1,000 or 3.14", "EN C BAAA OR EN C DPBE"),
        ("a 5-year plan for COVID-19", "A EN C F YEAR PLAN FOR COVID EN C BJ"),
        ("2. 3, 10:30", "EN C C EN C D EN C BA EN C DA"),
    ],
)
@pytest.mark.usefixtures("num2words")
def test_numbers_that_are_spelled(text: str, words: str) -> None:
    assert Normaliser("spell")(text) == words


@pytest.mark.parametrize(
    "text",
    ["1/2", "½", "5²", "H₂O 2", "the 90s", "5kg", "-5", "3–5", "007", "10:05", "2.50", "1.2.3", "1,000.5", "3/4/2020"],
)
@pytest.mark.usefixtures("num2words")
def test_numbers_that_are_read_some_other_way_are_refused(text: str) -> None:
    with pytest.raises(NotPlain):
        Normaliser("spell")(text)


@pytest.mark.usefixtures("num2words")
def test_numbers_of_other_languages() -> None:
    rule = Normaliser("spell", "de")
    assert rule("3.14") == "DE C DPBE"
    for text in ("1.000", "1,000", "1st"):
        with pytest.raises(NotPlain):
            rule(text)


def test_numbers_without_num2words(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "num2words", cast(types.ModuleType, None))
    with pytest.raises(
        HdnnError, match=r"--digits spell needs the library num2words; .*python\S* -m pip install num2words$"
    ):
        Normaliser("spell")


def test_spelled_digits() -> None:
    pytest.importorskip("num2words")
    assert Normaliser("spell")("in 1,000 or 21 days") == "IN ONE THOUSAND OR TWENTY ONE DAYS"
    with pytest.raises(HdnnError, match="--language xx: num2words does not know it"):
        Normaliser("spell", "xx")


def test_damaged_sound_is_left_out_by_its_reason(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A copy that was broken off must not pass as a shorter recording, whatever its container."""
    caplog.set_level(logging.INFO)
    source, data = folder(tmp_path / "audio"), str(tmp_path / "data")
    whole = (source / "spk0/rec 0.wav").read_bytes()
    (source / "spk0/rec 0.wav").write_bytes(whole[: len(whole) // 2])
    noise = np.random.default_rng(1).uniform(-0.9, 0.9, 16000)
    for name, kind in (("spk1/rec 1", "flac"), ("spk2/rec 2", "aiff")):
        (source / f"{name}.wav").unlink()
        soundfile.write(source / f"{name}.{kind}", noise, 16000)
        whole = (source / f"{name}.{kind}").read_bytes()
        (source / f"{name}.{kind}").write_bytes(whole[: len(whole) * 2 // 3])
    soundfile.write(source / "spk3/rec 3.wav", 3 * noise, 16000, subtype="FLOAT")
    assert call("data from-folder", ["--max-left-out=0.5", str(source), data]) == 0
    for said in (
        f"left out: 1 x sound file with floating-point samples outside [-1, 1], such as {source}/spk3/rec 3.wav",
        "sound file that is shorter than its header says, such as ",
    ):
        assert said in caplog.text
    left = {line.split("-", 1)[0] + line.split()[0][-1] for line in (Path(data) / "utt2spk").read_text().splitlines()}
    assert not {"spk00", "spk11", "spk33"} & left


def test_odd_input_is_told_in_one_line(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    source, data = folder(tmp_path / "audio"), str(tmp_path / "data")
    (source / "spk0/rec 0.txt").write_text(" ...\n")
    (source / "spk1/rec 1.wav").write_text("no sound")
    (source / "spk2/rec 2.txt").unlink()
    assert call("data from-folder", [str(source), data]) == 0
    for said in (
        f"left out: 1 x empty text, such as {source}/spk0/rec 0.wav",
        f"left out: 1 x file that is no sound (libsndfile cannot read it), such as {source}/spk1/rec 1.wav",
        f"left out: 1 x sound file without a .txt beside it, such as {source}/spk2/rec 2.wav",
        "29 utterances",
    ):
        assert said in caplog.text
    soundfile.write(source / "spk3/rec 3.wav", np.zeros((8000, 2), np.int16), 8000)
    (source / "spk3/rec 4.wav").write_bytes(b"")
    with pytest.raises(
        HdnnError, match=r"4 of 32 utterances cannot be used \(1 x .*mend them, or raise --max-left-out"
    ):
        call("data from-folder", [str(source), data])
    assert call("data from-folder", ["--max-left-out=0.3", str(source), data]) == 0
    assert "1 utterances had 8000 samples a second; they are converted" in caplog.text
    assert "1 utterances had several channels, of which the first is taken" in caplog.text
    (source / "spk0/rec 1.txt").write_text("take 2")
    with pytest.raises(
        HdnnError, match=r"1 of 31 texts have digits .* such as '2' in .*rec 1.wav: write them in words"
    ):
        call("data from-folder", [str(source), data])
    assert call("data from-folder", ["--digits=leave-out", "--max-left-out=0.3", str(source), data]) == 0
    (source / "spk0/rec 1.txt").write_bytes(b"caf\xe9")
    with pytest.raises(HdnnError, match=r"rec 1.txt, line 1: not UTF-8"):
        call("data from-folder", [str(source), data])
    with pytest.raises(HdnnError, match="holds no sound file"):
        call("data from-folder", [str(REPOSITORY / "docs"), data])
    with pytest.raises(HdnnError, match="is no directory"):
        call("data from-folder", [str(tmp_path / "nowhere"), data])


def table_of(tmp_path: Path, rows: str, *options: str) -> dict[str, Path]:
    """Utterance -> its sound file."""
    (tmp_path / "t.csv").write_text(rows)
    assert call("data from-csv", [*options, str(tmp_path / "t.csv"), str(tmp_path / "data")]) == 0
    return {key: Path(path) for key, path in read_scp(tmp_path / "data/wav.scp").items()}


def test_a_table_names_the_right_file(tmp_path: Path) -> None:
    """Numbers that every speaker has again, dots in names, files moved or converted since the table was made."""
    for name in ("a/001", "b/001", "b/2", "rec", "rec.0001", "rec.0002"):
        path = tmp_path / f"{name}.wav"
        path.parent.mkdir(exist_ok=True)
        soundfile.write(path, speechlike(0.2, 16000), 16000)
    found = table_of(tmp_path, "file,text\nrec.0001,x\nrec.0002,x\nb/001.mp3,x\nold\\b\\2.wav,x\n/else/a/001.flac,x\n")
    assert [str(path.relative_to(tmp_path)) for path in found.values()] == [
        "a/001.wav", "b/001.wav", "b/2.wav", "rec.0001.wav", "rec.0002.wav",
    ]  # fmt: skip
    assert {"unknown-rec.0001", "unknown-rec.0002"} < set(found)
    with pytest.raises(HdnnError, match=r"line 2: 001 may be .*a/001.wav or .*b/001.wav; give the file's path from"):
        table_of(tmp_path, "file,text\n001,x\n")
    for other in ("c/001.wav", "rec.0003"):  # neither another speaker's nor `rec`
        with pytest.raises(HdnnError, match=r"1 of 1 utterances cannot be used \(1 x sound file that is not in"):
            table_of(tmp_path, f"file,text\n{other},x\n")


def test_what_divides_the_cells_of_a_table(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    soundfile.write(tmp_path / "a.wav", speechlike(0.2, 16000), 16000)
    table_of(tmp_path, "file,text,speaker\na.wav,hello,\n")
    assert "t.csv: 1 rows name no speaker; they count as one speaker, unknown" in caplog.text
    for rows, options in (
        ("a.wav,Well; yes;\n", ["--columns=file,text"]),
        ('"file"\t"text"\n"a.wav"\t"Well, ""yes"""\n', []),
        ("\ufefffile|speaker|text\r\na.wav|unknown|Well, yes;\r\n", []),
        ("Well, yes;0;a.wav\n", ["--columns=text,,file"]),
    ):
        assert list(table_of(tmp_path, rows, *options)) == ["unknown-a"]
        assert read_scp(tmp_path / "data/text") == {"unknown-a": "WELL YES"}


def test_names_that_only_odd_signs_tell_apart(tmp_path: Path) -> None:
    source = folder(tmp_path / "audio", 2, 1)
    (source / "spk0").rename(source / "Ann+")
    (source / "spk1").rename(source / "Ann")
    (source / "Ann/rec 0.wav").rename(source / "Ann/other.wav")
    (source / "Ann/rec 0.txt").rename(source / "Ann/other.txt")
    with pytest.raises(HdnnError, match=r"speakers 'Ann' and 'Ann\+' would both be Ann; rename one"):
        call("data from-folder", [str(source), str(tmp_path / "data")])


def test_channels_of_one_recording_and_recordings_of_like_names(tmp_path: Path) -> None:
    lhotse = pytest.importorskip("lhotse")
    sides = [speechlike(1, 16000) for _ in range(4)]
    for name, pair in (("call+", sides[:2]), ("call_", sides[2:])):
        soundfile.write(tmp_path / f"{name}.wav", np.stack(pair, 1), 16000)
    recordings = [lhotse.Recording.from_file(tmp_path / f"{name}.wav") for name in ("call+", "call_")]
    pieces = [
        lhotse.SupervisionSegment(f"u{n}{c}", recording.id, 0.2, 0.6, channel=c, speaker=f"s{n}{c}", text="hello")
        for n, recording in enumerate(recordings)
        for c in (0, 1)
    ]
    words = [str(tmp_path / f"{kind}.jsonl.gz") for kind in ("recordings", "supervisions")]
    lhotse.RecordingSet.from_recordings(recordings).to_file(words[0])
    lhotse.SupervisionSet.from_segments(pieces).to_file(words[1])
    assert call("data from-lhotse", [*words, str(tmp_path / "data")]) == 0
    found = {s.utterance: samples for s, _, samples in read_audio(tmp_path / "data", read_segments(tmp_path / "data"))}
    for number, side in enumerate(sides):
        n, c = divmod(number, 2)
        np.testing.assert_array_equal(found[f"s{n}{c}-u{n}{c}"], side[3200:12800])


def test_links_texts_alone_and_formats_that_are_not_read(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    source = folder(tmp_path / "audio", 3, 8)
    (source / "spk2").rename(tmp_path / "elsewhere")
    (source / "spk2").symlink_to(tmp_path / "elsewhere")
    (source / "spk1/round").symlink_to(source)
    (source / "spk0/rec 0.wav").rename(source / "spk0/rec 0.m4a")
    (source / "spk0/rec 1.wav").unlink()
    (source / "readme.txt").write_text("not of a recording")
    assert call("data from-folder", [str(source), str(tmp_path / "data")]) == 0
    assert {key: len(value.split()) for key, value in read_scp(tmp_path / "data/spk2utt").items()} == {
        "spk0": 6, "spk1": 8, "spk2": 8,
    }  # fmt: skip
    assert (
        f"1 x recording of a kind that is not read (ffmpeg -i x.m4a x.wav), such as {source}/spk0/rec 0.m4a"
        in caplog.text
    )
    assert f"1 x .txt without a sound file beside it, such as {source}/spk0/rec 1.txt" in caplog.text
    (tmp_path / "only").mkdir()
    (tmp_path / "only/a.m4a").write_bytes(b"x")
    with pytest.raises(HdnnError, match=r"no sound file .*a\.m4a and the like must be converted first: ffmpeg"):
        call("data from-folder", [str(tmp_path / "only"), str(tmp_path / "data")])


def test_odd_tables(tmp_path: Path) -> None:
    table, data = tmp_path / "t.csv", str(tmp_path / "data")
    for text, said in (
        ("", "t.csv is empty"),
        ("a,b,c,d\n", "no header with the columns file and text"),
        ("file,text\nx.wav,hello\n", r"1 of 1 .*not in .*--audio says where .*'x.wav' in .*t.csv, line 2"),
        ("file,text\n,hello\n", r"such as '' in .*line 2"),
        ('file,text\nx.wav,"Yes\ny.wav,No\n', "line 2: cannot be read as a table"),
        ("file,text\n\nx.wav\n", "line 3: 1 columns, expected at least 2"),
        ("file,text\n", "t.csv has no utterance"),
        ("file,text,text\nx.wav,hello,hallo\n", "t.csv has two columns text; rename the one that is no text"),
        ("x.wav,ann,hello\n", "no header with the columns file and text; write one above"),
        ("file,text,speaker\nx.wav,Hello, world,ann\n", "line 2: 4 columns, the first line has 3; a text with ','"),
    ):
        table.write_text(text)
        with pytest.raises(HdnnError, match=said):
            call("data from-csv", [str(table), data])
    table.write_text("file,text\nx.wav,hello\n")
    with pytest.raises(HdnnError, match=r"--where x: expected COLUMN=VALUE"):
        call("data from-csv", ["--where=x", str(table), data])
    table.write_bytes(b"file,text\r\na.wav,one\r\nb.wav,caf\xe9\r\n")
    with pytest.raises(HdnnError, match=r"t\.csv, line 3: not UTF-8 \(byte 0xe9\); convert the file with iconv"):
        call("data from-csv", [str(table), data])
    table.write_text('file,text\na.wav,"one\ntwo"\n', encoding="utf-16")
    with pytest.raises(HdnnError, match=r"t\.csv, line 1: not UTF-8 \(UTF-16\)"):
        call("data from-csv", [str(table), data])
    with pytest.raises(HdnnError, match=r"none.csv does not exist"):
        call("data from-csv", [str(tmp_path / "none.csv"), data])


@pytest.mark.parametrize(("rate", "cut"), [(16000, 5700), (16000, 4000), (16000, 3400), (22050, 7000), (8000, 3400)])
def test_the_edge_of_the_band(rate: int, cut: int) -> None:
    assert band_edge(speechlike(5, rate, cut), rate) == pytest.approx(cut, abs=400)
    assert band_edge(speechlike(5, rate), rate) == rate / 2


def test_measures() -> None:
    samples = speechlike(4, 16000)
    plain = measure(samples, 16000)
    assert plain.level == pytest.approx(measure(samples // 2, 16000).level + 6, abs=0.1)
    quiet = np.concatenate([samples, np.zeros(3 * len(samples), np.int16)])
    assert measure(quiet, 16000).silence == pytest.approx(0.75 + plain.silence / 4, abs=0.02)
    loud = np.clip(samples.astype(np.int64) * 8, -32768, 32767)
    assert measure(loud, 16000).clipped == pytest.approx(float((np.abs(samples.astype(int) * 8) >= 32700).mean()))
    assert plain.clipped == 0
    assert measure(np.zeros(0), 16000).level == -np.inf


def test_advice() -> None:
    good = Quality("a", 16000, 8000.0, 0.0, -25.0, 0.1)
    assert advice([good] * 3, 16000) == []
    coded = Quality("a", 16000, 5670.0, 0.0, -25.0, 0.1)
    assert "nothing above 5.7 kHz in 3 of 4" in advice([coded] * 3 + [good], 16000)[0]
    assert "--high-freq 5700" in advice([coded], 16000)[0]
    assert common_edge([coded] * 3 + [good], 16000) == 5700
    assert common_edge([coded] + [good] * 3, 16000) == 8000
    telephone = Quality("a", 16000, 3900.0, 0.0, -25.0, 0.1)
    assert "8 kHz (telephone) speech in 16 kHz files: --rate 8000" in advice([telephone] * 2, 16000)[0]
    assert "12 % of speaker x's samples clip" in advice([good, Quality("x", 16000, 8000.0, 0.12, -3.0, 0.1)], 16000)[0]
    assert "very quiet" in advice([Quality("a", 16000, 8000.0, 0.0, -60.0, 0.1)], 16000)[0]
    assert "70 % of the time is silence" in advice([Quality("a", 16000, 8000.0, 0.0, -25.0, 0.7)], 16000)[0]


def own(source: Path, target: Path, *options: str) -> subprocess.CompletedProcess:
    words = [sys.executable, "-m", "local.prepare_own", "--conf", str(REPOSITORY / "egs/ami/s5/conf"), *options]
    return subprocess.run(
        [*words, str(source), str(target)], cwd=REPOSITORY, capture_output=True, text=True, check=False
    )


def test_sets_of_one_s_own(tmp_path: Path) -> None:
    """dev is split off by speaker; the settings follow the recordings."""
    source = folder(tmp_path / "audio", rate=8000)
    done = own(source, tmp_path / "data", "--high-freq", "3600")
    assert done.returncode == 0, done.stderr
    speakers = [set(read_scp(tmp_path / f"data/ihm/{part}/spk2utt")) for part in ("train", "dev")]
    assert (len(speakers[0]), len(speakers[1]), speakers[0] & speakers[1]) == (3, 1, set())
    assert not (tmp_path / "data/ihm/eval").exists()
    conf = (tmp_path / "data/conf/fbank.conf").read_text().splitlines()
    assert [line for line in conf if "freq" in line] == ["--sample-frequency=8000", "--high-freq=3600"]
    assert (tmp_path / "data/conf/gmm.conf").read_text().startswith("# Leaves and Gaussians for 0.00 hours")
    assert "only 0.2 minutes of training speech" in done.stderr
    other = own(folder(tmp_path / "other"), tmp_path / "data")
    assert other.returncode == 1
    assert "give this one another --name" in other.stderr


def test_tables_beside_each_other(tmp_path: Path) -> None:
    """train.tsv and dev.tsv with sound files anywhere below, as Common Voice has them; other tables are not looked at."""
    source = tmp_path / "audio"
    for part, speakers in (("train", {"spk0", "spk1"}), ("dev", {"spk2"})):
        rows = []
        for number, path in enumerate(sorted(folder(source / "clips" / part, 3, 12).rglob("*.wav"))):
            path = path.rename(path.with_name(f"{part}{number}.wav"))
            if path.parent.name in speakers:
                rows.append(f"{path.name}\t{path.parent.name}\tmore words\n")
        (source / f"{part}.tsv").write_text("path\tclient_id\tsentence\n" + "".join(rows))
    (source / "invalidated.tsv").write_text("path\tclient_id\tsentence\nnowhere.wav\ta\tb\n")
    done = own(source, tmp_path / "data")
    assert done.returncode == 0, done.stderr
    for part, count in (("train", 24), ("dev", 12)):
        assert len(read_scp(tmp_path / f"data/ihm/{part}/text")) == count
    (source / "valid.csv").write_text("path,text\n")
    assert "has dev.tsv and valid.csv; keep the one that is dev" in own(source, tmp_path / "other").stderr


def test_tables_and_directories_side_by_side(tmp_path: Path) -> None:
    """A set is a table or a directory; what holds only a table's sound files is none."""
    source = tmp_path / "audio"
    rows = [f"{path.relative_to(source)},words\n" for path in sorted(folder(source / "test", 3, 8).rglob("*.wav"))]
    for path in source.rglob("*.txt"):
        path.unlink()
    (source / "test.csv").write_text("file,text\n" + "".join(rows))
    assert "has test.csv, but no train" in own(source, tmp_path / "data").stderr
    (source / "test.csv").rename(source / "train.csv")
    folder(source / "dev", 1, 4)
    done = own(source, tmp_path / "data")
    assert done.returncode == 0, done.stderr
    assert len(read_scp(tmp_path / "data/ihm/train/text")) == 24
    assert set(read_scp(tmp_path / "data/ihm/dev/spk2utt")) == {"spk0"}
    assert not (tmp_path / "data/ihm/eval").exists()


def test_what_is_written_is_not_read_again(tmp_path: Path) -> None:
    source = folder(tmp_path / "audio", ending="flac")
    for _ in range(2):
        assert own(source, source / "data").returncode == 0
    assert own(source / "data", source / "data").stderr.count("which will be written; give another --name") == 1


def test_one_run_at_a_time(tmp_path: Path) -> None:
    """Two would remove each other's decoded recordings."""
    source = folder(tmp_path / "audio", ending="flac")
    with locked(tmp_path / "data", "another run"):
        done = own(source, tmp_path / "data")
    assert done.returncode == 1
    assert f"{tmp_path}/data is being written by another run" in done.stderr
    assert not (tmp_path / "data").exists()


def test_a_set_that_is_gone(tmp_path: Path) -> None:
    for name, first in (("train", 0), ("eval", 4)):
        for path in sorted(folder(tmp_path / "made" / name).iterdir()):
            path.rename(path.with_name(f"s{first}{path.name}"))
    assert own(tmp_path / "made", tmp_path / "data").returncode == 0
    (tmp_path / "made/eval").rename(tmp_path / "elsewhere")
    assert "has no eval any more; give another --name, or remove it" in own(tmp_path / "made", tmp_path / "data").stderr


def test_names_of_files(tmp_path: Path) -> None:
    """Quotes, blanks, line feeds, dashes, other scripts, and bytes that are not UTF-8."""
    source = folder(tmp_path / "audio", 1, 1)
    for name in (b'it\'s "q"', b"new\nline", b"-dash", "日本 é".encode(), b"caf\xe9"):
        for ending in (b".wav", b".txt"):
            path = os.fsencode(source) + b"/" + name + b"/" + name + ending
            os.makedirs(os.path.dirname(path), exist_ok=True)
            shutil.copy(source / f"spk0/rec 0{ending.decode()}", os.fsdecode(path))
    for _ in range(2):
        assert call("data from-folder", [str(source), str(tmp_path / "data")]) == 0
    assert sorted(read_scp(tmp_path / "data/text")) == [
        "-dash--dash", "caf-caf", "it_s_q-it_s_q", "new_line-new_line", "spk0-rec_0", "日本_é-日本_é",
    ]  # fmt: skip
    assert len(list(read_audio(tmp_path / "data", read_segments(tmp_path / "data")))) == 6


def test_reasons_come_before_too_few(tmp_path: Path) -> None:
    source = folder(tmp_path / "audio")
    for path in source.rglob("*.txt"):
        path.unlink()
    assert "32 of 32 utterances cannot be used (32 x sound file without a .txt" in own(source, tmp_path / "data").stderr


def test_a_kaldi_directory(tmp_path: Path) -> None:
    """What one of its files lacks is left out and counted, as are segments that are not in their recording."""
    source = tmp_path / "kaldi"
    source.mkdir()
    soundfile.write(source / "a.wav", speechlike(8, 16000), 16000)
    (source / "wav.scp").write_text("rec a.wav\nunused nowhere.wav\n")
    times = {f"ann-{n:02}": (0.2 * n, 0.2 * n + 0.2) for n in range(36)}
    times |= {"ann-36": (1, 1.05), "ann-37": (8.2, 8.3), "ann-38": (5, 9), "ann-39": (7.5, 8.3)}
    (source / "segments").write_text("".join(f"{u} rec {start} {end}\n" for u, (start, end) in times.items()))
    (source / "text").write_text("".join(f"{utt} hello\n" for utt in [*times, "ann-40"] if utt != "ann-01"))
    (source / "utt2spk").write_text("".join(f"{utt} ann\n" for utt in times if utt != "ann-02"))
    assert "ann-01" in own(source, tmp_path / "data").stderr
    done = own(source, tmp_path / "data", "--max-left-out", "0.2")
    assert done.returncode == 0, done.stderr
    for reason in (
        "1 x shorter than 0.1 s", "1 x utterance that begins after its", "1 x utterance that ends after its",
        "1 x utterance that is not in segments", "1 x utterance that is not in text", "1 x utterance that is not in utt2spk",
    ):  # fmt: skip
        assert f"left out: {reason}" in done.stderr
    kept = {utt for part in ("train", "dev") for utt in read_scp(tmp_path / f"data/ihm/{part}/segments")}
    assert kept == times.keys() - {"ann-01", "ann-02", "ann-36", "ann-37", "ann-38"}


def test_texts_as_they_are(tmp_path: Path) -> None:
    source = folder(tmp_path / "audio", 1, 2)
    assert call("data from-folder", ["--texts", "as-is", str(source), str(tmp_path / "data")]) == 0
    assert read_scp(tmp_path / "data/text")["spk0-rec_1"] == "Hello, world; take b!"
    assert "texts as they are" in (tmp_path / "data/prepared.txt").read_text()


def test_one_more_set(tmp_path: Path) -> None:
    """It gets the sample rate of the models' features."""
    (tmp_path / "conf").mkdir()
    (tmp_path / "conf/mfcc.conf").write_text("--use-energy=false\n--sample-frequency=8000\n")
    source = folder(tmp_path / "audio", 1, 2)
    words = [sys.executable, "-m", "local.prepare_set", "--conf", str(tmp_path / "conf")]

    def run(*more: str) -> subprocess.CompletedProcess:
        return subprocess.run([*words, *more], cwd=REPOSITORY, capture_output=True, text=True, check=False)

    done = run(str(source), str(tmp_path / "data"))
    assert done.returncode == 0, done.stderr
    assert soundfile.info(read_scp(tmp_path / "data/wav.scp")["spk0-rec_0"]).samplerate == 8000
    assert "the models are for 8000 samples a second" in run("--rate", "16000", str(source), str(tmp_path / "x")).stderr
    assert "nowhere does not exist" in run(str(tmp_path / "nowhere"), str(tmp_path / "x")).stderr


def test_sets_that_will_not_do(tmp_path: Path) -> None:
    def refused(source: Path) -> str:
        done = own(source, tmp_path / "data")
        assert (done.returncode, len([x for x in done.stderr.splitlines() if "error" in x])) == (1, 1), done.stderr
        return done.stderr

    assert "3 utterances in all, at least 20 are needed" in refused(folder(tmp_path / "few", 1, 3))
    both = tmp_path / "both"
    folder(both / "train")
    folder(both / "dev", 1, 2)
    assert "speaker spk0 is in train and in dev" in refused(both)
    (tmp_path / "half").mkdir()
    folder(tmp_path / "half/dev", 1, 2)
    assert "half has dev, but no train" in refused(tmp_path / "half")
    assert "is no directory; it holds train and dev" in refused(tmp_path / "nowhere")


def test_one_voice(tmp_path: Path) -> None:
    done = own(folder(tmp_path / "audio", 1, 12).parent / "audio", tmp_path / "data")
    assert "at least 20" in done.stderr
    for number in range(20):
        path = tmp_path / f"audio/spk0/more{number}.wav"
        soundfile.write(path, speechlike(0.3, 16000), 16000)
        path.with_suffix(".txt").write_text("more")
    done = own(tmp_path / "audio", tmp_path / "data")
    assert done.returncode == 0, done.stderr
    assert "its WER says nothing of other voices" in done.stderr
    assert set(read_scp(tmp_path / "data/ihm/dev/spk2utt")) == {"spk0"}
    words = ["--one-speaker", str(tmp_path / "data/ihm/train"), str(tmp_path / "tr"), str(tmp_path / "cv")]
    assert call("data split-tr-cv", words) == 0
    with pytest.raises(HdnnError, match="one speaker only"):
        call("data split-tr-cv", words[1:])
