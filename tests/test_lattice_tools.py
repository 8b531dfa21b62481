"""Scaling, pruning, n-best, oracle and depth of lattices, against all paths and Kaldi's files."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hdnn_nnet.errors import HdnnError
from hdnn_nnet.lattice.best_path import best_paths
from hdnn_nnet.lattice.nbest import n_best
from hdnn_nnet.lattice.ops import depth, limit_depth, prune, scale, to_compact
from hdnn_nnet.lattice.oracle import oracle
from hdnn_nnet.lattice.table import read_lattices
from hdnn_nnet.lattice.types import LATTICE_ARC, CompactLattice, Lattice, expand
from hdnn_nnet.score.wer import compute_wer
from tests.support.lattice_cases import Path as LatticePath
from tests.support.lattice_cases import all_paths, timed_lattices


def content(paths: list[LatticePath]) -> list[tuple]:
    return sorted((p.words, p.ids, p.graph, p.acoustic) for p in paths)


@given(timed_lattices(), st.booleans())
@settings(max_examples=60, deadline=None)
def test_compact_form_has_the_same_paths(lattice: CompactLattice, merge: bool) -> None:
    compact = to_compact(expand(lattice), merge)
    assert content(all_paths(compact)) == content(all_paths(lattice))


def test_chains_of_kaldi_s_lattices_are_found(kaldi_fixture: Path) -> None:
    folder = kaldi_fixture / "exp/decode"
    compact = dict(read_lattices(folder / "lat.1.gz"))
    for key, lattice in read_lattices(folder / "lat.noncompact.gz"):
        assert isinstance(lattice, Lattice)
        merged = to_compact(lattice)
        # Final strings become arcs, and words without a branch between them join no arcs: the sizes are near.
        assert merged.num_arcs <= 1.1 * compact[key].num_arcs + 10
        assert merged.num_arcs < lattice.num_arcs / 10


@given(timed_lattices(), st.sampled_from([(1.0, 0.5, 0.0, 0.0), (0.5, 2.0, 0.25, 0.0), (2.0, 1.0, 0.0, 0.5)]))
@settings(max_examples=40, deadline=None)
def test_scaling(lattice: CompactLattice, scales: tuple[float, float, float, float]) -> None:
    lm, acoustic, acoustic2lm, lm2acoustic = scales
    expected = [
        LatticePath(
            p.words, p.ids, lm * p.graph + acoustic2lm * p.acoustic, lm2acoustic * p.graph + acoustic * p.acoustic
        )
        for p in all_paths(lattice)
    ]
    assert content(all_paths(scale(lattice, *scales))) == content(expected)
    assert content(all_paths(to_compact(scale(expand(lattice), *scales)))) == content(expected)


@given(timed_lattices(), st.sampled_from([0.3, 1.1, 3.1]), st.booleans())
@settings(max_examples=60, deadline=None)
def test_pruning_keeps_what_is_on_good_paths(lattice: CompactLattice, beam: float, state_level: bool) -> None:
    paths = all_paths(lattice)
    if not paths:
        with pytest.raises(HdnnError, match="no path"):
            prune(lattice, beam)
        return
    costs = [p.graph + 0.5 * p.acoustic for p in paths]
    good = [p for p, cost in zip(paths, costs, strict=True) if cost <= min(costs) + beam]
    if state_level:
        pruned = to_compact(prune(expand(lattice), beam, acoustic_scale=0.5), merge=False)
    else:
        pruned = prune(lattice, beam, acoustic_scale=0.5)
    kept = content(all_paths(pruned))
    assert set(content(good)) <= set(kept) <= set(content(paths))
    # Every arc and final weight that is left lies on a path within the beam.
    for number in range(pruned.num_arcs + pruned.num_states):
        marked = scale(pruned)
        if number < pruned.num_arcs:
            marked.arcs["graph"][number] += 1000
        elif marked.is_final()[number - pruned.num_arcs]:
            marked.final[number - pruned.num_arcs, 0] += 1000
        else:
            continue
        through = [p.graph - 1000 + 0.5 * p.acoustic for p in all_paths(marked) if p.graph > 500]
        assert min(through) <= min(costs) + beam


def test_pruning_refuses_a_beam_of_nothing() -> None:
    with pytest.raises(HdnnError, match="must be positive"):
        prune(
            expand(to_compact(Lattice(0, np.zeros(2, np.int64), np.zeros(0, LATTICE_ARC), np.zeros((1, 2), "f4")))), 0.0
        )


@given(timed_lattices(), st.integers(1, 6), st.booleans(), st.booleans())
@settings(max_examples=80, deadline=None)
def test_n_best(lattice: CompactLattice, n: int, distinct: bool, state_level: bool) -> None:
    paths = all_paths(lattice)
    candidate = expand(lattice) if state_level else lattice
    if not paths:
        with pytest.raises(HdnnError, match="no path"):
            n_best(candidate, n)
        return
    costs = sorted((2.0 * p.graph + 0.5 * p.acoustic, p.words) for p in paths)
    if distinct:
        best: dict[tuple[int, ...], float] = {}
        for cost, words in costs:
            best.setdefault(words, cost)
        costs = sorted((cost, words) for words, cost in best.items())
    found = n_best(candidate, n, acoustic_scale=0.5, lm_scale=2.0, distinct_words=distinct)
    assert [2.0 * p.graph + 0.5 * p.acoustic for p in found] == pytest.approx([cost for cost, _ in costs[:n]])
    for path in found:
        assert (2.0 * path.graph + 0.5 * path.acoustic, tuple(path.words.tolist())) in costs


def test_first_of_n_best_is_the_best_path(kaldi_fixture: Path) -> None:
    for _, lattice in read_lattices(kaldi_fixture / "exp/decode/lat.1.gz"):
        best = best_paths(lattice, np.array([0.1]), np.zeros(1))[0]
        found = n_best(lattice, 20, acoustic_scale=0.1)
        assert found[0].words.tolist() == best.words.tolist()
        costs = [p.graph + 0.1 * p.acoustic for p in found]
        assert costs == sorted(costs)
        assert len({tuple(p.words.tolist()) for p in found}) == len(found)


@given(timed_lattices(), st.lists(st.integers(1, 4), max_size=5), st.sampled_from([(), (3,)]))
@settings(max_examples=80, deadline=None)
def test_oracle(lattice: CompactLattice, reference: list[int], ignored: tuple[int, ...]) -> None:
    paths = {tuple(w for w in p.words if w not in ignored) for p in all_paths(lattice)}
    if not paths:
        with pytest.raises(HdnnError, match="no path"):
            oracle(lattice, reference)
        return
    wanted = [word for word in reference if word not in ignored]
    errors = {words: count_errors(wanted, words) for words in paths}
    found = oracle(lattice, reference, ignored)
    words = tuple(found.words.tolist())
    assert words in paths
    assert errors[words] == found.errors == min(errors.values())
    assert len(wanted) + found.insertions - found.deletions == len(words)


def count_errors(reference: list[int], words: tuple[int, ...]) -> int:
    stats = compute_wer({"utt": [str(w) for w in reference]}, {"utt": [str(w) for w in words]})
    return stats.errors


def test_depth() -> None:
    # Two arcs in the first frame, one of them with the second frame too; three entries over two frames.
    arcs = np.array([(1, 1, 0, 0, 1), (3, 2, 0, 0, 1), (5, 0, 0, 0, 2)], LATTICE_ARC)
    final = np.array([[np.inf, np.inf], [np.inf, np.inf], [0, 0]], np.float32)
    lattice = Lattice(0, np.array([0, 2, 3, 3]), arcs, final)
    assert depth(lattice, 2) == 1.5
    assert depth(to_compact(lattice), 2) == 1.5
    assert depth(lattice, 0) == 1.0


def test_depth_can_be_limited(kaldi_fixture: Path) -> None:
    rows = (kaldi_fixture / "exp/decode/best_path.ali").read_text().splitlines()
    frames = {row.split()[0]: len(row.split()) - 1 for row in rows}
    for key, lattice in read_lattices(kaldi_fixture / "exp/decode/lat.1.gz"):
        before = depth(lattice, frames[key])
        best = best_paths(lattice, np.array([0.1]), np.zeros(1))[0]
        assert limit_depth(lattice, frames[key], before + 1) is lattice
        for most in (before / 3, 1.0):
            limited = limit_depth(lattice, frames[key], most)
            assert depth(limited, frames[key]) <= most
            again = best_paths(limited, np.array([0.1]), np.zeros(1))[0]
            assert (again.words.tolist(), again.graph) == (best.words.tolist(), best.graph)
