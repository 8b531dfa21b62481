"""Dictionary and lang directories against Kaldi's fixture, Kaldi's scripts and brute force."""

import itertools
import math
import os
import shutil
import subprocess
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hdnn_nnet.cli import call
from hdnn_nnet.errors import HdnnError
from hdnn_nnet.lang import g2p as letter_to_sound
from hdnn_nnet.lang import lang_dir as prepare_lang
from hdnn_nnet.lang import lexicon as prepare_dict
from hdnn_nnet.lang.lang_dir import Entry

TEXT = """\
utt-1 WELL UM THE REMOTES ARE T V L C D
utt-2 MM-HMM IT'S TOO TWO TO WATCH THE TELEVISION'S BLORPING
utt-3 RIGHT WRITE A WHITEBOARD 'KAY
"""


@pytest.fixture
def text(tmp_path) -> Path:
    path = tmp_path / "train" / "text"
    path.parent.mkdir()
    path.write_text(TEXT)
    return path


def kaldi_environment(root: Path) -> dict[str, str]:
    programs = [root / "src" / name for name in ("bin", "fstbin", "featbin")]
    openfst = [root / "tools" / "openfst" / "bin", root.parent / "openfst" / "bin"]
    path = os.pathsep.join([*map(str, programs + openfst), os.environ["PATH"]])
    return {**os.environ, "LC_ALL": "C", "PATH": path}


def kaldi_script(name: str, arguments: list, root: Path, work: Path) -> str:
    """Run one of Kaldi's utils in a directory that looks like a recipe; returns all it printed."""
    environment = kaldi_environment(root)
    for program in ("fstinfo", "fstaddselfloops", "fstdeterminizestar", "fsttablecompose"):
        if not shutil.which(program, path=environment["PATH"]):
            pytest.skip(f"this Kaldi has no {program}")
    work.mkdir(exist_ok=True)
    (work / "path.sh").write_text("export LC_ALL=C\n")
    if not (work / "utils").exists():
        (work / "utils").symlink_to(root / "egs" / "wsj" / "s5" / "utils")
    command = [f"utils/{name}", *map(str, arguments)]
    done = subprocess.run(command, cwd=work, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def validate_lang(lang: Path, root: Path) -> None:
    output = kaldi_script("validate_lang.pl", [lang], root, lang.parent / "recipe")
    assert "SUCCESS" in output
    assert "ERROR" not in output


def read_lexicon(directory: Path) -> dict[str, list[str]]:
    table: dict[str, list[str]] = {}
    for line in (directory / "lexicon.txt").read_text().splitlines():
        word, pron = line.split(" ", 1)
        table.setdefault(word, []).append(pron)
    return table


def test_phone_dictionary(text, tmp_path):
    out = tmp_path / "dict"
    call("lang dict", [str(text), str(out)])
    lexicon = read_lexicon(out)
    assert set(lexicon) == set(" ".join(line.split(" ", 1)[1] for line in TEXT.splitlines()).split()) | {
        "<unk>",
        "[noise]",
        "[laughter]",
    }
    assert lexicon["THE"] == ["DH AH", "DH IY"]  # stress stripped, sorted
    assert lexicon["A"] == ["AH", "EY"]  # the article and the letter are one token after Kaldi's normalisation
    assert lexicon["L"] == ["EH L"]
    assert lexicon["MM-HMM"] == ["M HH M"]
    assert lexicon["BLORPING"][0].endswith("IH NG")
    assert lexicon["WHITEBOARD"] == ["W AY T B AO R D"]
    assert lexicon["<unk>"] == ["oov"]
    assert (out / "silence_phones.txt").read_text().split() == ["sil", "laughter", "noise", "oov"]
    assert len((out / "nonsilence_phones.txt").read_text().split()) == 39
    lines = (out / "lexicon.txt").read_text().splitlines()
    assert lines == sorted(set(lines), key=str.encode)


def test_unknown_words_can_stay_out_and_more_can_come_in(text, tmp_path):
    extra = tmp_path / "more.txt"
    extra.write_text("KANGAROO\nXYLOBLORP\n")
    call("lang dict", ["--unknown", "oov", "--extra-words", str(extra), str(text), str(tmp_path / "dict")])
    lexicon = read_lexicon(tmp_path / "dict")
    assert "KANGAROO" in lexicon
    assert "BLORPING" not in lexicon
    assert "XYLOBLORP" not in lexicon


def test_rare_words_can_be_left_out(text, tmp_path):
    call("lang dict", ["--min-count", "2", str(text), str(tmp_path / "dict")])
    assert set(read_lexicon(tmp_path / "dict")) == {"THE", "<unk>", "[noise]", "[laughter]"}


@pytest.mark.parametrize(
    ("word", "pron"),
    [
        ("XKCD'S", "EH K S K EY S IY D IY Z"),
        ("CAT-BOX", "K AE T B AA K S"),
        ("BOX2", "B AA K S T UW"),
        ("-CAT", "K AE T"),
        ("W-2", "D AH B AH L Y UW T UW"),
        ("WHITEBOARDS", "W AY T B AO R D Z"),
        ("JOYSTICK'S", "JH OY S T IH K S"),
        ("BUTTON'LL", "B AH T AH N AH L"),
        ("SCROLLWHEEL", "S K R OW L W IY L"),
        ("'KA", "K AH"),
    ],
)
def test_letter_to_sound(word, pron):
    known = prepare_dict.cmudict_prons()
    assert word not in known
    assert " ".join(letter_to_sound.guess(word, known) or ()) == pron


def test_letters_share_out_the_phones():
    cost = {("X", ("K", "S")): 1.0, ("T", ("T",)): 1.0, ("E", ("EH",)): 1.0, ("E", ()): 2.0}
    split = letter_to_sound.align("TEXTE", ("T", "EH", "K", "S", "T"), cost)
    assert split == [("T",), ("EH",), ("K", "S"), ("T",), ()]
    assert letter_to_sound.align("W", ("D", "AH", "B", "AH", "L", "Y", "UW"), cost) is None


@given(st.text(alphabet="ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789'-", min_size=1, max_size=12))
@settings(deadline=None)  # the first word may train the model
def test_any_normalised_word_gets_phones(word):
    phones = letter_to_sound.guess(word, prepare_dict.cmudict_prons())
    if any(character.isalnum() for character in word):
        assert phones
        assert {letter for phone in phones for letter in phone} <= set("ABCDEFGHIJKLMNOPQRSTUVWXYZ")
        assert all(1 <= len(phone) <= 2 for phone in phones)
    else:
        assert phones is None


def test_letter_to_sound_is_close_to_cmudict():
    """Trained on a quarter of CMUdict, it has more than half of other words right (60 %; with all of it, 73 %)."""
    known = prepare_dict.cmudict_prons()
    words = sorted(word for word in known if word.isalpha() and len(word) > 3)
    model = letter_to_sound.train({word: known[word] for word in words[::4]})
    unseen = words[1::400]
    right = [letter_to_sound.pronounce(word, model) in known[word] for word in unseen]
    assert len(unseen) > 250
    assert sum(right) / len(right) > 0.5


def test_piece_dictionary_spells_every_word(text, tmp_path):
    extra = tmp_path / "more.txt"
    extra.write_text("ZEBRA'S QX-7 KANGAROO\n")
    out = tmp_path / "dict"
    call("lang dict", ["--units", "bpe", "--vocab-size", "60", "--extra-words", str(extra), str(text), str(out)])
    lexicon = read_lexicon(out)
    pieces = set((out / "nonsilence_phones.txt").read_text().split())
    assert len(pieces) == 59  # without the model's own unknown piece
    for word in ("ZEBRA'S", "QX-7", "WELL", "MM-HMM"):
        (pron,) = lexicon[word]
        assert set(pron.split()) <= pieces
        assert pron.replace(" ", "").removeprefix("▁") == word
    # The same model serves another text.
    again = tmp_path / "dict2"
    call("lang dict", ["--units", "bpe", "--bpe-model", str(out / "bpe.model"), str(text), str(again)])
    assert read_lexicon(again)["WELL"] == lexicon["WELL"]


def test_impossible_piece_count_is_explained(text, tmp_path):
    call("lang dict", ["--units", "bpe", "--vocab-size", "0", str(text), str(tmp_path / "few")])
    assert len((tmp_path / "few/nonsilence_phones.txt").read_text().split()) < 500
    with pytest.raises(HdnnError, match="--vocab-size 100000"):
        call("lang dict", ["--units", "bpe", "--vocab-size", "100000", str(text), str(tmp_path / "dict")])


def entries(*prons: str) -> list[Entry]:
    return [Entry(f"w{n}", 1.0, tuple(pron.split())) for n, pron in enumerate(prons)]


def test_disambiguation_symbols():
    result, highest = prepare_lang.add_disambiguation(entries("A", "A B", "A B", "C", "A B C"))
    assert [" ".join(entry.phones) for entry in result] == ["A #1", "A B #1", "A B #2", "C", "A B C"]
    assert highest == 2


@given(st.lists(st.text(alphabet="AB", min_size=1, max_size=4), min_size=1, max_size=12))
def test_disambiguated_lexicon_is_prefix_free(prons):
    result, _ = prepare_lang.add_disambiguation(entries(*(" ".join(pron) for pron in prons)))
    for one, other in itertools.permutations(result, 2):
        assert one.phones != other.phones[: len(one.phones)]


def accepted(fst, phones: list[int]) -> dict[tuple[int, ...], float]:
    """Word sequences that a lexicon transducer gives a phone sequence, with their least cost, by exhaustive search."""
    import kaldifst

    found: dict[tuple[int, ...], float] = {}
    todo: list[tuple[int, int, tuple[int, ...], float]] = [(fst.start, 0, (), 0.0)]
    while todo:
        state, position, words, cost = todo.pop()
        if position == len(phones) and fst.final(state).value != math.inf:
            found[words] = min(found.get(words, math.inf), cost + fst.final(state).value)
        for arc in kaldifst.ArcIterator(fst, state):
            step = arc.ilabel != 0
            if step and (position == len(phones) or phones[position] != arc.ilabel):
                continue
            out = (*words, arc.olabel) if arc.olabel else words
            todo.append((arc.nextstate, position + step, out, cost + arc.weight.value))
    return found


def test_lexicon_fst_paths():
    phones = {"<eps>": 0, "sil": 1, "A": 2, "B": 3, "#0": 4, "#1": 5, "#2": 6}
    words = {"<eps>": 0, "a": 1, "ab": 2, "#0": 3}
    lexicon = [Entry("a", 1.0, ("A",)), Entry("ab", 0.5, ("A", "B")), Entry("ab", 0.25, ("B",))]
    fst = prepare_lang.lexicon_fst(lexicon, phones, words, "sil", 0.3)
    silence, none = -math.log(0.3), -math.log(0.7)
    expected = {
        (2,): 2 * none - math.log(0.5),  # no silence at the start nor after the one word
        (1, 2): 3 * none - math.log(0.25),
    }
    assert accepted(fst, [2, 3]) == pytest.approx(expected, rel=1e-5)
    assert accepted(fst, [1, 2, 1]) == pytest.approx({(1,): 2 * silence}, rel=1e-5)
    assert accepted(fst, [2, 1, 1]) == {}  # one silence a pause
    bare = prepare_lang.lexicon_fst(lexicon, phones, words, "sil", 0.0)
    assert accepted(bare, [2, 3]) == pytest.approx({(2,): -math.log(0.5), (1, 2): -math.log(0.25)}, rel=1e-5)


def dictionary_of_fixture(kaldi_fixture: Path, out: Path) -> Path:
    """The dictionary that Kaldi's fixture was made from, read back from its lang directory."""
    lang = kaldi_fixture / "lang"
    out.mkdir()
    symbols = {number: phone for phone, number in map(str.split, (lang / "phones.txt").read_text().splitlines())}

    def phones(name: str) -> list[str]:
        names = [symbols[number] for number in (lang / "phones" / name).read_text().replace(":", " ").split()]
        return list(dict.fromkeys(p[:-2] if p[-2:] in prepare_lang.WORD_BOUNDARY else p for p in names))

    shutil.copy(lang / "lexicon.txt", out / "lexicon.txt")
    silence = phones("silence.csl")
    spoken = [symbol for symbol in symbols.values() if symbol.endswith("_S") and symbol[:-2] not in silence]
    (out / "silence_phones.txt").write_text("\n".join(silence) + "\n")
    (out / "nonsilence_phones.txt").write_text("\n".join(symbol[:-2] for symbol in spoken) + "\n")
    (out / "optional_silence.txt").write_text("\n".join(phones("optional_silence.int")) + "\n")
    return out


def test_lang_equals_the_one_kaldi_made(kaldi_fixture, tmp_path):
    """Symbol tables, topology, phone lists and transducers against Kaldi's prepare_lang.sh, from the same lexicon."""
    import kaldifst

    theirs = kaldi_fixture / "lang"
    ours = tmp_path / "lang"
    dictionary = dictionary_of_fixture(kaldi_fixture, tmp_path / "dict")
    call("lang prepare", [str(dictionary), (theirs / "oov.txt").read_text().strip(), str(ours)])
    for name in ("phones.txt", "words.txt", "topo", "oov.int", "oov.txt"):
        assert (ours / name).read_text() == (theirs / name).read_text(), name
    compared = 0
    for path in sorted((theirs / "phones").iterdir()):
        if path.name.startswith("extra_questions"):
            continue  # the fixture does not carry the dictionary's questions
        lines = [line.split() for line in path.read_text().splitlines()]
        assert [line.split() for line in (ours / "phones" / path.name).read_text().splitlines()] == lines, path.name
        compared += 1
    assert compared >= 3
    for name in ("L.fst", "L_disambig.fst"):
        one, other = (kaldifst.StdVectorFst.read(str(d / name)) for d in (ours, theirs))
        # Arcs with equal output labels may stand in any order.
        assert sorted(one.to_str().splitlines()) == sorted(other.to_str().splitlines()), name


@pytest.mark.parametrize("positions", ["true", "false"])
@pytest.mark.parametrize("units", ["phones", "bpe"])
@pytest.mark.kaldi
def test_kaldi_accepts_and_makes_the_same(positions, units, text, kaldi_root, tmp_path):
    dictionary, lang = tmp_path / "dict", tmp_path / "lang"
    call("lang dict", ["--units", units, "--vocab-size", "60", str(text), str(dictionary)])
    call("lang prepare", ["--position-dependent-phones", positions, str(dictionary), "<unk>", str(lang)])
    validate_lang(lang, kaldi_root)
    recipe, theirs = tmp_path / "recipe", tmp_path / "kaldi"
    options = ["--position-dependent-phones", positions]
    kaldi_script("prepare_lang.sh", [*options, dictionary, "<unk>", tmp_path / "tmp", theirs], kaldi_root, recipe)
    for path in sorted(theirs.rglob("*")):
        if path.suffix in (".txt", ".int", ".csl") or path.name == "topo":
            lines = [line.split() for line in path.read_text().splitlines()]
            mine = lang / path.relative_to(theirs)
            assert [line.split() for line in mine.read_text().splitlines()] == lines, path.name
    for name in ("L.fst", "L_disambig.fst"):
        command = ["fstisomorphic", lang / name, theirs / name]
        subprocess.run(command, env=kaldi_environment(kaldi_root), check=True)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("lexicon.txt", "a A\nb X\n", "phone X"),
        ("lexicon.txt", "a A\nb\n", "has no phones"),
        ("lexicon.txt", "<s> A\n", "cannot be a word"),
        ("lexicon.txt", "\n", "empty lexicon"),
        ("lexiconp.txt", "a 1.5 A\n", "probability 1.5"),
        ("lexiconp.txt", "a A\n", "no pronunciation probability"),
        ("optional_silence.txt", "A\n", "expected one phone"),
        ("nonsilence_phones.txt", "A A_B\n", "kept for other symbols"),
        ("nonsilence_phones.txt", "A sil\n", "listed twice"),
        ("silence_phones.txt", "", "must not be empty"),
    ],
)
def test_bad_dictionaries_are_explained(name, content, message, tmp_path):
    (tmp_path / "lexicon.txt").write_text("a A\n<unk> sil\n")
    (tmp_path / "silence_phones.txt").write_text("sil\n")
    (tmp_path / "nonsilence_phones.txt").write_text("A\n")
    (tmp_path / "optional_silence.txt").write_text("sil\n")
    call("lang prepare", [str(tmp_path), "<unk>", str(tmp_path / "good")])
    (tmp_path / name).write_text(content)
    with pytest.raises(HdnnError, match=message):
        call("lang prepare", [str(tmp_path), "<unk>", str(tmp_path / "lang")])


def test_unknown_word_must_be_in_the_lexicon(text, tmp_path):
    call("lang dict", [str(text), str(tmp_path / "dict")])
    with pytest.raises(HdnnError, match="<UNK> is not in the lexicon"):
        call("lang prepare", [str(tmp_path / "dict"), "<UNK>", str(tmp_path / "lang")])
