"""Lattice commands on Kaldi's files; the numbers come from all paths, from Kaldi's texts, or from simple counting."""

import gzip
import re
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hdnn_nnet.cli import call
from hdnn_nnet.errors import HdnnError
from hdnn_nnet.kaldi.symbols import SymbolTable
from hdnn_nnet.lattice.best_path import best_paths
from hdnn_nnet.lattice.table import LatticeWriter, read_lattices
from hdnn_nnet.lattice.types import LATTICE_ARC, AnyLattice, CompactLattice, Lattice, expand
from hdnn_nnet.score.wer import compute_wer
from tests.support.lattice_cases import all_paths, arc_by_arc, timed_lattices

EMPTY = Lattice(-1, np.zeros(1, np.int64), np.zeros(0, LATTICE_ARC), np.zeros((0, 2), np.float32))
ONE_TEST_ONE_FOLDER = settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


@pytest.fixture
def lat(kaldi_fixture: Path) -> str:
    return str(kaldi_fixture / "exp/decode/lat.1.gz")


def write(path: Path, lattices: dict[str, AnyLattice]) -> str:
    with LatticeWriter(f"ark:{path}") as writer:
        for key, lattice in lattices.items():
            writer.write_lattice(key, lattice)
    return str(path)


def paths(lattice: AnyLattice) -> list[tuple]:
    compact = lattice if isinstance(lattice, CompactLattice) else arc_by_arc(lattice)
    return sorted((p.words, p.ids, p.graph, p.acoustic) for p in all_paths(compact))


# -- copy


def test_copy_to_text_and_back(lat: str, kaldi_fixture: Path, tmp_path: Path) -> None:
    folder = kaldi_fixture / "exp/decode"
    for form, flag in (("compact", "true"), ("noncompact", "false")):
        call("lattice copy", [f"--write-compact={flag}", str(folder / f"lat.{form}.txt.gz"), f"ark,t:{tmp_path}/text"])
        assert (tmp_path / "text").read_bytes() == gzip.decompress((folder / f"lat.{form}.txt.gz").read_bytes())
    call("lattice copy", [lat, f"ark,t:{tmp_path}/text"])
    assert (tmp_path / "text").read_bytes() == gzip.decompress((folder / "lat.compact.txt.gz").read_bytes())
    call("lattice copy", [f"ark:{tmp_path}/text", f"ark,scp:{tmp_path}/lat.ark,{tmp_path}/lat.scp"])
    again = dict(read_lattices(f"{tmp_path}/lat.scp"))
    for key, lattice in read_lattices(lat):
        assert again[key].arcs["label"].tolist() == lattice.arcs["label"].tolist()


@given(timed_lattices())
@ONE_TEST_ONE_FOLDER
def test_copy_between_the_forms(tmp_path: Path, lattice: CompactLattice) -> None:
    source = write(tmp_path / "in.ark", {"a": lattice, "b": expand(lattice)})
    for flag, kind in (("true", CompactLattice), ("false", Lattice)):
        call("lattice copy", ["--write-compact", flag, source, f"{tmp_path}/out.ark"])
        again = dict(read_lattices(tmp_path / "out.ark"))
        assert [*again] == ["a", "b"]
        assert all(type(copy) is kind for copy in again.values())
        assert all(paths(copy) == paths(lattice) for copy in again.values())


def test_copy_some(lat: str, tmp_path: Path) -> None:
    keys = [key for key, _ in read_lattices(lat)]
    (tmp_path / "list").write_text(f"{keys[1]} with words\n{keys[0]}\nnobody\n")
    call("lattice copy", ["--include", f"{tmp_path}/list", lat, f"{tmp_path}/some"])
    assert [key for key, _ in read_lattices(tmp_path / "some")] == keys[:2]
    call("lattice copy", ["--exclude", f"{tmp_path}/list", lat, f"{tmp_path}/others"])
    assert [key for key, _ in read_lattices(tmp_path / "others")] == keys[2:]
    (tmp_path / "list").write_text("nobody\n")
    with pytest.raises(HdnnError, match=rf"lat\.1\.gz: none of {len(keys)} lattices"):
        call("lattice copy", ["--include", f"{tmp_path}/list", lat, f"{tmp_path}/none"])
    assert not (tmp_path / "none").exists()
    call("lattice copy", ["--ignore-missing", "--include", f"{tmp_path}/list", lat, f"{tmp_path}/none"])
    assert (tmp_path / "none").read_bytes() == b""
    with pytest.raises(HdnnError, match="not both"):
        call("lattice copy", ["--include=a", "--exclude=b", lat, "-"])


# -- info


def test_info(lat: str, kaldi_fixture: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = (kaldi_fixture / "exp/decode/best_path.ali").read_text().splitlines()
    frames = {row.split()[0]: len(row.split()) - 1 for row in rows}
    text = gzip.decompress((kaldi_fixture / "exp/decode/lat.compact.txt.gz").read_bytes()).decode()
    total = np.zeros(5, np.int64)
    expected = []
    for block in text.strip().split("\n\n"):
        key, *lines = block.splitlines()
        fields = [line.split() for line in lines]
        arcs, finals = [f for f in fields if len(f) > 2], [f for f in fields if len(f) <= 2]
        ids = sum(len([i for i in f[-1].split(",")[-1].split("_") if i]) for f in fields if "," in f[-1])
        states = len({f[0] for f in fields})
        counts = [states, len(arcs), len(finals), frames[key.strip()]]
        total += [*counts, ids]
        expected.append(" ".join(map(str, [key.strip(), *counts, f"{ids / counts[-1]:.6g}"])))
    assert call("lattice info", ["--per-utt", lat]) == 0
    printed = capsys.readouterr().out.splitlines()
    assert printed[: len(expected)] == expected
    assert printed[len(expected) :] == [
        f"{len(expected)} lattices, {len(expected)} of them compact; 0 without a path or with paths of different lengths",
        *(
            f"{value} {name}, {value / len(expected):.1f} a lattice"
            for value, name in zip(total, ("states", "arcs", "final states"), strict=False)
        ),
        f"Overall density is {total[4] / total[3]:.6g} over {total[3]} frames.",
    ]


def test_info_of_a_decode_directory_and_of_bad_lattices(
    lat: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    lattices = dict(read_lattices(lat))
    keys = [*lattices]
    for job, part in enumerate((keys[:2], keys[2:]), 1):
        packed = gzip.compress(Path(write(tmp_path / "x", {key: lattices[key] for key in part})).read_bytes())
        (tmp_path / f"lat.{job}.gz").write_bytes(packed)
        (tmp_path / "num_jobs").write_text(f"{job}\n")
    assert call("lattice info", [str(tmp_path)]) == 0
    whole = capsys.readouterr().out
    assert call("lattice info", [lat]) == 0
    assert capsys.readouterr().out == whole
    bad = write(tmp_path / "bad.ark", {"empty": EMPTY, **lattices})
    assert call("lattice info", [bad]) == 1
    assert f"{len(lattices)} lattices, {len(lattices)} of them compact; 1 without" in capsys.readouterr().out
    assert "bad.ark, key empty: no path" in caplog.text
    (tmp_path / "none.ark").write_bytes(b"")
    with pytest.raises(HdnnError, match=r"none\.ark holds no lattices"):
        call("lattice info", [f"{tmp_path}/none.ark"])


# -- prune


@given(timed_lattices(), st.sampled_from([0.3, 1.1, 3.1]))
@ONE_TEST_ONE_FOLDER
def test_prune(tmp_path: Path, lattice: CompactLattice, beam: float) -> None:
    source = write(tmp_path / "in.ark", {"a": lattice, "b": expand(lattice), "c": EMPTY})
    words = ["--acoustic-scale=0.5", "--lm-scale=2", f"--beam={beam}", source, f"{tmp_path}/out.ark"]
    every = paths(lattice)
    if not every:
        with pytest.raises(HdnnError, match=r"in\.ark: no lattice with a path"):
            call("lattice prune", words)
        return
    call("lattice prune", words)
    pruned = dict(read_lattices(tmp_path / "out.ark"))
    assert [type(p) for p in pruned.values()] == [CompactLattice, Lattice]
    best = min(2.0 * g + 0.5 * a for *_, g, a in every)
    for kept in map(paths, pruned.values()):
        assert {p for p in every if 2.0 * p[2] + 0.5 * p[3] <= best + beam} <= set(kept) <= set(every)


@pytest.mark.parametrize(
    "word", ["--beam=0", "--beam=-1", "--beam=nan", "--beam=inf", "--acoustic-scale=0", "--lm-scale=-1"]
)
def test_limits(lat: str, word: str) -> None:
    with pytest.raises(HdnnError, match=word.split("=")[0]):
        call("lattice prune", [word, lat, "ark:/dev/null"])


# -- nbest


@given(timed_lattices(), st.integers(1, 5))
@ONE_TEST_ONE_FOLDER
def test_nbest(tmp_path: Path, lattice: CompactLattice, n: int) -> None:
    source = write(tmp_path / "in.ark", {"a": lattice, "b": expand(lattice), "c": EMPTY})
    words = [f"--n={n}", "--acoustic-scale=0.5", source]
    every = paths(lattice)
    if not every:
        with pytest.raises(HdnnError, match=r"in\.ark: no lattice with a path"):
            call("lattice nbest", [*words, f"{tmp_path}/out.ark"])
        return
    best: dict[tuple[int, ...], float] = {}
    for spelled, _, graph, acoustic in every:
        best[spelled] = min(graph + 0.5 * acoustic, best.get(spelled, np.inf))
    costs = sorted(best.values())[:n]
    names = [f"{key}-{number}" for key in "ab" for number in range(1, len(costs) + 1)]
    call("lattice nbest", [*words, f"{tmp_path}/out.ark"])
    linear = dict(read_lattices(tmp_path / "out.ark"))
    assert [*linear] == names
    call("lattice nbest", ["--output=text", *words, f"{tmp_path}/out.txt"])
    lines = (tmp_path / "out.txt").read_text().splitlines()
    for number, (name, line) in enumerate(zip(names, lines, strict=True)):
        ((spelled, ids, graph, acoustic),) = paths(linear[name])
        assert (spelled, ids, graph, acoustic) in every
        assert graph + 0.5 * acoustic == costs[number % len(costs)]
        assert line.split() == [name, f"{graph:.7g}", f"{acoustic:.7g}", *map(str, spelled)]


def test_nbest_with_words(lat: str, kaldi_fixture: Path, capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    table = str(kaldi_fixture / "lang/words.txt")
    call("lattice nbest", ["--acoustic-scale=0.1", "--output=text", "--words", table, lat, "-"])
    printed = capfdbinary.readouterr().out.decode().splitlines()
    symbols = SymbolTable.read(table)
    for line, (key, lattice) in zip(printed, read_lattices(lat), strict=True):
        path = best_paths(lattice, np.array([0.1]), np.zeros(1))[0]
        name, graph, acoustic, *words = line.split()
        assert (name, words) == (f"{key}-1", [symbols.symbol(word) for word in path.words.tolist()])
        assert (float(graph), float(acoustic)) == pytest.approx((path.graph, path.acoustic), rel=1e-6)


# -- oracle


@given(timed_lattices(), st.lists(st.sampled_from(["a", "b", "c", "other", "noise"]), min_size=1, max_size=5))
@ONE_TEST_ONE_FOLDER
def test_oracle(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], lattice: CompactLattice, reference: list[str]
) -> None:
    (tmp_path / "words.txt").write_text("<eps> 0\na 1\nb 2\nc 3\n")
    (tmp_path / "text").write_text(f"utt {' '.join(reference)}\nmissing a\n")
    source = write(tmp_path / "in.ark", {"utt": lattice, "strange": lattice})
    words = [source, f"{tmp_path}/words.txt", f"{tmp_path}/text"]
    for ignored, oov in (({"noise"}, ""), ({"noise", "b"}, "c"), (set(), "")):
        wanted = [word for word in reference if word not in ignored]
        wanted = ["c" if oov and word in ("other", "noise") else word for word in wanted]
        guesses = {tuple(w for i in p.words if (w := " abc"[i]) not in ignored) for p in all_paths(lattice)}
        options = ["--per-utt", f"--oov={oov}", "--ignore", ",".join(ignored), f"--transcripts={tmp_path}/best"]
        if not guesses or not wanted:
            with pytest.raises(HdnnError, match="no reference words in"):
                call("lattice oracle", [*options, *words])
            continue
        capsys.readouterr()
        call("lattice oracle", [*options, *words])
        row, total, scored, density = capsys.readouterr().out.splitlines()
        errors = {guess: compute_wer({"utt": wanted}, {"utt": guess}).errors for guess in guesses}
        name, *counts = row.split()
        frames = len(all_paths(lattice)[0].ids)
        assert (name, int(counts[0]), int(counts[1]), int(counts[5])) == (
            "utt",
            min(errors.values()),
            len(wanted),
            frames,
        )
        assert sum(map(int, counts[2:5])) == int(counts[0])
        assert errors[tuple((tmp_path / "best").read_text().split()[1:])] == int(counts[0])
        assert total == (
            f"Overall %WER {100 * int(counts[0]) / len(wanted):.2f} [ {counts[0]} / {len(wanted)}, {counts[2]} insertions, "
            f"{counts[3]} deletions, {counts[4]} substitutions ]"
        )
        assert scored == "Scored 1 lattices, 1 not present in ref, 0 without a path."
        assert density == f"Overall density is {counts[6]} over {frames} frames."


def test_oracle_refuses_an_unknown_oov(lat: str, kaldi_fixture: Path) -> None:
    words, text = str(kaldi_fixture / "lang/words.txt"), str(kaldi_fixture / "data/test/text")
    with pytest.raises(HdnnError, match="'nothing' is not in the symbol table"):
        call("lattice oracle", ["--oov=nothing", lat, words, text])


def test_every_lattice_command_is_documented() -> None:
    from hdnn_nnet.cli import COMMANDS

    page = (Path(__file__).resolve().parent.parent / "docs/lattices.md").read_text()
    shown = set(re.findall(r"hdnn (lattice [a-z0-9-]+)", page))
    assert shown == {name for name in COMMANDS if name.startswith("lattice ")}
