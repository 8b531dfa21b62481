"""Trees: statistics, questions, splitting, clustering, models from trees and converted alignments against Kaldi's files."""

import ctypes
import subprocess
from pathlib import Path

import numpy as np
import pytest

from hdnn_nnet.align.convert import AlignmentConverter
from hdnn_nnet.errors import HdnnError
from hdnn_nnet.feats.reader import FeatureReader
from hdnn_nnet.gmm import context_stats
from hdnn_nnet.gmm.auto_questions import automatic_questions
from hdnn_nnet.gmm.bottom_up import cluster_bottom_up
from hdnn_nnet.gmm.build_tree import build_tree
from hdnn_nnet.gmm.context_stats import ContextStatistics, ContextWindow
from hdnn_nnet.gmm.em import Statistics, update_gmms, update_transitions
from hdnn_nnet.gmm.init_model import context_tuples, init_model
from hdnn_nnet.gmm.model import read_gmm_model, write_gmm_model
from hdnn_nnet.gmm.objective import log_likelihood
from hdnn_nnet.gmm.options import DEFAULT_CMVN, DEFAULT_DELTAS
from hdnn_nnet.gmm.two_means import CRandom
from hdnn_nnet.kaldi.alignments import read_alignments
from hdnn_nnet.kaldi.basic_io import KaldiReader
from hdnn_nnet.kaldi.event_maps import answers, look_up, renumber
from hdnn_nnet.kaldi.phone_segments import phone_starts
from hdnn_nnet.kaldi.questions import (
    compile_questions,
    read_phone_sets,
    read_questions,
    write_phone_sets,
    write_questions,
)
from hdnn_nnet.kaldi.roots import Root, read_roots
from hdnn_nnet.kaldi.topology import HmmTopology
from hdnn_nnet.kaldi.transitions import TransitionModel
from hdnn_nnet.kaldi.tree import PDF_CLASS, ConstantMap, ContextDependency, SplitMap, TableMap
from hdnn_nnet.kaldi.tree_stats import ABSENT, TreeStats

SILENCE = tuple(range(1, 11))


@pytest.fixture(scope="module")
def stats(gmm_fixture: Path) -> TreeStats:
    return TreeStats.read(gmm_fixture / "treeacc")


@pytest.fixture(scope="module")
def topology(kaldi_fixture: Path) -> HmmTopology:
    return HmmTopology.read(kaldi_fixture / "lang/topo")


@pytest.fixture(scope="module")
def aligner_model(kaldi_fixture: Path) -> TransitionModel:
    return TransitionModel.read(kaldi_fixture / "exp/ali/final.mdl")


@pytest.fixture(scope="module")
def features(kaldi_fixture: Path) -> dict[str, np.ndarray]:
    reader = FeatureReader(kaldi_fixture / "data/train", DEFAULT_CMVN, DEFAULT_DELTAS, root=kaldi_fixture)
    return {utterance: reader[utterance] for utterance in reader.utts}


def test_statistics_are_kaldis(
    stats: TreeStats,
    aligner_model: TransitionModel,
    features: dict[str, np.ndarray],
    kaldi_fixture: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The same events and counts, and sums as equal as the features; Kaldi's file comes out again byte for byte."""
    alignments = read_alignments(kaldi_fixture / "exp/ali")
    monkeypatch.setattr(context_stats, "MERGE_ROWS", 100)  # so few that they are added up on the way
    parts = []
    for share in (list(alignments)[:6], list(alignments)[6:]):
        ours = ContextStatistics(aligner_model, ContextWindow(3, 1, SILENCE))
        for utterance in share:
            ours.add([(features[utterance], alignments[utterance])])
        parts.append(ours.result())
    total = TreeStats.sum(parts)
    np.testing.assert_array_equal(total.events, stats.events)
    np.testing.assert_array_equal(total.moments[:, 0], stats.moments[:, 0])
    np.testing.assert_allclose(total.moments, stats.moments, rtol=1e-4, atol=1e-3)
    assert total.var_floor == stats.var_floor
    assert stats.frames == sum(map(len, alignments.values()))


def test_treeacc_files(stats: TreeStats, gmm_fixture: Path, tmp_path: Path) -> None:
    stats.write(tmp_path / "treeacc")
    assert (tmp_path / "treeacc").read_bytes() == (gmm_fixture / "treeacc").read_bytes()
    stats.write(tmp_path / "text", binary=False)
    text = TreeStats.read(tmp_path / "text")
    np.testing.assert_array_equal(text.events, stats.events)
    np.testing.assert_allclose(text.moments, stats.moments, rtol=1e-6)
    (tmp_path / "treeacc").write_bytes((gmm_fixture / "treeacc").read_bytes()[:5000])
    with pytest.raises(HdnnError, match="treeacc"):
        TreeStats.read(tmp_path / "treeacc")


def test_context_windows() -> None:
    """Edges are 0; phones without context are asked about themselves only."""
    np.testing.assert_array_equal(ContextWindow(3, 1).windows(np.array([4, 5])), [[0, 4, 5], [4, 5, 0]])
    np.testing.assert_array_equal(ContextWindow(2, 1).windows(np.array([4, 5])), [[0, 4], [4, 5]])
    np.testing.assert_array_equal(ContextWindow(1, 0).windows(np.array([4, 5])), [[4], [5]])


def test_events_of_silence(aligner_model: TransitionModel, kaldi_fixture: Path) -> None:
    alignments = read_alignments(kaldi_fixture / "exp/ali")
    events = ContextStatistics(aligner_model, ContextWindow(3, 1, SILENCE)).events(next(iter(alignments.values())))
    assert events is not None
    silent = np.isin(events[:, 2], SILENCE)
    assert silent.any()
    assert not silent.all()
    assert (events[silent][:, [1, 3]] == ABSENT).all()
    assert (events[~silent] != ABSENT).all()


def test_damaged_alignments_are_skipped(aligner_model: TransitionModel, kaldi_fixture: Path) -> None:
    path = next(iter(read_alignments(kaldi_fixture / "exp/ali").values()))
    statistics = ContextStatistics(aligner_model, ContextWindow())
    for damaged in (path[:-30], path[5:], path[::-1]):
        assert phone_starts(aligner_model, damaged) is None
        statistics.add([(np.zeros((len(damaged), 2), np.float32), damaged)])
    assert statistics.skipped == 3
    assert len(statistics.result().events) == 0


def test_likelihood_of_clusters() -> None:
    """The formula against the densities of the frames themselves."""
    frames = np.random.default_rng(0).normal(size=(50, 3)) * [1, 2, 0.01]
    moments = np.concatenate([[50], frames.sum(axis=0), (frames**2).sum(axis=0)])
    variances = np.maximum(frames.var(axis=0), 0.01)
    expected = -0.5 * (((frames - frames.mean(axis=0)) ** 2 / variances) + np.log(2 * np.pi * variances)).sum()
    found = log_likelihood(np.stack([moments, np.zeros(7)]), 0.01)
    np.testing.assert_allclose(found, [expected, 0], rtol=1e-6)
    assert found.dtype == np.float32


def test_random_numbers_are_the_c_librarys() -> None:
    library = ctypes.CDLL(None)
    library.srand(1)
    ours = CRandom()
    assert [ours() for _ in range(500)] == [library.rand() for _ in range(500)]


def test_automatic_questions_are_kaldis(
    stats: TreeStats, gmm_fixture: Path, topology: HmmTopology, tmp_path: Path
) -> None:
    sets = read_phone_sets(gmm_fixture / "lang_phones/sets.int", topology)
    write_phone_sets(tmp_path / "automatic.int", automatic_questions(stats, sets))
    assert (tmp_path / "automatic.int").read_text() == (gmm_fixture / "automatic.int").read_text()
    with pytest.raises(HdnnError, match=r"no phone has statistics in the pdf-classes \[7\]"):
        automatic_questions(stats, sets, classes=[7])


def test_compiled_questions(gmm_fixture: Path, topology: HmmTopology, tmp_path: Path) -> None:
    sets = read_phone_sets(gmm_fixture / "questions.int", topology)
    for name, iters, binary in (("questions.qst", 0, True), ("refined.qst", 3, False)):
        compiled = compile_questions(sets, topology, refine_iters=iters)
        assert read_questions(gmm_fixture / name) == compiled
        write_questions(tmp_path / name, compiled, binary)
        assert (tmp_path / name).read_bytes() == (gmm_fixture / name).read_bytes()


def test_trees_are_kaldis(stats: TreeStats, gmm_fixture: Path, topology: HmmTopology) -> None:
    """With shared and separate roots, one not split, with clustering and rounding, or with refined questions."""
    roots = read_roots(gmm_fixture / "lang_phones/roots.int")
    tree = build_tree(
        stats, roots, read_questions(gmm_fixture / "questions.qst"), topology, threshold=20, max_leaves=60
    )
    assert tree.to_bytes() == (gmm_fixture / "tree").read_bytes()
    refined = build_tree(
        stats, roots, read_questions(gmm_fixture / "refined.qst"), topology,
        threshold=20, cluster_threshold=0, round_leaves=False,
    )  # fmt: skip
    assert refined.to_bytes() == (gmm_fixture / "refined.tree").read_bytes()
    assert answers(tree.to_pdf) == set(range(56))


def test_phones_without_data(
    stats: TreeStats, gmm_fixture: Path, topology: HmmTopology, caplog: pytest.LogCaptureFixture
) -> None:
    """A phone without data has the pdfs of those that share its root, and is named in a warning."""
    roots = read_roots(gmm_fixture / "lang_phones/roots.int")
    fewer = stats.select(stats.values(1) != 48)
    questions = read_questions(gmm_fixture / "questions.qst")
    tree = build_tree(fewer, roots, questions, topology, threshold=20)
    assert any("no data for the phones" in line and " 48 " in line for line in caplog.messages)
    for pdf_class in range(3):
        own = answers(tree.to_pdf, {1: 48, PDF_CLASS: pdf_class})
        others = {pdf for phone in (47, 49, 50) for pdf in answers(tree.to_pdf, {1: phone})}
        assert own
        assert own <= others


def test_files_of_other_phones(stats: TreeStats, gmm_fixture: Path, topology: HmmTopology, tmp_path: Path) -> None:
    path = tmp_path / "questions.int"
    path.write_text("1 2\n3 999\n")
    with pytest.raises(HdnnError, match=r"questions\.int asks about phone 999, which the topology lacks"):
        read_phone_sets(path, topology)
    path.write_text("1 2 2\n")
    with pytest.raises(HdnnError, match="phone stands twice"):
        read_phone_sets(path, topology)
    roots = read_roots(gmm_fixture / "lang_phones/roots.int")
    questions = read_questions(gmm_fixture / "questions.qst")
    with pytest.raises(HdnnError, match="has statistics, but no root"):
        build_tree(stats, roots[:-1], questions, topology)
    with pytest.raises(HdnnError, match=r"phone 777 is in only one of roots\.int and topo"):
        build_tree(stats, [*roots, Root((777,), True, True)], questions, topology)
    for text, message in (
        ("shared split 1 x\n", "line 1: expected"),
        ("shared maybe 1\n", "line 1: expected"),
        ("shared split 1\nshared split 2 1\n", "line 2: phone 1 has a root already"),
        ("", "empty"),
    ):
        (tmp_path / "roots.int").write_text(text)
        with pytest.raises(HdnnError, match=message):
            read_roots(tmp_path / "roots.int")


def test_bottom_up() -> None:
    """The cheapest pairs merge first; points of different compartments never do."""
    generator = np.random.default_rng(1)
    centres = (0.0, 0.1, 5.0, 5.1)
    frames = [generator.normal(centre, 1, size=(40, 2)) for centre in centres]
    points = np.stack([np.concatenate([[40], f.sum(axis=0), (f**2).sum(axis=0)]) for f in frames])
    assert cluster_bottom_up([points], 0.01, 20.0)[0].tolist() == [0, 0, 1, 1]
    assert cluster_bottom_up([points], 0.01, 0.0)[0].tolist() == [0, 1, 2, 3]
    apart = cluster_bottom_up([points[:1], points[1:]], 0.01, least=2)
    assert [part.tolist() for part in apart] == [[0], [0, 0, 0]]


def test_event_maps() -> None:
    tree = SplitMap(0, (1, 2), TableMap(PDF_CLASS, (ConstantMap(9), None, ConstantMap(4))), ConstantMap(7))
    events = np.array([[0, 1], [1, 1], [2, 2], [5, 1], [0, 3], [0, ABSENT]])
    assert look_up(tree, events).tolist() == [9, -1, 4, -1, 7, -1]
    assert answers(tree) == {4, 7, 9}
    assert answers(tree, {0: 1, PDF_CLASS: 2}) == {4}
    assert answers(tree, {PDF_CLASS: 1}) == {7}
    assert look_up(renumber(tree), events).tolist() == [2, -1, 0, -1, 1, -1]


def test_model_from_a_tree(stats: TreeStats, gmm_fixture: Path, topology: HmmTopology, tmp_path: Path) -> None:
    tree = ContextDependency.read(gmm_fixture / "tree")
    model, gmms, occupancies = init_model(tree, stats, topology)
    kaldi_model, kaldi_gmms = read_gmm_model(gmm_fixture / "1.mdl")
    np.testing.assert_array_equal(model.tuples, kaldi_model.tuples)
    np.testing.assert_array_equal(model.log_probs, kaldi_model.log_probs)
    np.testing.assert_allclose(gmms.means, kaldi_gmms.means, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(gmms.variances, kaldi_gmms.variances, rtol=1e-3)
    np.testing.assert_array_equal(occupancies, KaldiReader.open(gmm_fixture / "1.occs").vector())
    write_gmm_model(tmp_path / "1.mdl", model, gmms)
    assert (tmp_path / "1.mdl").stat().st_size == (gmm_fixture / "1.mdl").stat().st_size


def test_a_pdf_without_data(
    stats: TreeStats, gmm_fixture: Path, topology: HmmTopology, caplog: pytest.LogCaptureFixture
) -> None:
    tree = ContextDependency.read(gmm_fixture / "tree")
    gone = look_up(tree.to_pdf, stats.events) == 20
    _, gmms, occupancies = init_model(tree, stats.select(~gone), topology)
    assert occupancies[20] == 0
    rest = stats.moments[~gone].sum(axis=0)
    np.testing.assert_allclose(gmms.means[20], rest[1:40] / rest[0])
    assert "1 pdfs without data" in caplog.text


def test_converted_alignments_are_kaldis(
    kaldi_fixture: Path, gmm_fixture: Path, aligner_model: TransitionModel
) -> None:
    """From alignments as they are, and back from those whose self-loops come first."""
    tree = ContextDependency.read(gmm_fixture / "tree")
    model = TransitionModel.read(gmm_fixture / "1.mdl")
    convert = AlignmentConverter(aligner_model, model, tree)
    old = read_alignments(kaldi_fixture / "exp/ali")
    expected = read_alignments(gmm_fixture / "converted.ark")
    unordered = read_alignments(gmm_fixture / "unordered.ark")
    back = AlignmentConverter(model, aligner_model, ContextDependency.read(kaldi_fixture / "exp/ali/tree"))
    assert set(old) == set(expected)
    for utterance, path in old.items():
        for found, kaldis in (
            (convert(path), expected[utterance]),
            (back(unordered[utterance]), path),
            (phone_starts(model, unordered[utterance]), phone_starts(aligner_model, path)),
        ):
            assert found is not None
            assert kaldis is not None
            np.testing.assert_array_equal(found, kaldis)
    assert convert(next(iter(old.values()))[:-3]) is None


def test_tree_of_another_model(gmm_fixture: Path, aligner_model: TransitionModel, kaldi_fixture: Path) -> None:
    model = TransitionModel.read(gmm_fixture / "1.mdl")
    convert = AlignmentConverter(aligner_model, model, ContextDependency.read(gmm_fixture / "refined.tree"))
    paths = read_alignments(kaldi_fixture / "exp/ali").values()
    with pytest.raises(HdnnError, match="a pdf that the model lacks"):
        list(map(convert, paths))
    other = HmmTopology(model.topology.entries[:1], dict.fromkeys(model.topology.phones, 0))
    with pytest.raises(HdnnError, match="same topology"):
        AlignmentConverter(aligner_model, TransitionModel(other, context_tuples(_flat_tree(), other)), _flat_tree())


def _flat_tree() -> ContextDependency:
    return ContextDependency(1, 0, TableMap(PDF_CLASS, tuple(ConstantMap(i) for i in range(5))))


def test_a_training_pass_is_kaldis(gmm_fixture: Path, features: dict[str, np.ndarray]) -> None:
    """Log-likelihood to 1e-4, and the model that gmm-est makes."""
    model, gmms = read_gmm_model(gmm_fixture / "1.mdl")
    alignments = read_alignments(gmm_fixture / "converted.ark")
    statistics = Statistics.zeros(gmms, model)
    for utterance, path in alignments.items():
        statistics.accumulate(gmms, model, features[utterance], path)
    assert "per frame = -92.3369 over 2556 frames" in (gmm_fixture / "pass.txt").read_text()
    assert abs(statistics.log_likelihood / statistics.frames + 92.3369) < 1e-4
    kaldi_model, kaldi_gmms = read_gmm_model(gmm_fixture / "2.mdl")
    updated = update_gmms(gmms, statistics)
    np.testing.assert_allclose(updated.means, kaldi_gmms.means, rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(updated.variances, kaldi_gmms.variances, rtol=2e-3)
    ours = update_transitions(model, statistics.transitions)
    np.testing.assert_allclose(ours.log_probs, kaldi_model.log_probs, atol=1e-5)


@pytest.mark.kaldi
def test_kaldi_takes_our_files(
    stats: TreeStats, gmm_fixture: Path, topology: HmmTopology, kaldi_fixture: Path, kaldi_root: Path, tmp_path: Path
) -> None:
    """build-tree makes from our statistics and questions what we make; gmm-init-model and tree-info take our tree."""
    binaries = kaldi_root / "src/bin"
    if not (binaries / "build-tree").exists() or not (kaldi_root / "src/gmmbin/gmm-init-model").exists():
        pytest.skip("needs Kaldi's build-tree and gmm-init-model")
    sets = read_phone_sets(gmm_fixture / "questions.int", topology)
    questions = compile_questions(sets, topology)
    stats.write(tmp_path / "treeacc")
    write_questions(tmp_path / "questions.qst", questions)
    roots = [Root(tuple(row), True, True) for row in read_phone_sets(gmm_fixture / "lang_phones/sets.int", topology)]
    lines = ("shared split " + " ".join(map(str, root.phones)) for root in roots)
    (tmp_path / "roots.int").write_text("\n".join(lines) + "\n")
    build_tree(stats, roots, questions, topology, max_leaves=100, threshold=40).write(tmp_path / "ours")
    topo = kaldi_fixture / "lang/topo"

    def run(program: Path, *words: object) -> str:
        done = subprocess.run([program, *map(str, words)], cwd=tmp_path, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout

    run(
        binaries / "build-tree",
        "--max-leaves=100",
        "--thresh=40",
        "treeacc",
        "roots.int",
        "questions.qst",
        topo,
        "kaldis",
    )
    assert (tmp_path / "ours").read_bytes() == (tmp_path / "kaldis").read_bytes()
    tree = ContextDependency.read(tmp_path / "ours")
    assert f"num-pdfs {tree.num_pdfs}\n" in run(binaries / "tree-info", "ours")
    run(kaldi_root / "src/gmmbin/gmm-init-model", "ours", "treeacc", topo, "1.mdl")
    model, gmms, _ = init_model(tree, stats, topology)
    write_gmm_model(tmp_path / "ours.mdl", model, gmms)
    assert f"number of pdfs {tree.num_pdfs}" in run(kaldi_root / "src/gmmbin/gmm-info", "ours.mdl")
    np.testing.assert_array_equal(TransitionModel.read(tmp_path / "1.mdl").tuples, model.tuples)
