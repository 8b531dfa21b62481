"""OpenFst files and epsilon removal, against kaldifst (OpenFst itself) and brute force."""

import itertools
import shutil
import subprocess
from pathlib import Path

import kaldifst
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hdnn_nnet.errors import HdnnError
from hdnn_nnet.graph.epsilon import Graph, remove_input_epsilons
from hdnn_nnet.kaldi.fst import ARC, Fst, read_fst, write_fst


def make_fst(num_states: int, arcs: list[tuple[int, int, int, float, int]], finals: dict[int, float]) -> Fst:
    """Arcs are (source, ilabel, olabel, cost, target)."""
    arcs = sorted(arcs, key=lambda arc: arc[0])
    final = np.full(num_states, np.inf, np.float32)
    for state, cost in finals.items():
        final[state] = cost
    offsets = np.searchsorted([a[0] for a in arcs], np.arange(num_states + 1)).astype(np.int64)
    return Fst(0, final, offsets, np.array([a[1:] for a in arcs], ARC))


def listing(fst: Fst) -> list[tuple]:
    rows = [(s, *a) for s, a in zip(fst.sources().tolist(), fst.arcs.tolist(), strict=True)]
    return [fst.start, fst.final.tolist(), rows]


def openfst_listing(fst: kaldifst.StdVectorFst) -> list[tuple]:
    states = range(fst.num_states)
    arcs = [(s, a.ilabel, a.olabel, a.weight.value, a.nextstate) for s in states for a in kaldifst.ArcIterator(fst, s)]
    return [fst.start, [fst.final(s).value for s in states], arcs]


@pytest.mark.parametrize("name", ["lang/G.fst", "lang/L_disambig.fst", "exp/denlats/lang/G.fst"])
def test_reads_and_writes_as_openfst(kaldi_fixture: Path, tmp_path: Path, name: str) -> None:
    theirs = kaldifst.StdVectorFst.read(str(kaldi_fixture / name))
    ours = read_fst(kaldi_fixture / name)
    assert listing(ours) == openfst_listing(theirs)
    write_fst(tmp_path / "copy.fst", ours)
    assert openfst_listing(kaldifst.StdVectorFst.read(str(tmp_path / "copy.fst"))) == openfst_listing(theirs)
    kaldifst.StdConstFst(theirs).write(str(tmp_path / "const.fst"))
    assert b"const" in (tmp_path / "const.fst").read_bytes()[:20]
    assert listing(read_fst(tmp_path / "const.fst")) == openfst_listing(theirs)


@given(st.data())
@settings(max_examples=60, deadline=None)
def test_damaged_files_are_refused_or_read(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    fst = make_fst(3, [(0, 1, 2, 0.5, 1), (1, 0, 0, 0.25, 2), (1, 3, 0, 1.0, 1)], {2: 0.0})
    path = tmp_path_factory.getbasetemp() / "damaged.fst"
    write_fst(path, fst)
    whole = path.read_bytes()
    cut = data.draw(st.integers(0, len(whole) - 1))
    path.write_bytes(whole[:cut])
    with pytest.raises(HdnnError, match=r"damaged\.fst"):
        read_fst(path)
    place, value = data.draw(st.integers(0, len(whole) - 1)), data.draw(st.integers(0, 255))
    path.write_bytes(whole[:place] + bytes([value]) + whole[place + 1 :])
    message = "damaged.fst"
    try:
        read_fst(path)
    except HdnnError as error:
        message = str(error)
    assert "damaged.fst" in message


def test_other_files_are_refused(tmp_path: Path, kaldi_fixture: Path) -> None:
    with pytest.raises(HdnnError, match=r"cannot read .*missing\.fst: No such file"):
        read_fst(tmp_path / "missing.fst")
    with pytest.raises(HdnnError, match="no OpenFst file"):
        read_fst(kaldi_fixture / "exp/tri/final.mdl")


def test_types_of_openfst(tmp_path: Path) -> None:
    """const is read as OpenFst reads it; what is not read says which command mends it."""
    fst = make_fst(3, [(0, 1, 2, 0.5, 1), (0, 3, 0, 1.5, 2), (1, 2, 2, 0.25, 2)], {2: 0.75})
    write_fst(tmp_path / "vector.fst", fst)
    kaldifst.StdConstFst(kaldifst.StdVectorFst.read(str(tmp_path / "vector.fst"))).write(str(tmp_path / "const.fst"))
    assert (tmp_path / "const.fst").read_bytes()[4:13] == b"\5\0\0\0const"
    assert listing(read_fst(tmp_path / "const.fst")) == listing(read_fst(tmp_path / "vector.fst")) == listing(fst)
    vector = (tmp_path / "vector.fst").read_bytes()
    flags = 4 + 4 + len("vector") + 4 + len("standard") + 4
    for content, message in (
        (
            vector.replace(b"\6\0\0\0vector", b"\4\0\0\0edit"),
            "type edit; fstconvert --fst_type=const makes it readable",
        ),
        (vector.replace(b"\6\0\0\0vector", b"\20\0\0\0olabel_lookahead"), "type olabel_lookahead; fstconvert"),
        (
            vector.replace(b"\10\0\0\0standard", b"\3\0\0\0log"),
            "arcs of type log, expected standard; convert it with fstmap",
        ),
        (vector[:flags] + b"\1" + vector[flags + 1 :], "symbol"),
        (b"0 1 1 2 0.5\n1 0.75\n", "written in binary"),
    ):
        (tmp_path / "other.fst").write_bytes(content)
        with pytest.raises(HdnnError, match=rf"other\.fst: .*{message}"):
            read_fst(tmp_path / "other.fst")


def test_aligned_const(tmp_path: Path) -> None:
    """fstconvert --fst_type=const writes parts at multiples of 16 bytes where --fst_align asks for it."""
    if not shutil.which("fstconvert"):
        pytest.skip("needs OpenFst's fstconvert")
    fst = make_fst(3, [(0, 1, 2, 0.5, 1), (0, 3, 0, 1.5, 2), (1, 2, 2, 0.25, 2)], {2: 0.75})
    write_fst(tmp_path / "vector.fst", fst)
    command = ["fstconvert", "--fst_align", "--fst_type=const", f"{tmp_path}/vector.fst", f"{tmp_path}/const.fst"]
    subprocess.run(command, check=True)
    assert listing(read_fst(tmp_path / "const.fst")) == listing(fst)


def fst_paths(fst: Fst, frames: int) -> dict[tuple[tuple[int, ...], tuple[int, ...]], float]:
    """Cheapest cost of every (input, output) pair with `frames` inputs, by brute force over paths."""
    found: dict = {}
    rows = listing(fst)[2]

    def walk(state: int, inputs: tuple, outputs: tuple, cost: float, epsilons: int) -> None:
        if len(inputs) == frames and np.isfinite(fst.final[state]):
            key = (inputs, outputs)
            found[key] = min(found.get(key, np.inf), cost + float(fst.final[state]))
        for source, ilabel, olabel, weight, target in rows:
            if source == state and (len(inputs) < frames if ilabel else epsilons < 8):
                more = (ilabel,) if ilabel else ()
                word = (olabel,) if olabel else ()
                walk(target, inputs + more, outputs + word, cost + weight, 0 if ilabel else epsilons + 1)

    walk(fst.start, (), (), 0.0, 0)
    return found


def graph_paths(graph: Graph, frames: int) -> dict[tuple[tuple[int, ...], tuple[int, ...]], float]:
    found: dict = {}

    def walk(state: int, inputs: tuple, outputs: tuple, cost: float) -> None:
        if len(inputs) == frames:
            if np.isfinite(graph.final[state]):
                key = (inputs, outputs)
                found[key] = min(found.get(key, np.inf), cost + float(graph.final[state]))
            return
        for arc in range(graph.offsets[state], graph.offsets[state + 1]):
            words = tuple(graph.words[graph.word_offsets[arc] : graph.word_offsets[arc + 1]].tolist())
            label = int(graph.transition_id[arc])
            walk(int(graph.nextstate[arc]), (*inputs, label), outputs + words, cost + float(graph.cost[arc]))

    walk(0, (), (), 0.0)
    return found


@st.composite
def small_fsts(draw: st.DrawFn) -> Fst:
    """Random transducers whose epsilon arcs lead to larger states, so that they make no cycle."""
    states = draw(st.integers(2, 5))
    arcs = []
    for _ in range(draw(st.integers(1, 9))):
        source = draw(st.integers(0, states - 1))
        label = draw(st.integers(0, 2))
        target = draw(st.integers(0, states - 1))
        if label == 0:
            if source == states - 1:
                continue
            target = draw(st.integers(source + 1, states - 1))
        arcs.append((source, label, draw(st.integers(0, 2)), float(draw(st.integers(0, 3))), target))
    finals = {draw(st.integers(0, states - 1)): float(draw(st.integers(0, 2))) for _ in range(2)}
    return make_fst(states, arcs or [(0, 1, 1, 0.0, 1)], finals)


@given(small_fsts())
@settings(max_examples=80, deadline=None)
def test_epsilon_removal_keeps_all_paths(fst: Fst) -> None:
    graph = remove_input_epsilons(fst)
    assert graph.num_arcs == 0 or graph.transition_id.min() > 0
    for frames in (1, 2, 3):
        expected = fst_paths(fst, frames)
        assert graph_paths(graph, frames) == pytest.approx(expected)


def test_epsilon_removal_keeps_the_size(kaldi_fixture: Path) -> None:
    fst = read_fst(kaldi_fixture / "graph/HCLG.fst")
    graph = remove_input_epsilons(fst)
    assert graph.num_arcs < 2 * fst.num_arcs
    # Words appear as often, or more often where an arc was copied.
    assert set(graph.words.tolist()) == set(fst.arcs["olabel"].tolist()) - {0}


def test_epsilon_cycle_is_refused() -> None:
    fst = make_fst(2, [(0, 0, 0, 0.0, 1), (1, 0, 0, 0.0, 0), (0, 1, 1, 0.0, 1)], {1: 0.0})
    with pytest.raises(HdnnError, match="cycle"):
        remove_input_epsilons(fst)


def test_start_that_is_all_epsilon() -> None:
    fst = make_fst(3, [(0, 0, 7, 0.5, 1), (1, 4, 8, 0.25, 2), (2, 0, 9, 1.0, 0)], {2: 2.0})
    graph = remove_input_epsilons(fst)
    expected = {((4,), (7, 8)): 2.75}
    assert graph_paths(graph, 1) == pytest.approx(expected)
    assert graph_paths(graph, 2) == pytest.approx(fst_paths(fst, 2))
    assert list(itertools.islice(graph_paths(graph, 2), 1)) == [((4, 4), (7, 8, 9, 7, 8))]
