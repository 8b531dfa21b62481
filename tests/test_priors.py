"""Priors from a network's own posteriors: against the outputs of the forward program, and how the step behaves."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hdnn_nnet.cli import call
from hdnn_nnet.errors import HdnnError
from hdnn_nnet.kaldi.alignments import read_counts, write_counts
from hdnn_nnet.kaldi.tables import read_matrices
from hdnn_nnet.nn.prior import choose_utterances, counts_path
from tests.support import fixture_recipe


@given(st.integers(0, 60), st.integers(1, 70), st.integers(0, 5))
def test_choice(total: int, number: int, seed: int) -> None:
    utterances = [f"u{i:03}" for i in range(total)]
    chosen = choose_utterances(utterances, number, seed)
    assert len(chosen) == len(set(chosen)) == min(total, number)
    assert chosen == [u for u in utterances if u in set(chosen)]
    assert chosen == choose_utterances(utterances, number, seed)


def test_choice_is_even() -> None:
    """Over many seeds each utterance is drawn about equally often; expectation 500, standard deviation 19."""
    draws = [u for seed in range(2000) for u in choose_utterances("abcdefgh", 2, seed)]
    assert all(abs(draws.count(u) - 500) < 100 for u in "abcdefgh")
    with pytest.raises(HdnnError, match="--num-utts must be at least 1, not 0"):
        call("prior-counts", ["--num-utts=0", "data", "model", "counts"])


@pytest.fixture(scope="module")
def recipe(kaldi_fixture: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return fixture_recipe.make(kaldi_fixture, tmp_path_factory.mktemp("priors"))


@pytest.mark.parametrize(("kind", "jobs", "number"), [("nnet1", 3, 10000), ("hdnn", 2, 4)])
def test_step(recipe: Path, kaldi_fixture: Path, kind: str, jobs: int, number: int) -> None:
    """The sum of the posteriors that the forward program writes; independent of the jobs."""
    folder = recipe / "exp" / kind
    options = ["--nj", str(jobs), "--num-utts", str(number), "--seed", "5"]
    done = fixture_recipe.step(recipe, "make_priors.sh", *options, "data/train", f"exp/{kind}")
    assert done.returncode == 0, done.stderr
    call("forward", ["--output=posteriors", str(folder), str(recipe / "data/train"), f"ark:{recipe}/post.ark"])
    posteriors = dict(read_matrices(recipe / "post.ark"))
    chosen = choose_utterances(list(posteriors), number, 5)
    expected = np.sum([posteriors[u].astype(np.float64).sum(0) for u in chosen], axis=0)
    counts = read_counts(folder / "prior_counts")
    np.testing.assert_allclose(counts, expected, rtol=1e-5)
    frames = sum(len(posteriors[u]) for u in chosen)
    assert counts.sum() == pytest.approx(frames, rel=1e-5)
    assert f"40 pdfs, {frames} frames of {len(chosen)} utterances" in done.stdout
    assert [path.name for path in folder.glob("prior_counts*")] == ["prior_counts"]
    assert counts_path(folder) == folder / "prior_counts"
    if kind == "nnet1":  # Kaldi's posteriors: its log-likelihoods (made without softmax) with the prior put back.
        prior = read_counts(folder / "ali_train_pdf.counts") / read_counts(folder / "ali_train_pdf.counts").sum()
        kaldis = np.zeros(40)
        for _, log_likelihoods in read_matrices(kaldi_fixture / "exp/nnet/loglikes_train.ark"):
            scores = prior * np.exp(log_likelihoods.astype(np.float64))
            kaldis += (scores / scores.sum(1, keepdims=True)).sum(0)
        np.testing.assert_allclose(counts, kaldis, rtol=1e-4)


def test_errors(recipe: Path, tmp_path: Path) -> None:
    done = fixture_recipe.step(recipe, "make_priors.sh", "data/train")
    assert (done.returncode, "e.g.:" in done.stderr) == (1, True)
    done = fixture_recipe.step(recipe, "make_priors.sh", "data/train", "lang")
    assert (done.returncode, "lang is no model directory" in done.stderr) == (1, True)
    write_counts(tmp_path / "a", np.array([1.5, 2.0]))
    write_counts(tmp_path / "b", np.array([1.0]))
    total = tmp_path / "total"
    with pytest.raises(HdnnError, match=r"b has 1 pdfs, .*a 2"):
        call("collect counts", [str(total), str(tmp_path / "a"), str(tmp_path / "b")])
    with pytest.raises(HdnnError, match="missing"):
        call("collect counts", [str(total), str(tmp_path / "a"), str(tmp_path / "missing")])
    assert not total.exists()
