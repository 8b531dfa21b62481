"""Operations on lattices against all paths, Kaldi's files and k2."""

from pathlib import Path
from random import Random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hdnn_nnet.errors import HdnnError
from hdnn_nnet.lattice.best_path import best_paths, path_lattice
from hdnn_nnet.lattice.info import LatticeInfo, describe
from hdnn_nnet.lattice.io import to_binary
from hdnn_nnet.lattice.nbest import n_best
from hdnn_nnet.lattice.ops import prune, reorder, scale, to_compact
from hdnn_nnet.lattice.oracle import oracle
from hdnn_nnet.lattice.table import read_lattices
from hdnn_nnet.lattice.types import LATTICE_ARC, CompactLattice, Lattice, expand
from hdnn_nnet.score.wer import compute_wer
from tests.support.lattice_cases import Path as LatticePath
from tests.support.lattice_cases import all_paths, arc_by_arc, timed_lattices


def content(paths: list[LatticePath]) -> list[tuple]:
    return sorted((p.words, p.ids, p.graph, p.acoustic) for p in paths)


@given(timed_lattices())
@settings(max_examples=60, deadline=None)
def test_compact_form_has_the_same_paths(lattice: CompactLattice) -> None:
    expected = content(all_paths(lattice))
    assert content(all_paths(arc_by_arc(expand(lattice)))) == expected
    assert content(all_paths(to_compact(expand(lattice)))) == expected


@given(timed_lattices(), st.randoms(use_true_random=False))
@settings(max_examples=60, deadline=None)
def test_states_in_another_order(lattice: CompactLattice, random: Random) -> None:
    expected = content(all_paths(lattice))
    for candidate in (lattice, expand(lattice)):
        order = np.array(random.sample(range(candidate.num_states), candidate.num_states))
        changed = reorder(candidate, order)
        assert order[changed.start] == candidate.start
        form = changed if isinstance(changed, CompactLattice) else arc_by_arc(changed)
        assert content(all_paths(form)) == expected
        same = reorder(changed, np.argsort(order))
        assert to_binary(same) == to_binary(candidate)


def test_chains_of_kaldi_s_lattices_are_found(kaldi_fixture: Path) -> None:
    folder = kaldi_fixture / "exp/decode"
    compact = dict(read_lattices(folder / "lat.1.gz"))
    for key, lattice in read_lattices(folder / "lat.noncompact.gz"):
        assert isinstance(lattice, Lattice)
        merged = to_compact(lattice)
        # Final strings become arcs, and words without a branch between them join no arcs: the sizes are near.
        assert merged.num_arcs <= 1.1 * compact[key].num_arcs + 10
        assert merged.num_arcs < lattice.num_arcs / 10


@given(timed_lattices(), st.sampled_from([(1.0, 0.5), (0.5, 2.0), (2.0, 1.0)]))
@settings(max_examples=40, deadline=None)
def test_scaling(lattice: CompactLattice, scales: tuple[float, float]) -> None:
    lm, acoustic = scales
    expected = [LatticePath(p.words, p.ids, lm * p.graph, acoustic * p.acoustic) for p in all_paths(lattice)]
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
        pruned = to_compact(prune(expand(lattice), beam, acoustic_scale=0.5))
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


@given(timed_lattices(), st.integers(1, 6), st.booleans())
@settings(max_examples=100, deadline=None)
def test_n_best(lattice: CompactLattice, n: int, state_level: bool) -> None:
    paths = all_paths(lattice)
    candidate = expand(lattice) if state_level else lattice
    if not paths:
        with pytest.raises(HdnnError, match="no path"):
            n_best(candidate, n)
        return
    best: dict[tuple[int, ...], float] = {}
    for path in paths:
        cost = 2.0 * path.graph + 0.5 * path.acoustic
        best[path.words] = min(cost, best.get(path.words, cost))
    found = n_best(candidate, n, acoustic_scale=0.5, lm_scale=2.0)
    assert [2.0 * p.graph + 0.5 * p.acoustic for p in found] == sorted(best.values())[:n]
    assert len({tuple(p.words.tolist()) for p in found}) == len(found)
    for p in found:
        words = tuple(p.words.tolist())
        assert 2.0 * p.graph + 0.5 * p.acoustic == best[words]
        # The path as a lattice of its own is one of the paths.
        (alone,) = all_paths(path_lattice(candidate, p))
        assert (alone.words, alone.graph, alone.acoustic) == (words, p.graph, p.acoustic)
        assert (alone.words, alone.ids, alone.graph, alone.acoustic) in content(paths)


def test_n_best_of_many_paths_with_the_same_words() -> None:
    """Two arcs of the same word in each of 40 slots, and one slot with a choice: 2^41 paths, two word sequences."""
    rows = [(1, 7, 0.5 * double, 0.0, slot + 1) for slot in range(40) for double in range(2)]
    rows += [(1, 8, 0.0, 0.0, 41), (1, 9, 1.0, 0.0, 41)]
    final = np.full((42, 2), np.inf, np.float32)
    final[41] = 0.0
    lattice = Lattice(0, np.append(np.arange(0, 83, 2), 82), np.array(rows, LATTICE_ARC), final)
    found = n_best(lattice, 10)
    assert [(p.words[-1], p.graph) for p in found] == [(8, 0.0), (9, 1.0)]


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


def test_sizes() -> None:
    # Two arcs in the first frame, one of them with the second frame too; three entries over two frames.
    arcs = np.array([(1, 1, 0, 0, 1), (3, 2, 0, 0, 1), (5, 0, 0, 0, 2)], LATTICE_ARC)
    final = np.array([[np.inf, np.inf], [np.inf, np.inf], [0, 0]], np.float32)
    lattice = Lattice(0, np.array([0, 2, 3, 3]), arcs, final)
    found = describe(lattice)
    assert found == LatticeInfo(states=3, arcs=3, finals=1, frames=2, arc_frames=3)
    assert (found + found).density == found.density == 1.5
    assert LatticeInfo().density == 1.0


@given(timed_lattices())
@settings(max_examples=60, deadline=None)
def test_frames(lattice: CompactLattice) -> None:
    paths = all_paths(lattice)
    for candidate in (lattice, expand(lattice)):
        if not paths:
            with pytest.raises(HdnnError, match="utt: no path"):
                describe(candidate, "utt")
            return
        found = describe(candidate)
        assert {found.frames} == {len(path.ids) for path in paths}
        assert found.arc_frames == len(lattice.strings) + len(lattice.final_strings)


def test_paths_of_different_lengths_are_refused() -> None:
    final = np.array([[np.inf, np.inf], [0, 0], [0, 0]], np.float32)
    arcs = np.array([(1, 1, 0, 0, 1), (1, 1, 0, 0, 2)], LATTICE_ARC)
    with pytest.raises(HdnnError, match="utt: paths of the lattice have 1 to 2 frames"):
        describe(Lattice(0, np.array([0, 1, 2, 2]), arcs, final), "utt")
