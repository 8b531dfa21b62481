"""Names of tables: specifiers, extended file names and ranges, against Kaldi's rules and what its programs did."""

import logging
import re
import subprocess
from pathlib import Path

import kaldiio
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hdnn_nnet.errors import HdnnError
from hdnn_nnet.kaldi.matrix_range import split_range
from hdnn_nnet.kaldi.matrix_table import MatrixTable
from hdnn_nnet.kaldi.rxfile import parse_specifier, split_offset
from hdnn_nnet.kaldi.tables import read_int_vectors, read_matrices

WORDS = ["ark", "scp", "t", "b", "o", "no", "s", "ns", "cs", "ncs", "p", "np", "bg", "f", "nf", "x", ""]


def classify(specifier: str) -> tuple[str | None, str | None] | None:
    """Archive and script file, by the loops of ClassifyRspecifier and ClassifyWspecifier (util/kaldi-table.cc)."""
    if ":" not in specifier:
        return None
    colon = specifier.index(":")
    before, after = specifier[:colon], specifier[colon + 1 :]
    kind = ""
    for word in before.replace(" ", ",").split(","):
        if word == "ark":
            if kind:
                return None
            kind = "ark"
        elif word == "scp":
            if kind == "ark":
                kind = "both"
            elif kind == "":
                kind = "scp"
            else:
                return None
        elif word not in ("b", "t", "f", "nf", "o", "no", "p", "np", "s", "ns", "cs", "ncs", "bg"):
            return None
    if kind == "both":
        comma = after.find(",")
        return None if comma < 0 else (after[:comma], after[comma + 1 :])
    return {"ark": (after, None), "scp": (None, after), "": None}[kind]


@settings(max_examples=500, deadline=None)
@given(
    words=st.lists(st.sampled_from(WORDS), min_size=1, max_size=4),
    rest=st.text(st.characters(codec="ascii", categories=("L", "N", "P")), max_size=12),
)
def test_specifiers_are_kaldi_s(words: list[str], rest: str) -> None:
    text = f"{','.join(words)}:{rest}"
    expected = classify(text)
    try:
        archive, script, options = parse_specifier(text)
    except HdnnError:
        assert expected is None
        return
    if expected is None:  # then it is a path like any other
        assert not {"ark", "scp"} & set(words)
        assert (archive or script) == text
    else:
        assert (archive, script) == expected
        assert options == set(words) - {"ark", "scp"}


@given(st.text(st.characters(codec="utf-8", exclude_characters=":"), min_size=1))
def test_what_is_no_specifier_is_a_path(path: str) -> None:
    archive, script, options = parse_specifier(path)
    assert (archive or script, script is not None, options) == (path, path.endswith(".scp"), set())


@given(st.text(min_size=1), st.integers(0, 1 << 40))
def test_offsets(path: str, offset: int) -> None:
    assert split_offset(f"{path}:{offset}") == (path, offset)
    assert split_offset(f"{path}:{offset}x") == (f"{path}:{offset}x", 0)
    assert split_offset(f":{offset}") == (f":{offset}", 0)


def rule(text: str, rows: int, columns: int) -> tuple[int, int] | None:
    """Shape of what a range takes of a matrix, None where it is refused: ParseMatrixRangeSpecifier, word for word."""
    parts = text.split(",")
    if len(parts) > 2 or "" in parts:
        return None
    ends = [[0, rows - 1], [0, columns - 1]]
    for i, part in enumerate(parts):
        if part != ":":
            numbers = part.split(":")
            if len(numbers) != 2 or not all(re.fullmatch("[0-9]+", n) for n in numbers):
                return None
            ends[i] = [int(n) for n in numbers]
    (first, last), (left, right) = ends
    stated = [part != ":" for part in [*parts, ":"][:2]]
    if stated[0] and not (first <= last and last < rows + 3):
        return None
    if stated[1] and not (left <= right and right < columns):
        return None
    taken = min(last, rows - 1) - first + 1
    return None if taken < 0 else (taken, right - left + 1)


number = st.integers(0, 12).map(str) | st.sampled_from(["", "-1", "x", "1 "])
side = st.just(":") | st.tuples(number, number).map(":".join) | st.sampled_from(["", "3", "1:2:3"])


@settings(max_examples=1000, deadline=None)
@given(st.lists(side, min_size=1, max_size=3).map(",".join), st.integers(0, 9), st.integers(1, 5))
def test_ranges_by_the_rule(text: str, rows: int, columns: int) -> None:
    matrix = np.arange(rows * columns).reshape(rows, columns)
    expected = rule(text, rows, columns)
    try:
        name, part = split_range(f"feats.ark:3[{text}]")
        assert name == "feats.ark:3"
        assert part is not None
        taken = matrix[part.slices(rows, columns)]
    except HdnnError:
        assert expected is None
        return
    assert taken.shape == expected
    assert split_range(f"feats.ark:3{part}") == (name, part)
    # The rows and columns themselves, counted by hand.
    wanted = [(r, c) for r in range(rows) for c in range(columns) if inside(text, r, c)]
    assert taken.ravel().tolist() == [int(matrix[place]) for place in wanted]


def inside(text: str, row: int, column: int) -> bool:
    parts = [*text.split(","), ":"]
    return all(
        part == ":" or int(part.split(":")[0]) <= index <= int(part.split(":")[1])
        for part, index in zip(parts, (row, column), strict=False)
    )


#: what copy-feats of Kaldi 5.5.1181 made of a matrix of 20 rows and 4 columns, plain and compressed; None: it refused
KALDI_DID = {
    "[0:19]": (20, 4), "[0:20]": (20, 4), "[0:22]": (20, 4), "[0:23]": None, "[19:22]": (1, 4), "[21:22]": None,
    "[22:22]": None, "[5:]": None, "[:5]": None, "[5]": None, "[0:4,]": None, "[:,0:2]": (20, 3), "[:]": (20, 4),
    "[:,:]": (20, 4), "[ 0:3 ]": None, "[-1:3]": None, "[5:3]": None, "[0:4,0:9]": None, "[0:4,0:4]": None,
    "[0:4,0:3]": (5, 4), "[0:4,3:1]": None, "[0:1:2]": None, "[]": None, "[0:3][0:1]": None, "[0:4,1:1,0:1]": None,
    "[,0:1]": None, "[0:3,:]": (4, 4),
}  # fmt: skip


@pytest.fixture(params=[None, 2], ids=["plain", "compressed"])
def script(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    matrix = np.arange(80, dtype=np.float32).reshape(20, 4)
    kaldiio.save_ark(f"{tmp_path}/a.ark", {"u": matrix}, compression_method=request.param)
    return tmp_path / "a.scp"


@pytest.mark.parametrize("text", KALDI_DID)
def test_ranges_as_kaldi_s_programs(script: Path, text: str, caplog: pytest.LogCaptureFixture) -> None:
    """Random access, shapes and streams agree with copy-feats, and with each other."""
    script.write_text(f"u {script.with_suffix('.ark')}:2{text}\n")
    table = MatrixTable(script)
    readers = (lambda: table["u"].shape, lambda: table.shape("u"), lambda: dict(read_matrices(script))["u"].shape)
    for read in readers:
        if KALDI_DID[text] is None:
            with pytest.raises(HdnnError, match=r"a\.(scp|ark), key u: "):
                read()
        else:
            with caplog.at_level(logging.WARNING):
                assert read() == KALDI_DID[text]
    late = text.endswith(("20]", "22]"))
    assert caplog.text.count("ends after the last of 20 rows") == (2 if late and KALDI_DID[text] else 0)


@pytest.mark.kaldi
def test_kaldi_takes_and_refuses_the_same(script: Path, kaldi_root: Path) -> None:
    program = kaldi_root / "src/featbin/feat-to-len"
    if not program.exists():
        pytest.skip("feat-to-len is not built")
    for text in KALDI_DID:
        script.write_text(f"u {script.with_suffix('.ark')}:2{text}\n")
        done = subprocess.run([program, f"scp:{script}", "ark,t:-"], capture_output=True, text=True, check=False)
        expected = KALDI_DID[text]
        assert done.stdout.split() == ([] if expected is None else ["u", str(expected[0])]), text


def test_ranges_of_vectors(tmp_path: Path) -> None:
    """Kaldi's rule for vectors has the same tolerance; columns make no sense."""
    kaldiio.save_ark(f"{tmp_path}/a.ark", {"u": np.arange(10, dtype=np.int32)})
    for text, expected in (("[2:4]", [2, 3, 4]), ("[8:12]", [8, 9]), ("[8:13]", None), ("[0:3,1:2]", None)):
        (tmp_path / "a.scp").write_text(f"u {tmp_path}/a.ark:2{text}\n")
        if expected is None:
            with pytest.raises(HdnnError, match=r"a\.ark, key u: no "):
                list(read_int_vectors(tmp_path / "a.scp"))
        else:
            assert dict(read_int_vectors(tmp_path / "a.scp"))["u"].tolist() == expected
