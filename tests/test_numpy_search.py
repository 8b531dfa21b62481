"""The search in numpy against the enumeration of all paths, and its limits."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from hdnn_nnet.decode.decoder import Decoder
from hdnn_nnet.decode.numpy_search import NumpySearch
from hdnn_nnet.decode.options import SearchOptions
from hdnn_nnet.decode.pdf_graph import PdfGraph
from hdnn_nnet.errors import HdnnError
from hdnn_nnet.graph.epsilon import remove_input_epsilons
from hdnn_nnet.kaldi.fst import ARC, Fst, read_fst
from hdnn_nnet.kaldi.tables import read_matrices
from hdnn_nnet.kaldi.transitions import TransitionModel
from hdnn_nnet.lattice.types import CompactLattice
from tests.support.lattice_cases import all_paths

PDF = np.array([-1, 0, 1, 0])  # of three transition-ids
SCALE = 0.5


@st.composite
def graphs(draw: st.DrawFn) -> Fst:
    """A few states; input epsilons lead to larger states only, and the start to something."""
    count = draw(st.integers(1, 5))
    rows = []
    for source in range(count):
        for _ in range(draw(st.integers(0, 3))):
            label = draw(st.integers(0 if source + 1 < count else 1, 3))
            target = draw(st.integers(0 if label else source + 1, count - 1))
            rows.append((source, label, draw(st.integers(0, 2)), draw(st.integers(0, 8)) / 4, target))
    assume(rows)
    offsets = np.searchsorted([row[0] for row in rows], np.arange(count + 1))
    final = [draw(st.sampled_from([0.0, 0.5, np.inf])) for _ in range(count)]
    fst = Fst(0, np.array(final, np.float32), offsets.astype(np.int64), np.array([row[1:] for row in rows], ARC))
    assume(remove_input_epsilons(fst).num_arcs)
    return fst


@st.composite
def loglikes(draw: st.DrawFn) -> np.ndarray:
    frames = draw(st.integers(1, 6))
    values = draw(st.lists(st.integers(-9, 0), min_size=2 * frames, max_size=2 * frames))
    return np.array(values, np.float32).reshape(frames, 2) / 2


def every_path(fst: Fst, matrix: np.ndarray) -> dict[tuple[int, ...], float]:
    """Best cost of every word sequence that is accepted, by enumeration on the graph as it is."""
    waiting: list[tuple[int, int, tuple[int, ...], float]] = [(0, fst.start, (), 0.0)]
    best: dict[tuple[int, int, tuple[int, ...]], float] = {}
    accepted: dict[tuple[int, ...], float] = {}
    while waiting:
        time, state, words, cost = waiting.pop()
        if best.get((time, state, words), np.inf) <= cost:
            continue
        best[time, state, words] = cost
        if time == len(matrix) and np.isfinite(fst.final[state]):
            accepted[words] = min(accepted.get(words, np.inf), cost + float(fst.final[state]))
        for arc in fst.arcs[fst.offsets[state] : fst.offsets[state + 1]]:
            label, word = int(arc["ilabel"]), int(arc["olabel"])
            if label and time == len(matrix):
                continue
            step = float(arc["weight"]) - (SCALE * float(matrix[time, PDF[label]]) if label else 0.0)
            after = (*words, word) if word else words
            waiting.append((time + bool(label), int(arc["nextstate"]), after, cost + step))
    return accepted


def test_graph_whose_start_leads_nowhere_is_refused() -> None:
    fst = Fst(0, np.zeros(2, np.float32), np.array([0, 0, 1]), np.array([(1, 0, 0.0, 0)], ARC))
    with pytest.raises(HdnnError, match="no path from its start"):
        Decoder(fst, PDF, SearchOptions(search="numpy"))


@given(graphs(), loglikes(), st.sampled_from([0.6, 3.0]))
@settings(max_examples=200, deadline=None)
def test_lattice_holds_the_word_sequences_within_its_beam(fst: Fst, matrix: np.ndarray, lattice_beam: float) -> None:
    options = SearchOptions(
        beam=1000.0, lattice_beam=lattice_beam, acoustic_scale=SCALE, word_history=99, search="numpy"
    )
    (result,) = Decoder(fst, PDF, options).decode([matrix])
    expected = every_path(fst, matrix)
    assert result.partial == (not expected)
    if result.partial:
        return
    assert isinstance(result.lattice, CompactLattice)
    found = {words: graph + SCALE * acoustic for words, _, graph, acoustic, _ in all_paths(result.lattice)}
    limit = min(expected.values()) + lattice_beam
    # Paths beyond the beam may be there too, though perhaps with a worse alignment.
    for words, cost in expected.items():
        if cost < limit - 1e-3:
            assert found[words] == pytest.approx(cost, abs=1e-4)
    assert all(cost >= expected[words] - 1e-4 for words, cost in found.items())


@given(graphs(), st.lists(loglikes(), min_size=2, max_size=3), st.sampled_from([0.5, 2.0]), st.integers(1, 3))
@settings(max_examples=100, deadline=None)
def test_narrow_beams_invent_nothing(fst: Fst, matrices: list[np.ndarray], beam: float, max_active: int) -> None:
    """Also: the utterances of a batch do not see each other."""
    options = SearchOptions(
        beam=beam, lattice_beam=2.0, max_active=max_active, min_active=1, acoustic_scale=SCALE, search="numpy"
    )
    decoder = Decoder(fst, PDF, options)
    together = decoder.decode(matrices)
    for matrix, result in zip(matrices, together, strict=True):
        (alone,) = decoder.decode([matrix])
        assert (alone.partial, alone.lattice is None) == (result.partial, result.lattice is None)
        if result.partial:
            continue
        assert isinstance(result.lattice, CompactLattice)
        assert isinstance(alone.lattice, CompactLattice)
        expected = every_path(fst, matrix)
        paths = all_paths(result.lattice)
        assert paths == all_paths(alone.lattice)
        assert all(graph + SCALE * acoustic >= expected[words] - 1e-4 for words, _, graph, acoustic, _ in paths)


@pytest.mark.parametrize(("beam", "least", "most"), [(0.01, 30, 60), (100.0, 30, 60), (0.01, 0, 60), (8.0, 5, 1)])
def test_limits_of_active_states_are_kept(kaldi_fixture: Path, beam: float, least: int, most: int) -> None:
    fst = read_fst(kaldi_fixture / "graph/HCLG.fst")
    fst.final[:] = np.inf  # so that all states stay that were active in the end
    pdf = TransitionModel.read(kaldi_fixture / "exp/tri/final.mdl").tid_to_pdf
    search = NumpySearch(PdfGraph.make(remove_input_epsilons(fst), pdf), beam, 1000.0)
    _, matrix = next(read_matrices(kaldi_fixture / "exp/nnet/loglikes_test.ark"))
    for length in range(10, 40):
        frames, partial = search.search([matrix[:length]], 0.1, least, most)
        assert partial.all()
        active = int(frames.is_final.sum())
        assert min(least, most, active) == min(least, most)
        assert active <= most + 2  # states of equal cost stay together
        if beam < 1 and least == 0:
            assert active < 30
