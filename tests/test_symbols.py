"""Symbol tables and integer lists."""

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hdnn_nnet.errors import HdnnError
from hdnn_nnet.kaldi.symbols import SymbolTable, read_integer_lines, read_integers, read_phone_list, write_integers


def test_fixture(kaldi_fixture: Path, tmp_path: Path) -> None:
    for name in ("words.txt", "phones.txt"):
        table = SymbolTable.read(kaldi_fixture / "lang" / name)
        table.write(tmp_path / name)
        assert (tmp_path / name).read_bytes() == (kaldi_fixture / "lang" / name).read_bytes()
    assert table["<eps>"] == 0
    assert table.symbol(1) == table.names()[1] == "sil"
    assert len(table) == len((kaldi_fixture / "lang/phones.txt").read_text().splitlines())
    assert read_integers(kaldi_fixture / "lang/phones/silence.csl") == list(range(1, 11))
    boundary = (kaldi_fixture / "lang/phones/align_lexicon.int").read_text().splitlines()
    assert read_integer_lines(kaldi_fixture / "lang/phones/align_lexicon.int")[0] == [
        int(w) for w in boundary[0].split()
    ]


@settings(max_examples=50, deadline=None)
@given(
    ids=st.dictionaries(
        st.text(min_size=1, max_size=8).filter(lambda s: not any(c in s for c in " \t\r\n") and s.isprintable()),
        st.integers(-5, 2**31 - 1),
        min_size=1,
        max_size=20,
    ).filter(lambda ids: len(set(ids.values())) == len(ids))
)
def test_round_trip(tmp_path_factory, ids: dict[str, int]) -> None:
    path = tmp_path_factory.mktemp("symbols") / "words.txt"
    SymbolTable(ids).write(path)
    table = SymbolTable.read(path)
    assert table.ids == ids
    assert all(table.symbol(number) == symbol for symbol, number in ids.items())


def test_unicode_spaces_belong_to_words(tmp_path: Path) -> None:
    (tmp_path / "words.txt").write_text("<eps> 0\na\u00a0b 1\nc\u2028d\t2\n", encoding="utf-8")
    assert SymbolTable.read(tmp_path / "words.txt").ids == {"<eps>": 0, "a\u00a0b": 1, "c\u2028d": 2}


@pytest.mark.parametrize(
    "text", ["", "a\n", "a b\n", "a 1\na 2\n", "a 1\nb 1\n", "a 1 2\n", "a ²\n", "a 2147483648\n", "a 1_0\n"]
)
def test_bad_tables(tmp_path: Path, text: str) -> None:
    (tmp_path / "words.txt").write_text(text, encoding="utf-8")
    with pytest.raises(HdnnError, match=r"words\.txt"):
        SymbolTable.read(tmp_path / "words.txt")


def test_missing(tmp_path: Path) -> None:
    with pytest.raises(HdnnError, match="does not exist"):
        SymbolTable.read(tmp_path / "no.txt")
    table = SymbolTable({"a": 1})
    with pytest.raises(HdnnError, match="'b'"):
        table["b"]
    with pytest.raises(HdnnError, match="number 2"):
        table.symbol(2)
    with pytest.raises(HdnnError, match="same number"):
        SymbolTable({"a": 1, "b": 1})


def test_integers(tmp_path: Path) -> None:
    write_integers(tmp_path / "disambig.int", [3, 1, 2])
    assert read_integers(tmp_path / "disambig.int") == [3, 1, 2]
    (tmp_path / "disambig.int").write_text("1 2\nx\n")
    with pytest.raises(HdnnError, match="line 2"):
        read_integers(tmp_path / "disambig.int")


def test_phones_on_a_command_line(tmp_path: Path) -> None:
    (tmp_path / "silence.csl").write_text("1:2:3\n")
    assert read_phone_list("1:2:3") == read_phone_list(str(tmp_path / "silence.csl")) == [1, 2, 3]
    with pytest.raises(HdnnError, match="phones 1:4294967297: 4294967297 is not between"):
        read_phone_list("1:4294967297")
    with pytest.raises(HdnnError, match=r"none\.csl does not exist"):
        read_phone_list(str(tmp_path / "none.csl"))
