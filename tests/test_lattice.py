"""Kaldi lattices: files written by Kaldi round-trip; damaged ones are refused by name."""

import gzip
import os
import subprocess
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hdnn_nnet.errors import HdnnError
from hdnn_nnet.kaldi.int_vectors import IntVectorWriter
from hdnn_nnet.lattice.best_path import best_paths, path_alignment
from hdnn_nnet.lattice.io import to_binary, to_text
from hdnn_nnet.lattice.ops import connect
from hdnn_nnet.lattice.table import LatticeWriter, read_lattice, read_lattices
from hdnn_nnet.lattice.types import (
    LATTICE_ARC,
    AnyLattice,
    CompactLattice,
    Lattice,
    expand,
    topological_order,
)
from tests.support.lattice_cases import all_paths, untimed_lattices


def same(a: AnyLattice, b: AnyLattice) -> None:
    assert type(a) is type(b)
    assert a.start == b.start
    for name in vars(a):
        if name != "start":
            np.testing.assert_array_equal(getattr(a, name), getattr(b, name), err_msg=name)


def without_header(archive: bytes) -> bytes:
    """Blank out the properties and arc counts of the FST headers, which depend on how a lattice came about."""
    magic, position, out = b"\xd6\xfd\xb2\x7e\x06\x00\x00\x00vector", 0, bytearray(archive)
    while (position := archive.find(magic, position)) >= 0:
        length = int.from_bytes(archive[position + 14 : position + 18], "little")
        head = position + 18 + length
        out[head + 8 : head + 16] = bytes(8)
        out[head + 32 : head + 40] = bytes(8)
        position = head
    return bytes(out)


BINARY = ["lat.1.gz", "lat.noncompact.gz", "lat.raw_one.gz", "lat.wordaligned.gz"]
TEXT = [
    "decode/lat.compact.txt.gz",
    "decode/lat.noncompact.txt.gz",
    "denlats/spkB-train2.compact.txt.gz",
    "denlats/spkB-train2.noncompact.txt.gz",
    "denlats/spkC-train2.compact.txt.gz",
    "denlats/spkC-train2.noncompact.txt.gz",
]


@pytest.mark.parametrize("name", BINARY)
def test_binary_round_trip_is_exact(kaldi_fixture: Path, tmp_path: Path, name: str) -> None:
    path = kaldi_fixture / "exp/decode" / name
    entries = list(read_lattices(path))
    with LatticeWriter(f"ark,scp:{tmp_path}/lat.ark,{tmp_path}/lat.scp") as writer:
        for key, lattice in entries:
            writer.write_lattice(key, lattice)
    written = (tmp_path / "lat.ark").read_bytes()
    assert without_header(written) == without_header(gzip.decompress(path.read_bytes()))
    by_offset = list(read_lattices(f"scp:{tmp_path}/lat.scp"))
    assert [key for key, _ in by_offset] == [key for key, _ in entries]
    for (_, a), (_, b) in zip(by_offset, entries, strict=True):
        same(a, b)


@pytest.mark.parametrize("name", TEXT)
def test_text_round_trip_is_equal(kaldi_fixture: Path, tmp_path: Path, name: str) -> None:
    path = kaldi_fixture / "exp" / name
    with LatticeWriter(f"ark,t:| gzip -c > {tmp_path}/copy.gz") as writer:
        for key, lattice in read_lattices(f"ark:gunzip -c {path} |"):
            writer.write_lattice(key, lattice)
    assert gzip.decompress((tmp_path / "copy.gz").read_bytes()) == gzip.decompress(path.read_bytes())


def test_single_files_round_trip_exactly(kaldi_fixture: Path) -> None:
    files = sorted((kaldi_fixture / "exp/denlats/lat1").glob("*.gz"))
    assert len(files) == 10
    for path in files:
        written = to_binary(read_lattice(path))
        assert without_header(written) == without_header(gzip.decompress(path.read_bytes()))


def test_text_equals_binary(kaldi_fixture: Path) -> None:
    folder = kaldi_fixture / "exp/decode"
    text = "".join(f"{key} \n{to_text(lattice)}" for key, lattice in read_lattices(folder / "lat.1.gz"))
    assert text.encode() == gzip.decompress((folder / "lat.compact.txt.gz").read_bytes())


def test_single_files_and_script_with_pipes(kaldi_fixture: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(kaldi_fixture)
    table = dict(read_lattices("scp:exp/denlats/lat.scp"))
    assert len(table) == 10
    for key, lattice in table.items():
        same(lattice, read_lattice(f"exp/denlats/lat1/{key}.gz"))


def test_expand_equals_kaldi(kaldi_fixture: Path) -> None:
    folder = kaldi_fixture / "exp/decode"
    kaldi = dict(read_lattices(folder / "lat.noncompact.gz"))
    for key, compact in read_lattices(folder / "lat.1.gz"):
        assert isinstance(compact, CompactLattice)
        ours = expand(compact)
        assert signature(ours) == signature(kaldi[key])


def signature(lattice: AnyLattice) -> tuple:
    """What survives renumbering of states: sizes, multiset of arcs, best path's costs under several scales."""
    arcs = sorted(zip(*(lattice.arcs[n].tolist() for n in ("ilabel", "olabel", "graph", "acoustic")), strict=True))
    scales, penalties = np.array([1.0, 0.1, 0.03]), np.array([0.0, 0.5, -2.0])
    paths = best_paths(lattice, scales, penalties)
    ends = [(p.graph, p.acoustic, path_alignment(lattice, p).tolist(), p.words.tolist()) for p in paths]
    return lattice.num_states, lattice.num_arcs, arcs, ends, sorted(lattice.final[lattice.is_final()].tolist())


def test_best_path_equals_kaldi(kaldi_fixture: Path) -> None:
    folder = kaldi_fixture / "exp/decode"

    def column(name: str) -> dict[str, list[float]]:
        rows = [line.split() for line in (folder / name).read_text().splitlines()]
        return {row[0]: [float(word) for word in row[1:]] for row in rows}

    words, ali = column("best_path.words.int"), column("best_path.ali")
    graph, acoustic = column("1best.lm_cost"), column("1best.ac_cost")
    for name in ("lat.1.gz", "lat.noncompact.gz"):
        for key, lattice in read_lattices(folder / name):
            path = best_paths(lattice, np.array([0.1]), np.zeros(1))[0]
            assert path.words.tolist() == words[key]
            assert path_alignment(lattice, path).tolist() == ali[key]
            assert path.graph == pytest.approx(graph[key][0], rel=1e-6)
            assert path.acoustic == pytest.approx(acoustic[key][0], rel=1e-6)


@given(untimed_lattices())
@settings(max_examples=80, deadline=None)
def test_best_paths_equal_brute_force(lattice: CompactLattice) -> None:
    paths = all_paths(lattice)
    scales, penalties = np.array([1.0, 0.25, 2.0]), np.array([0.0, 1.5, -1.0])
    if not paths:
        with pytest.raises(HdnnError, match=r"no path|empty"):
            best_paths(lattice, scales, penalties)
        return
    trimmed = connect(lattice)
    assert sorted(all_paths(trimmed)) == sorted(paths)
    for candidate in (lattice, expand(lattice), trimmed):
        for path, scale, penalty in zip(best_paths(candidate, scales, penalties), scales, penalties, strict=True):
            cost = path.graph + scale * path.acoustic + penalty * len(path.words)
            assert cost == pytest.approx(min(g + scale * a + penalty * len(w) for w, _, g, a, _ in paths))
            ids = tuple(path_alignment(candidate, path).tolist())
            assert (tuple(path.words.tolist()), ids) in {(w, i) for w, i, _, _, _ in paths}


@given(untimed_lattices(), st.booleans())
@settings(max_examples=60, deadline=None)
def test_round_trip_of_any_lattice(
    tmp_path_factory: pytest.TempPathFactory, lattice: CompactLattice, text: bool
) -> None:
    path = tmp_path_factory.getbasetemp() / "any.ark"
    both: list[AnyLattice] = [lattice, expand(lattice)]
    for item in both:
        with LatticeWriter(f"{'ark,t' if text else 'ark'}:{path}") as writer:
            writer.write_lattice("first", item)
            writer.write_lattice("second", item)
        entries = list(read_lattices(path))
        assert [key for key, _ in entries] == ["first", "second"]
        for _, again in entries:
            if text:  # states without arcs that are not final leave no trace in text
                assert to_text(again) == to_text(item)
            else:
                same(again, item)


@given(st.data())
@settings(max_examples=80, deadline=None)
def test_damage_names_file_and_key(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    lattice = data.draw(untimed_lattices())
    item: AnyLattice = expand(lattice) if data.draw(st.booleans()) else lattice
    path = tmp_path_factory.getbasetemp() / "damaged.ark"
    whole = b"utt1 " + to_binary(item)
    cut = data.draw(st.integers(6, len(whole) - 1))
    path.write_bytes(whole[:cut])
    with pytest.raises(HdnnError, match=r"damaged\.ark, key utt1"):
        list(read_lattices(path))
    place, value = data.draw(st.integers(0, len(whole) - 1)), data.draw(st.integers(0, 255))
    path.write_bytes(whole[:place] + bytes([value]) + whole[place + 1 :])
    message = "damaged.ark"
    try:
        list(read_lattices(path))
    except HdnnError as error:
        message = str(error)
    assert "damaged.ark" in message


def test_bad_tables_are_refused(tmp_path: Path, kaldi_fixture: Path) -> None:
    with pytest.raises(HdnnError, match=r"missing\.gz"):
        list(read_lattices(tmp_path / "missing.gz"))
    truncated = tmp_path / "short.gz"
    truncated.write_bytes((kaldi_fixture / "exp/decode/lat.1.gz").read_bytes()[:4000])
    with pytest.raises(HdnnError, match=r"short\.gz.*(truncated|damaged)"):
        list(read_lattices(truncated))
    with pytest.raises(HdnnError, match="status 3"):
        list(read_lattices("ark:exit 3 |"))
    with pytest.raises(HdnnError, match="cannot read the lattice line"):
        list(read_lattices("ark:printf 'utt \\n0 1 x\\n\\n' |"))
    with pytest.raises(HdnnError, match="without key"):
        list(read_lattices(kaldi_fixture / "exp/denlats/lat1/spkA-train1.gz"))
    (tmp_path / "one.scp").write_text(f"utt {tmp_path}/none.gz\n")
    with pytest.raises(HdnnError, match=r"one\.scp, key utt"):
        list(read_lattices(f"scp:{tmp_path}/one.scp"))


def test_damage_by_kind_names_file_and_key(tmp_path: Path, kaldi_fixture: Path) -> None:
    folder = kaldi_fixture / "exp"
    whole = gzip.decompress((folder / "denlats/lat1/spkC-train2.gz").read_bytes())
    graph = (folder / "denlats/dengraph/HCLG.fst").read_bytes()  # an FST, but no lattice
    broken = {
        "truncated": (whole[: len(whole) // 2], "truncated"),
        "header": (whole[:20], "truncated|header"),
        "type": (graph, "no Kaldi lattice"),
        "version": (whole[:8] + whole[8:].replace(b"compactlattice44", b"compactlattice99"), "no Kaldi lattice"),
        "matrix": (b"\0BFM \4\1\0\0\0\4\1\0\0\0\0\0\0\0", "neither a binary nor a text lattice"),
    }
    for name, (content, message) in broken.items():
        archive, single, script = tmp_path / f"{name}.ark", tmp_path / f"{name}.lat", tmp_path / f"{name}.scp"
        archive.write_bytes(b"utt7 " + content)
        with pytest.raises(HdnnError, match=rf"{name}\.ark, key utt7: .*({message})"):
            list(read_lattices(archive))
        single.write_bytes(content)
        script.write_text(f"utt7 {single}\n")
        with pytest.raises(HdnnError, match=rf"{name}\.scp, key utt7: .*{name}\.lat: .*({message})"):
            list(read_lattices(f"scp:{script}"))


G = "g \n0 1 5 1.5,2.5,7_8\n1 0,0,\n\n"
#: text of lattice n -> words, graph cost, acoustic cost and alignment of its best path, or what the error says
IN_TEXT: dict[str, tuple[list[int], float, float, list[int]] | str] = {
    "": "the lattice is empty",
    "0 1 5 1.5,2.5,7_8\n": "the lattice is empty",
    "0 1 5 1.5,2.5,7_8\n1 inf,inf,\n": "the lattice is empty",
    "0 1 5 1.5,2.5,7_8\n2 0,0,\n": "no path of the lattice reaches a final state",
    "0 2 5 1.5,2.5,7_8\n2 1 6 1,1,9\n1 0,0,3\n": ([5, 6], 2.5, 3.5, [7, 8, 9, 3]),  # in no topological order
    "0 1 0 1.5,2.5,7_8\n1 0,0,\n": ([], 1.5, 2.5, [7, 8]),
    "0 1 5 1.5,2.5,\n1 2 0 0,0,\n2 0,0,\n": ([5], 1.5, 2.5, []),
    "0\n": ([], 0, 0, []),
    "0 1,2,3_4\n": ([], 1, 2, [3, 4]),
    "0 1 5 1.5e-05,2.5e+02,7_8\n1 0,0,\n": ([5], 1.5e-5, 250, [7, 8]),
    "0 1 5 -1.5,-2.5,7_8\n1 -3,4,\n": ([5], -4.5, 1.5, [7, 8]),
    "0 1 5 1,1,7\n1 0 6 1,1,8\n1 0,0,\n": "the lattice has a cycle",
    "0 1 5 1,1,7\n1 1 6 1,1,8\n1 0,0,\n": "the lattice has a cycle",
    "0 1 7 5 1.5,2.5\n1 2 8 0\n2\n": ([5], 1.5, 2.5, [7, 8]),  # not compact
    "3 1 5 1.5,2.5,7_8\n1 0,0,\n": ([5], 1.5, 2.5, [7, 8]),
}


@pytest.mark.parametrize("text", IN_TEXT)
@pytest.mark.parametrize("end", ["\n", "\r\n", " \t\n"])
def test_lattices_in_text(tmp_path: Path, text: str, end: str) -> None:
    """Odd ones are read as Kaldi reads them, or refused alone; a line that looks empty ends a lattice."""
    expected, archive = IN_TEXT[text], tmp_path / "lat.txt"
    archive.write_bytes(f"n \n{text}\n{G}".replace("\n", end).encode())
    found = dict(read_lattices(archive))
    assert list(found) == ["n", "g"]
    if isinstance(expected, str):
        with pytest.raises(HdnnError, match=f"n: {expected}"):
            best_paths(found["n"], np.array([0.1]), np.zeros(1), "n")
        del found["n"]
    for key, lattice in found.items():
        (path,) = best_paths(lattice, np.array([0.1]), np.zeros(1), key)
        best = (path.words.tolist(), path.graph, path.acoustic, path_alignment(lattice, path).tolist())
        wanted = expected if key == "n" else ([5], 1.5, 2.5, [7, 8])
        assert best[0] == wanted[0]
        assert best[1:3] == pytest.approx(wanted[1:3])
        assert best[3] == wanted[3]


@pytest.mark.parametrize("cost", ["nan,1", "inf,inf", "Infinity,1", "1,-inf"])
def test_costs_of_arcs_that_are_no_numbers(tmp_path: Path, cost: str) -> None:
    (tmp_path / "lat.txt").write_text(f"n \n0 1 5 {cost},7_8\n1 0,0,\n\n{G}")
    with pytest.raises(HdnnError, match=r"lat\.txt, key n: a cost in the lattice is not finite"):
        list(read_lattices(tmp_path / "lat.txt"))


@pytest.mark.kaldi
@pytest.mark.parametrize("end", ["\n", "\r\n", " \t\n"])
def test_kaldi_ends_lattices_at_the_same_lines(tmp_path: Path, kaldi_root: Path, end: str) -> None:
    program = kaldi_root / "src/latbin/lattice-copy"
    if not program.exists():
        pytest.skip("lattice-copy is not built")
    (tmp_path / "lat.txt").write_bytes((G + G.replace("g", "h")).replace("\n", end).encode())
    command = [str(program), f"ark:{tmp_path}/lat.txt", f"ark:{tmp_path}/lat.ark"]
    subprocess.run(command, check=True, capture_output=True)
    for ours, kaldi in zip(read_lattices(tmp_path / "lat.txt"), read_lattices(tmp_path / "lat.ark"), strict=True):
        assert ours[0] == kaldi[0]
        same(ours[1], kaldi[1])


def test_failed_writing_leaves_nothing(tmp_path: Path, kaldi_fixture: Path) -> None:
    _, lattice = next(read_lattices(kaldi_fixture / "exp/decode/lat.1.gz"))

    def write_and_fail() -> None:
        with LatticeWriter(f"ark:{tmp_path}/lat.ark") as writer:
            writer.write_lattice("utt", lattice)
            raise KeyError

    with pytest.raises(KeyError):
        write_and_fail()
    assert os.listdir(tmp_path) == []
    with pytest.raises(HdnnError, match="status 5"), LatticeWriter("ark:| cat > /dev/null; exit 5") as writer:
        writer.write_lattice("utt", lattice)


def test_cycle_is_refused() -> None:
    arcs = np.array([(1, 0, 0.0, 0.0, 1), (1, 0, 0.0, 0.0, 0)], LATTICE_ARC)
    lattice = Lattice(0, np.array([0, 1, 2]), arcs, np.zeros((2, 2), np.float32))
    with pytest.raises(HdnnError, match="cycle"):
        topological_order(lattice)


def test_integer_vectors_are_kaldi_s(tmp_path: Path, kaldi_fixture: Path) -> None:
    import kaldiio

    with IntVectorWriter(f"ark:{tmp_path}/a.ark") as writer:
        writer.write_vector("utt", [3, 1, 4])
        writer.write_vector("none", [])
    entries = dict(kaldiio.load_ark(f"{tmp_path}/a.ark"))
    assert {key: value.tolist() for key, value in entries.items()} == {"utt": [3, 1, 4], "none": []}
    with IntVectorWriter(f"ark,t:{tmp_path}/a.txt") as writer:
        writer.write_vector("utt", [3, 1, 4])
    assert (tmp_path / "a.txt").read_text() == "utt 3 1 4 \n"


@pytest.mark.kaldi
def test_kaldi_reads_ours(kaldi_root: Path, kaldi_fixture: Path, tmp_path: Path) -> None:

    program = kaldi_root / "src/latbin/lattice-copy"
    if not program.exists():
        pytest.skip("lattice-copy is not built")
    for name in ("lat.1.gz", "lat.noncompact.gz"):
        source = kaldi_fixture / "exp/decode" / name
        with LatticeWriter(f"ark:{tmp_path}/ours.ark") as writer:
            for key, lattice in read_lattices(source):
                writer.write_lattice(key, lattice)
        texts = [
            subprocess.run([program, where, "ark,t:-"], stdout=subprocess.PIPE, check=True).stdout
            for where in (f"ark:{tmp_path}/ours.ark", f"ark:gunzip -c {source}|")
        ]
        assert texts[0] == texts[1]
