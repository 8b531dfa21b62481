"""Lattices as k2 FSAs: k2 sees the same paths, and everything comes back."""

import re
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.numpy import load_file
from safetensors.torch import save_file

from hdnn_nnet.cli import call
from hdnn_nnet.errors import HdnnError
from hdnn_nnet.lattice.io import to_binary
from hdnn_nnet.lattice.k2_files import read_k2, write_k2
from hdnn_nnet.lattice.k2_tensors import from_tensors, to_tensors
from hdnn_nnet.lattice.table import LatticeWriter, read_lattices
from hdnn_nnet.lattice.types import LATTICE_ARC, AnyLattice, CompactLattice, Lattice, expand
from tests.support.lattice_cases import all_paths, arc_by_arc, timed_lattices

REPOSITORY = Path(__file__).resolve().parent.parent
EMPTY = Lattice(-1, np.zeros(1, np.int64), np.zeros(0, LATTICE_ARC), np.zeros((0, 2), np.float32))


def bits(lattices: list[AnyLattice]) -> list[bytes]:
    return [to_binary(lattice) for lattice in lattices]


@given(st.lists(timed_lattices(), min_size=1, max_size=3), st.booleans())
@settings(max_examples=80, deadline=None)
def test_round_trip(drawn: list[CompactLattice], state_level: bool) -> None:
    lattices: list[AnyLattice] = [expand(lattice) if state_level else lattice for lattice in drawn]
    tensors = to_tensors(lattices, lm_scale=0.5, acoustic_scale=0.25)
    again = from_tensors(tensors, "file")
    assert bits(again) == bits(lattices)


@given(st.lists(timed_lattices(), min_size=1, max_size=3), st.booleans())
@settings(max_examples=40, deadline=None)
def test_k2_sees_the_same_paths(drawn: list[CompactLattice], state_level: bool) -> None:
    import k2

    lattices = [expand(lattice) if state_level else lattice for lattice in drawn]
    unsorted = load(to_tensors(lattices, lm_scale=2.0, acoustic_scale=0.5))
    fsas = k2.top_sort(unsorted)
    expected = [[-(2.0 * p.graph + 0.5 * p.acoustic) for p in all_paths(lattice)] for lattice in drawn]
    best = fsas.get_tot_scores(use_double_scores=True, log_semiring=False)
    assert best.tolist() == [max(scores, default=-np.inf) for scores in expected]
    every = fsas.get_tot_scores(use_double_scores=True, log_semiring=True)
    sums = [torch.tensor(scores, dtype=torch.float64).logsumexp(0).item() if scores else -np.inf for scores in expected]
    assert every.tolist() == pytest.approx(sums)
    # k2's own order of states and arcs comes back with the same paths, and what k2 saves is what we wrote.
    back = from_tensors(numpy(k2.connect(fsas)), "file")
    for lattice, ours in zip(drawn, back, strict=True):
        form = ours if isinstance(ours, CompactLattice) else arc_by_arc(ours)
        paths = [(p.words, p.ids, p.graph, p.acoustic) for p in all_paths(form)] if ours.num_states else []
        assert sorted(paths) == sorted((p.words, p.ids, p.graph, p.acoustic) for p in all_paths(lattice))
    assert {name: t.tolist() for name, t in numpy(unsorted).items()} == {
        name: t.tolist() for name, t in to_tensors(lattices, 2.0, 0.5).items()
    }


def load(tensors: dict[str, np.ndarray]):
    """FSAs by k2's own means."""
    import k2

    values = {name: torch.from_numpy(t) for name, t in tensors.items()}
    fsas = k2.Fsa.from_dict({name: t for name, t in values.items() if "." not in name})
    if "transition_ids.values" in values:
        splits = values["transition_ids.row_splits"]
        shape = k2.ragged.create_ragged_shape2(row_splits=splits, cached_tot_size=int(splits[-1]))
        fsas.transition_ids = k2.RaggedTensor(shape, values["transition_ids.values"])
    return fsas


def numpy(fsas) -> dict[str, np.ndarray]:
    tensors = {name: t.numpy() for name, t in fsas.as_dict().items() if isinstance(t, torch.Tensor)}
    if hasattr(fsas, "transition_ids"):
        ids = fsas.transition_ids
        tensors["transition_ids.row_splits"], tensors["transition_ids.values"] = (
            ids.shape.row_splits(1).numpy(),
            ids.values.numpy(),
        )
    return tensors


@pytest.mark.parametrize("name", ["lat.1.gz", "lat.noncompact.gz"])
def test_kaldi_s_lattices_come_back_bit_by_bit(kaldi_fixture: Path, tmp_path: Path, name: str) -> None:
    path = kaldi_fixture / "exp/decode" / name
    assert call("lattice to-k2", ["--acoustic-scale", "0.1", str(path), f"{tmp_path}/k2.safetensors"]) == 0
    assert call("lattice from-k2", [f"{tmp_path}/k2.safetensors", f"ark:{tmp_path}/back.ark"]) == 0
    before, after = dict(read_lattices(path)), dict(read_lattices(tmp_path / "back.ark"))
    assert [*before] == [*after]
    assert bits([*before.values()]) == bits([*after.values()])


def test_empty_lattices_keep_their_place(tmp_path: Path) -> None:
    arcs = np.array([(1, 2, 0.5, -0.0, 1)], LATTICE_ARC)
    one = Lattice(0, np.array([0, 1, 1]), arcs, np.array([[np.inf, np.inf], [0.25, 1]], np.float32))
    dead = Lattice(0, np.array([0, 1, 1]), arcs, np.full((2, 2), np.inf, np.float32))
    assert write_k2(tmp_path / "k2", [("a", EMPTY), ("b", one), ("c", EMPTY), ("d", dead)]) == 4
    again = dict(read_k2(tmp_path / "k2"))
    assert [*again] == ["a", "b", "c", "d"]
    assert bits([*again.values()]) == bits([EMPTY, one, EMPTY, dead])
    fsas = load(load_file(tmp_path / "k2"))
    assert fsas.shape[0] == 4
    assert fsas.get_tot_scores(True, False).tolist() == [-np.inf, -1.75, -np.inf, -np.inf]


def test_the_start_becomes_state_0() -> None:
    arcs = np.array([(1, 2, 0.5, 0, 0), (2, 3, 0.25, 0, 1)], LATTICE_ARC)
    final = np.array([[0, 0], [np.inf, np.inf], [np.inf, np.inf]], np.float32)
    (again,) = from_tensors(to_tensors([Lattice(2, np.array([0, 0, 1, 2]), arcs, final)]), "file")
    assert again.start == 0
    assert again.arcs.tolist() == [(2, 3, 0.25, 0.0, 1), (1, 2, 0.5, 0.0, 2)]
    assert np.isfinite(again.final).all(1).tolist() == [False, False, True]


def test_tables_of_one_type_only(tmp_path: Path, kaldi_fixture: Path) -> None:
    lattices = [*read_lattices(kaldi_fixture / "exp/decode/lat.1.gz")]
    key, first = lattices[0]
    assert isinstance(first, CompactLattice)
    with LatticeWriter(f"ark:{tmp_path}/both.ark") as writer:
        writer.write_lattice(key, first)
        writer.write_lattice("x", expand(first))
    with pytest.raises(HdnnError, match=r"k2: one or more lattices of one type.*hdnn lattice copy"):
        call("lattice to-k2", [f"{tmp_path}/both.ark", f"{tmp_path}/k2"])
    (tmp_path / "empty.ark").write_bytes(b"")
    with pytest.raises(HdnnError, match="one or more lattices"):
        call("lattice to-k2", [f"{tmp_path}/empty.ark", f"{tmp_path}/k2"])
    assert not (tmp_path / "k2").exists()


def example() -> dict[str, np.ndarray]:
    """0 -1:5-> 1, both states final; no costs apart from the scores."""
    scores = np.array([-0.5, -1.0, -2.0], np.float32).view(np.int32)
    rows = np.stack([[0, 0, 1], [1, 2, 2], [1, -1, -1], scores], 1)
    return {"arcs": np.concatenate([[1, 0, 0, 3, 0, 3], rows.reshape(-1)]).astype(np.int32)}


def test_fsas_without_our_attributes() -> None:
    (words,) = from_tensors(example(), "file")
    assert isinstance(words, CompactLattice)
    assert words.arcs.tolist() == [(1, 0.5, 0.0, 1)]
    assert words.final.tolist() == [[1.0, 0.0], [2.0, 0.0]]
    (lattice,) = from_tensors(example() | {"aux_labels": np.array([5, -1, -1])}, "file")
    assert lattice.arcs.tolist() == [(1, 5, 0.5, 0.0, 1)]
    single = {"arcs": example()["arcs"][6:].reshape(-1, 4)}
    assert bits(from_tensors(single, "file")) == bits([words])


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"arcs": np.zeros(3, np.int32)}, "tensor arcs is not that of a k2 FSA"),
        ({"arcs": np.zeros(0, np.int32)}, "tensor arcs is not that of a k2 FSA"),
        ({"arcs": example()["arcs"][:-1]}, "tensor arcs is not that of a k2 FSA"),
        ({"aux_labels": np.array([5, -1])}, r"tensor aux_labels has shape \(2,\), expected \(3,\)"),
        ({"aux_labels": np.array([5, 7, -1])}, "FSA 0: a final arc has a word"),
        (
            {"transition_ids.row_splits": np.array([0, 1, 1, 2])},
            r"transition_ids.values has shape \(0,\), expected \(2,\)",
        ),
        ({"arcs": np.array([[0, 1, -1, 0], [0, 1, -1, 0]])}, "several final arcs"),
        ({"arcs": np.array([[0, 1, 3, 0], [0, 1, -1, 0]])}, "not as k2 wants them"),
        ({"arcs": np.array([[0, 2, 3, 0], [0, 1, 4, 0], [1, 0, 2, 0], [1, 3, -1, 0]])}, "cycle"),
        (
            {"lm_scores": np.array([0, np.inf, 0], np.float32), "am_scores": np.zeros(3, np.float32)},
            "a score is not finite",
        ),
    ],
)
def test_what_is_no_lattice(change: dict[str, np.ndarray], said: str) -> None:
    with pytest.raises(HdnnError, match=f"^file.*{said}"):
        from_tensors(example() | change, "file")


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    tensors = {name: torch.from_numpy(t) for name, t in example().items()}
    for metadata, said in (
        (None, "holds no keys"),
        ({"keys": "[a"}, "holds no keys"),
        ({"keys": "[]"}, "has 1 FSAs, but not as many keys"),
        ({"keys": '["a b"]'}, "'a b' is no key"),
        ({"keys": "[1]"}, "1 is no key"),
    ):
        save_file(tensors, tmp_path / "k2", metadata)
        with pytest.raises(HdnnError, match=f"k2.*{re.escape(said)}"):
            [*read_k2(tmp_path / "k2")]
    (tmp_path / "k2").write_bytes(b"\x00" * 20)
    with pytest.raises(HdnnError, match="k2 is damaged"):
        [*read_k2(tmp_path / "k2")]
    with pytest.raises(HdnnError, match="none does not exist"):
        [*read_k2(tmp_path / "none")]


def test_the_documented_way(kaldi_fixture: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The Python blocks of docs/lattices.md, run as they are printed, on both kinds of lattices."""
    blocks = re.findall(r"```python\n(.*?)```", (REPOSITORY / "docs/lattices.md").read_text(), re.DOTALL)
    assert len(blocks) == 2
    monkeypatch.chdir(tmp_path)
    for name in ("lat.1.gz", "lat.noncompact.gz"):
        path = kaldi_fixture / "exp/decode" / name
        call("lattice to-k2", ["--acoustic-scale", "0.1", str(path), "lat.1.safetensors"])
        scope: dict = {}
        exec(blocks[0], scope)
        before = dict(read_lattices(path))
        assert scope["keys"] == [*before]
        assert scope["fsas"].shape[0] == len(before)
        exec(blocks[1], scope)
        call("lattice from-k2", ["new.safetensors", "ark:back.ark"])
        after = dict(read_lattices("back.ark"))
        assert bits([*before.values()]) == bits([*after.values()])
