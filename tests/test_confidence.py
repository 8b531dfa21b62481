"""Confidence of best paths, against the share of all paths."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import assume, given, settings

from hdnn_nnet.kaldi.transitions import TransitionModel
from hdnn_nnet.lattice.table import read_lattices
from hdnn_nnet.lattice.types import CompactLattice
from hdnn_nnet.sequence.confidence import confidence
from tests.support.lattice_cases import MODEL, all_paths, timed_lattices


@given(timed_lattices())
@settings(max_examples=60, deadline=None)
def test_confidence_is_the_share_of_paths(lattice: CompactLattice) -> None:
    paths = all_paths(lattice)
    assume(paths)
    scores = np.array([-0.7 * p.graph - 0.5 * p.acoustic for p in paths])
    posterior = np.exp(scores - np.logaddexp.reduce(scores))
    found = confidence(lattice, MODEL, 0.5, 0.7, engine="torch")
    for t, best in enumerate(found.alignment.tolist()):
        for table, value in ((MODEL.tid_to_pdf, found.pdf[t]), (MODEL.tid_to_phone, found.phone[t])):
            share = sum(w for w, p in zip(posterior, paths, strict=True) if table[p.ids[t]] == table[best])
            assert value == pytest.approx(share, abs=1e-9)
    best_path = max(range(len(paths)), key=lambda i: scores[i])
    assert -0.7 * paths[best_path].graph - 0.5 * paths[best_path].acoustic == pytest.approx(scores.max())
    assert len(found.words) == len(found.word) == len(found.word_frames)
    for word, value, (begin, end) in zip(found.words, found.word, found.word_frames, strict=True):
        shares = [
            sum(w for w, p in zip(posterior, paths, strict=True) if p.frame_words[t] == word) for t in range(begin, end)
        ]
        assert value == pytest.approx(max(shares, default=np.nan), abs=1e-9, nan_ok=True)


def test_confidence_of_kaldi_s_lattices(kaldi_fixture: Path) -> None:
    folder = kaldi_fixture / "exp/decode"
    model = TransitionModel.read(kaldi_fixture / "exp/tri/final.mdl")
    alignments = {
        row[0]: [int(word) for word in row[1:]]
        for row in (line.split() for line in (folder / "best_path.ali").read_text().splitlines())
    }
    for key, lattice in read_lattices(folder / "lat.wordaligned.gz"):
        found = confidence(lattice, model, engine="torch")
        assert found.alignment.tolist() == alignments[key]
        assert ((found.pdf > 0) & (found.pdf <= 1 + 1e-9) & (found.phone > 0) & (found.phone <= 1 + 1e-9)).all()
        assert ((found.word > 0) & (found.word <= 1 + 1e-9)).all()
        spans = found.word_frames
        assert (spans[1:, 0] >= spans[:-1, 1]).all()
