"""Trees against Kaldi's files, the wheel kaldi-hmm-gmm and the transition model they gave rise to."""

import subprocess
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hdnn_nnet.errors import HdnnError
from hdnn_nnet.kaldi.topology import HmmTopology
from hdnn_nnet.kaldi.transitions import TransitionModel
from hdnn_nnet.kaldi.tree import (
    PDF_CLASS,
    ConstantMap,
    ContextDependency,
    EventMap,
    SplitMap,
    TableMap,
    monophone_tree,
    monophone_tuples,
)


@pytest.mark.parametrize("name", ["tree", "tree.txt"])
def test_fixture(kaldi_fixture: Path, name: str) -> None:
    tree = ContextDependency.read(kaldi_fixture / "exp/tri" / name)
    info = dict(line.split() for line in (kaldi_fixture / "exp/tri/tree-info.txt").read_text().splitlines())
    assert tree.num_pdfs == int(info["num-pdfs"])
    assert tree.context_width == int(info["context-width"])
    assert tree.central_position == int(info["central-position"])
    assert tree.to_bytes(binary=True) == (kaldi_fixture / "exp/tri/tree").read_bytes()
    assert tree.to_bytes(binary=False) == (kaldi_fixture / "exp/tri/tree.txt").read_bytes()


def test_every_answer_is_in_the_model(kaldi_fixture: Path) -> None:
    """Over random contexts, (phone, state, pdf) of the tree are tuples of the model, and all of them turn up."""
    tree = ContextDependency.read(kaldi_fixture / "exp/tri/tree")
    model = TransitionModel.read(kaldi_fixture / "exp/tri/final.mdl")
    tuples = {tuple(row) for row in model.tuples[:, :3].tolist()}
    generator = np.random.default_rng(0)
    found = set()
    for left, right in [(0, 0), *generator.integers(0, 87, (300, 2)).tolist()]:
        for phone in model.topology.phones:
            for state, hmm_state in enumerate(model.topology.states(phone)[:-1]):
                pdf = tree.pdf([left, phone, right], hmm_state.forward_pdf_class)
                assert (phone, state, pdf) in tuples
                found.add((phone, state, pdf))
    assert len(found) > 0.9 * len(tuples)


def test_lookup_against_the_wheel(kaldi_fixture: Path) -> None:
    from hdnn_nnet.graph.hmm_gmm import hmm_gmm_tree

    tree = ContextDependency.read(kaldi_fixture / "exp/tri/tree")
    wheel = hmm_gmm_tree(tree)
    assert (wheel.num_pdfs, wheel.context_width, wheel.central_position) == (40, 3, 1)
    for left, phone, right in np.random.default_rng(1).integers(1, 87, (200, 3)).tolist():
        for pdf_class in range(5 if phone <= 10 else 3):
            assert wheel.compute([left, phone, right], pdf_class) == (True, tree.pdf([left, phone, right], pdf_class))


@pytest.mark.parametrize("single", [True, False])
def test_monophones_as_the_wheel_makes_them(kaldi_fixture: Path, single: bool) -> None:
    import kaldi_hmm_gmm as khg  # here: the other tests need no wheel

    sets = [[1, 2, 3, 4, 5], [6, 7, 8, 9, 10], *(list(range(phone, phone + 4)) for phone in range(11, 87, 4))]
    if single:
        sets = [[phone] for phone in range(1, 87)]
    wheel_topology = khg.HmmTopology()
    wheel_topology.read((kaldi_fixture / "lang/topo").read_text())
    wheel = khg.monophone_context_dependency_shared(sets, wheel_topology.get_phone_to_num_pdf_classes())
    topology = HmmTopology.read(kaldi_fixture / "lang/topo")
    tree = monophone_tree(sets, topology)
    assert tree.to_bytes()[2:] == np.array(wheel.__getstate__()[0], dtype=np.int8).tobytes()
    wheel_model = khg.TransitionModel(wheel, wheel_topology)
    model = TransitionModel(topology, monophone_tuples(tree, topology))
    np.testing.assert_allclose(model.log_probs, wheel_model.log_probs, rtol=1e-6)
    assert list(wheel_model.transition_id_to_pdf_array())[1:] == model.tid_to_pdf[1:].tolist()


EVENT_MAPS: st.SearchStrategy[EventMap] = st.recursive(
    st.builds(ConstantMap, st.integers(0, 9)),
    lambda children: st.one_of(
        st.builds(
            SplitMap,
            st.integers(-1, 2),
            st.sets(st.integers(0, 6), min_size=1).map(lambda values: tuple(sorted(values))),
            children,
            children,
        ),
        st.builds(TableMap, st.integers(-1, 2), st.lists(st.none() | children, max_size=4).map(tuple)),
    ),
    max_leaves=12,
)


def _reference(node: EventMap | None, values: dict[int, int]) -> int | None:
    """The definition, recursively."""
    match node:
        case None:
            return None
        case ConstantMap(answer):
            return answer
        case SplitMap(key, yes_set, yes, no):
            return _reference(yes if values[key] in yes_set else no, values)
        case TableMap(key, table):
            return _reference(table[values[key]], values) if values[key] < len(table) else None


@settings(max_examples=60, deadline=None)
@given(to_pdf=EVENT_MAPS, binary=st.booleans(), window=st.tuples(*[st.integers(0, 6)] * 3), pdf_class=st.integers(0, 4))
def test_round_trip(tmp_path_factory, to_pdf: EventMap, binary: bool, window: tuple, pdf_class: int) -> None:
    tree = ContextDependency(3, 1, to_pdf)
    path = tmp_path_factory.mktemp("tree") / "tree"
    tree.write(path, binary)
    again = ContextDependency.read(path)
    assert again == tree
    expected = _reference(to_pdf, {PDF_CLASS: pdf_class, **dict(enumerate(window))})
    if expected is None:
        with pytest.raises(HdnnError, match="no pdf for phones"):
            again.pdf(window, pdf_class)
    else:
        assert again.pdf(window, pdf_class) == expected


@pytest.mark.parametrize("keep", [0, 1, 20, 100, 1000, 2400])
def test_truncated(kaldi_fixture: Path, tmp_path: Path, keep: int) -> None:
    (tmp_path / "tree").write_bytes((kaldi_fixture / "exp/tri/tree").read_bytes()[:keep])
    with pytest.raises(HdnnError, match="tree"):
        ContextDependency.read(tmp_path / "tree")


@pytest.mark.kaldi
def test_kaldi_reads_ours(kaldi_fixture: Path, kaldi_root: Path, tmp_path: Path) -> None:
    topology = HmmTopology.read(kaldi_fixture / "lang/topo")
    tree = monophone_tree([[phone] for phone in topology.phones], topology)
    for binary in (True, False):
        tree.write(tmp_path / "tree", binary)
        for back in (True, False):
            program = f"{kaldi_root}/src/bin/copy-tree"
            command = [program, f"--binary={str(back).lower()}", f"{tmp_path}/tree", "-"]
            copied = subprocess.run(command, capture_output=True, check=True).stdout
            assert copied == tree.to_bytes(back)


def test_sets_must_fit_the_topology(kaldi_fixture: Path) -> None:
    topology = HmmTopology.read(kaldi_fixture / "lang/topo")
    singles = [[phone] for phone in topology.phones]
    for sets, message in (
        (singles[1:], "same phones"),
        ([*singles, [11]], "same phones"),
        ([[10, 11], *singles[:9], *singles[11:]], "differ in their number"),
    ):
        with pytest.raises(HdnnError, match=message):
            monophone_tree(sets, topology)
