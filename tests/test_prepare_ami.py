"""AMI preparation on made-up annotations with every odd entry, and (slow) on the genuine ones."""

import subprocess
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import soundfile

from hdnn_nnet.errors import HdnnError
from hdnn_nnet.kaldi.data_writer import Recording, Utterance, write_data_dir
from local import prepare_ami, prepare_stm
from local.ami_annotations import Segment, meeting_agents, read_meeting
from tests.support.archives import unpack
from tests.support.scripts import run_script

NITE = 'xmlns:nite="http://nite.sourceforge.net/"'
# One meeting out of each of the official sets, so that every set has something.
TRAIN, DEV, EVAL = "ES2002a", "ES2011a", "ES2004a"
FILES = ("wav.scp", "segments", "text", "utt2spk", "spk2utt", "reco2file_and_channel", "stm", "glm")


def word(start: float, end: float, text: str, **attributes: str) -> str:
    more = "".join(f' {name}="{value}"' for name, value in attributes.items())
    return f'<w nite:id="x" starttime="{start}" endtime="{end}"{more}>{text}</w>'


def mark(time: float, text: str = ".") -> str:
    return word(time, time, text, punc="true")


def segment(start: object, end: object) -> str:
    return f'<segment nite:id="s" channel="0" transcriber_start="{start}" transcriber_end="{end}"/>'


class Corpus:
    """A directory in the layout of AMI's manual annotations, and audio beside it."""

    def __init__(self, root: Path) -> None:
        self.annotations, self.audio = root / "annotations", root / "audio"
        for name in ("words", "segments", "corpusResources"):
            (self.annotations / name).mkdir(parents=True)
        self.speakers: dict[str, list[tuple[str, int, str]]] = {}

    def add(
        self, meeting: str, agent: str, channel: int, name: str, segments: list[str], words: list[str], **xml
    ) -> None:
        self.speakers.setdefault(meeting, []).append((agent, channel, name))
        self.write(f"segments/{meeting}.{agent}.segments.xml", "".join(segments))
        self.write(f"words/{meeting}.{agent}.words.xml", "".join(words), **xml)
        meetings = "".join(
            f'<meeting nite:id="m" observation="{m}">'
            + "".join(f'<speaker nxt_agent="{a}" channel="{c}" global_name="{n}"/>' for a, c, n in speakers)
            + "</meeting>"
            for m, speakers in self.speakers.items()
        )
        self.write("corpusResources/meetings.xml", meetings)

    def write(self, name: str, body: str, encoding: str = "ISO-8859-1") -> None:
        text = f'<?xml version="1.0" encoding="{encoding}"?>\n<nite:root nite:id="r" {NITE}>\n{body}</nite:root>\n'
        (self.annotations / name).write_bytes(text.encode(encoding))

    def record(self, meeting: str, channel: int, seconds: float, rate: int = 16000, channels: int = 1) -> Path:
        path = self.audio / meeting / "audio" / f"{meeting}.Headset-{channel}.wav"
        path.parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(path, np.zeros((int(seconds * rate), channels), dtype=np.int16), rate)
        return path


@pytest.fixture
def corpus(tmp_path) -> Corpus:
    """Three meetings; the dev meeting has the odd entries."""
    corpus = Corpus(tmp_path / "ami")
    plain = [word(1.0, 1.4, "Hello"), word(1.4, 2.0, "there"), mark(2.0)]
    corpus.add(TRAIN, "A", 0, "FEE005", [segment(0.9, 2.1)], plain)
    corpus.add(EVAL, "B", 1, "MEO015", [segment(0.9, 2.1)], plain)
    corpus.add(
        DEV,
        "A",
        0,
        "FEE041",
        [
            segment(0.5, 4.2),
            segment(4.5, 9.0),
            segment("nan-sense", 12),
            segment(13, 12),
            segment(20, 21),
            segment(28, 40),
        ],
        [
            *[word(1.004, 1.3, "Mm-hmm"), mark(1.3, ","), word(1.3, 1.8, "N_"), word(1.8, 2.2, "E_"), mark(2.2)],
            '<vocalsound nite:id="v" starttime="2.2" type="laugh"/>',
            '<w nite:id="x">lost</w>',
            '<w nite:id="x" punc="true">.</w>',
            '<disfmarker nite:id="d" starttime="2.3" endtime="2.3"/>',
            word(2.3, 3.0, "O_K_"),
            word(3.0, 3.4, "anti-trust"),
            word(3.4, 3.4, "gone"),
            word(3.4, 3.8, "wh", trunc="true"),
            word(3.8, 4.1, ""),
            mark(4.1, "?"),
            *[word(4.6, 5.0, "I'm"), word(5.0, 5.5, "na\u00efve"), mark(5.5)],
            *[word(28.5, 29, "too"), word(29, 35, "late")],
        ],
    )
    corpus.add(DEV, "B", 1, "MEE006", [segment(1, 3)], [word(1.1, 1.4, "caf\u00e9"), mark(1.4)], encoding="UTF-8")
    for meeting, channel in ((TRAIN, 0), (EVAL, 1), (DEV, 0), (DEV, 1)):
        corpus.record(meeting, channel, 30.0)
    return corpus


def prepare(corpus: Corpus, out: Path, *options: str, audio: bool = True) -> dict[str, dict[str, list[str]]]:
    """Run the preparation and read all it wrote: set to file to lines."""
    where = [str(corpus.audio)] if audio else []
    assert run_script(prepare_ami, [*options, *where, str(corpus.annotations), str(out)]) == 0
    sets = {}
    for directory in sorted(path for path in (out / "ihm").iterdir() if path.is_dir()):
        sets[directory.name] = {p.name: p.read_text(encoding="utf-8").splitlines() for p in directory.iterdir()}
    return sets


def test_ids_files_and_text_are_as_in_kaldis_recipe(corpus, tmp_path):
    sets = prepare(corpus, tmp_path / "data")
    assert list(sets) == ["dev", "eval", "train"]
    assert all(set(files) == set(FILES) for files in sets.values())
    train = sets["train"]
    utterance, speaker = "AMI_ES2002a_H00_FEE005_0000100_0000200", "AMI_ES2002a_H00_FEE005"
    path = corpus.audio.resolve() / "ES2002a" / "audio" / "ES2002a.Headset-0.wav"
    assert train["wav.scp"] == [f"AMI_ES2002a_H00 {path}"]
    assert train["segments"] == [f"{utterance} AMI_ES2002a_H00 1.00 2.00"]
    assert train["text"] == [f"{utterance} HELLO THERE"]
    assert train["utt2spk"] == [f"{utterance} {speaker}"]
    assert train["spk2utt"] == [f"{speaker} {utterance}"]
    assert train["reco2file_and_channel"] == ["AMI_ES2002a_H00 ES2002a.Headset-0 A"]
    assert train["stm"] == [f"ES2002a.Headset-0 A {speaker} 1.00 2.00 HELLO THERE"]


def test_odd_entries_are_counted_and_passed_over(corpus, tmp_path, capsys):
    dev = prepare(corpus, tmp_path / "data")["dev"]
    # lhotse splits at full stops, not at question marks; anything but A-Z, digits and ' is dropped from words.
    assert dev["text"] == [
        "AMI_ES2011a_H00_FEE041_0000100_0000220 MM-HMM N E",
        "AMI_ES2011a_H00_FEE041_0000230_0000410 OK ANTI TRUST WH",
        "AMI_ES2011a_H00_FEE041_0000460_0000550 I'M NA VE",
        "AMI_ES2011a_H01_MEE006_0000110_0000140 CAF",
    ]
    report = capsys.readouterr().out
    assert report == (tmp_path / "data" / "ihm" / "counts.txt").read_text()
    odd = {line.split(" x ")[1]: int(line.split()[1]) for line in report.splitlines() if line.startswith("odd:")}
    assert odd == {
        "segment that ends after its recording": 1,
        "segment with bad times": 2,
        "vocal sound without an end time": 1,
        "word of no duration (lhotse drops it)": 1,
        "word or punctuation mark without a start or end time": 2,
        "word without text": 1,
    }
    assert "dev           1        2         4       11" in report


def test_annotations_only_needs_no_audio(corpus, tmp_path):
    sets = prepare(corpus, tmp_path / "data", "--annotations-only", "true", audio=False)
    assert "wav.scp" not in sets["dev"]
    assert len(sets["dev"]["text"]) == 5  # the segment that ends after the recording stays
    assert sets["dev"]["stm"][-1].startswith("ES2011a.Headset-1 A AMI_ES2011a_H01_MEE006 1.10 1.40 CAF")


def test_only_meetings_with_audio(corpus, tmp_path):
    for path in corpus.audio.rglob(f"{DEV}*.wav"):
        path.unlink()
    assert list(prepare(corpus, tmp_path / "data", "--nj", "2")) == ["eval", "train"]


def test_meetings_outside_the_sets_can_be_added_to_train(corpus, tmp_path, capsys):
    corpus.add("IB4005", "A", 0, "FIE038", [segment(0.9, 2.1)], [word(1.0, 1.4, "Extra")])
    corpus.record("IB4005", 0, 3.0)
    assert len(prepare(corpus, tmp_path / "one")["train"]["text"]) == 1
    assert "odd: 1 x recording of a meeting outside the partition" in capsys.readouterr().out
    train = prepare(corpus, tmp_path / "two", "--extra-train-meetings", "IB4005")["train"]
    assert train["text"][-1] == "AMI_IB4005_H00_FIE038_0000100_0000140 EXTRA"


def test_unknown_speaker_and_missing_words_file(corpus):
    corpus.write(f"segments/{TRAIN}.C.segments.xml", segment(1, 2))
    corpus.add(TRAIN, "D", 3, "MEE007", [segment(1, 2)], [])
    (corpus.annotations / "words" / f"{TRAIN}.D.words.xml").unlink()
    segments, odd, annotated = read_meeting(corpus.annotations, TRAIN, meeting_agents(corpus.annotations)[TRAIN])
    assert [s.text for s in segments] == ["HELLO THERE"]
    assert odd == {"annotated speaker that meetings.xml does not know": 1, "segments file without a words file": 1}
    assert annotated == {"segments": 1, "words": 2}


def test_bad_input_is_named(corpus, tmp_path):
    with pytest.raises(SystemExit):  # a wrong option
        prepare(corpus, tmp_path / "data", "--mic", "sdm")
    stereo = corpus.record(TRAIN, 0, 1.0, channels=2)
    with pytest.raises(HdnnError, match=r"ES2002a\.Headset-0\.wav: 2 channels"):
        prepare(corpus, tmp_path / "data")
    stereo.write_bytes(b"RIFF")
    with pytest.raises(HdnnError, match="not a readable sound file"):
        prepare(corpus, tmp_path / "data")
    corpus.record(TRAIN, 0, 30.0)
    path = corpus.annotations / "words" / f"{TRAIN}.A.words.xml"
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(HdnnError, match=r"ES2002a\.A\.words\.xml: not well-formed"):
        prepare(corpus, tmp_path / "data")


def test_times_are_rounded_to_centiseconds_and_repeats_dropped():
    odd: Counter[str] = Counter()
    times = [(1.004, 1.996), (1.0049, 1.9951), (2.0, 2.004), (3.0, 4.0)]
    segments = [Segment("ES2011a", 2, "FEE041", start, end, "X") for start, end in times]
    chosen = list(prepare_ami.select(segments, {("ES2011a", 2): 4.0}, odd))
    assert [(u.start, u.end) for u in chosen] == [(100, 200), (300, 400)]
    assert chosen[0].id == "AMI_ES2011a_H02_FEE041_0000100_0000200"
    assert odd == {"segment annotated twice": 1, "segment shorter than a frame (25 ms)": 1}


def test_overlapping_utterances_of_a_speaker_are_pulled_apart():
    odd: Counter[str] = Counter()
    spans = [(0, 300), (200, 500), (250, 400), (600, 700)]
    utterances = [Utterance(f"s_{a}_{b}", "r", "s", a, b, "X") for a, b in spans]
    other = Utterance("t_100_200", "r", "t", 100, 200, "X")
    result = {u.id: (u.start, u.end) for u in prepare_ami.without_overlap([*utterances, other], odd)}
    assert result == {
        "s_0_300": (0, 300),
        "s_200_500": (300, 500),
        "s_250_400": (250, 400),
        "s_600_700": (600, 700),
        "t_100_200": (100, 200),
    }
    assert odd["start moved to the end of the speaker's utterance before"] == 1


def test_data_dirs_refuse_what_kaldi_cannot_sort_or_read(tmp_path):
    utterance = Utterance("a_1", "r", "b", 0, 10, "X")
    with pytest.raises(HdnnError, match="not a prefix"):
        write_data_dir(tmp_path, [utterance], [Recording("r", None, "r")])
    with pytest.raises(HdnnError, match="path with spaces"):
        write_data_dir(tmp_path, [utterance._replace(speaker="a")], [Recording("r", Path("/a b.wav"), "r")])


STM = """\
;; a comment
m1.Mix 1 s2 0.50 1.50 N_ E_ Z_ Ebenezer
m1.Mix 1 s1 0.00 0.80 <o,f0> Okay, well
m1.Mix 1 s1 1.00 1.20 IGNORE_TIME_SEGMENT_IN_SCORING
m1.Mix 1 s1 1.90 2.60 bye
m1.Mix 1 s1 1.95 1.95 nothing
m1.Mix 1 s1 1.96 1.99
"""


def test_stm_to_data_dir(tmp_path):
    (tmp_path / "x.stm").write_text(STM)
    soundfile.write(tmp_path / "m1.Mix.wav", np.zeros(32000, dtype=np.int16), 16000)
    out = tmp_path / "data"
    run_script(prepare_stm, [str(tmp_path / "x.stm"), str(tmp_path), str(out)])
    assert (out / "text").read_text().splitlines() == [
        "m1.Mix-s1-0000000-0000080 OKAY WELL",
        "m1.Mix-s1-0000190-0000200 BYE",
        "m1.Mix-s2-0000050-0000150 N E Z EBENEZER",
    ]
    assert (out / "stm").read_text().splitlines()[1] == "m1.Mix A m1.Mix-s2 0.50 1.50 N E Z EBENEZER"
    (tmp_path / "y.stm").write_text("other 1 s1 0 1 hello\n")
    with pytest.raises(HdnnError, match=r"other\.wav: not a readable sound file"):
        run_script(prepare_stm, [str(tmp_path / "y.stm"), str(tmp_path), str(out)])
    (tmp_path / "z.stm").write_text("other 1 s1 zero 1 hello\n")
    with pytest.raises(HdnnError, match=r"z\.stm, line 1"):
        run_script(prepare_stm, [str(tmp_path / "z.stm"), str(tmp_path), str(out)])


def validate(root: Path, directory: Path) -> None:
    script = root / "egs" / "wsj" / "s5" / "utils" / "validate_data_dir.sh"
    done = subprocess.run(
        ["utils/" + script.name, "--no-feats", directory],
        cwd=script.parent.parent,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Successfully validated" in done.stdout + done.stderr
    assert "ASAP" not in done.stdout  # its only warning


@pytest.mark.kaldi
def test_kaldi_validates_the_sets(corpus, kaldi_root, tmp_path):
    for name in prepare(corpus, tmp_path / "data"):
        validate(kaldi_root, tmp_path / "data" / "ihm" / name)


@pytest.mark.kaldi
def test_genuine_excerpts(shared_dir, kaldi_root, tmp_path):
    excerpts = shared_dir / "corpora" / "ami_excerpts"
    if not excerpts.is_dir():
        pytest.skip("../shared/corpora/ami_excerpts is not here")
    run_script(prepare_stm, [str(excerpts / "excerpts.stm"), str(excerpts / "audio"), str(tmp_path / "data")])
    assert len((tmp_path / "data" / "text").read_text().splitlines()) == 97
    validate(kaldi_root, tmp_path / "data")


@pytest.mark.slow
def test_genuine_annotations(shared_dir, tmp_path):
    """All 171 meetings; counts as lhotse gives them (99473, 12069 and 11589 segments), less what is dropped here."""
    archive = shared_dir / "corpora" / "ami_nxt.tar.xz"
    if not archive.exists():
        pytest.skip("../shared/corpora/ami_nxt.tar.xz is not here")
    unpack(archive, tmp_path)
    out = tmp_path / "data"
    run_script(
        prepare_ami, ["--annotations-only", "true", "--nj", "2", str(tmp_path / "ami_public_manual_1.6.2"), str(out)]
    )
    rows = {line.split()[0]: line.split()[1:] for line in (out / "ihm" / "counts.txt").read_text().splitlines()[1:4]}
    assert rows == {
        "train": ["136", "543", "99456", "796687", "75.75"],  # 16 segments without words and a double one dropped
        "dev": ["18", "72", "12069", "94954", "8.77"],
        "eval": ["16", "63", "11589", "89675", "8.53"],
    }
    for name in rows:
        keys = [
            [line.split(b" ")[0] for line in (out / "ihm" / name / file).read_bytes().splitlines()]
            for file in ("text", "segments", "utt2spk")
        ]
        assert keys[0] == sorted(set(keys[0])) == keys[1] == keys[2]
