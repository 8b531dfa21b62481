"""Vectors in long arrays are what a dict of them would be, wherever the arrays end."""

from typing import ClassVar

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hdnn_nnet import ragged
from hdnn_nnet.ragged import Vectors
from hdnn_nnet.train.dataset import global_statistics

MANY = st.dictionaries(st.text("abc", min_size=1, max_size=4), st.lists(st.integers(0, 9), max_size=6), max_size=9)


@settings(max_examples=80, deadline=None)
@given(MANY, st.integers(1, 12), st.data())
def test_vectors_are_a_dict_of_arrays(values: dict[str, list[int]], together: int, data: st.DataObject) -> None:
    wanted = {key: np.array(v, np.int32) for key, v in values.items()}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ragged, "_TOGETHER", together)
        vectors = Vectors(iter(wanted.items()), lambda keys, offsets, flat: flat.astype(np.int16))
    chosen = data.draw(st.lists(st.sampled_from(list(wanted) or ["-"]), unique=True)) if wanted else []
    for ours, theirs in ((vectors, wanted), (vectors.only(chosen), {key: wanted[key] for key in chosen})):
        assert list(ours) == list(theirs)
        assert len(ours) == len(theirs)
        assert ours.lengths() == {key: len(v) for key, v in theirs.items()}
        for key, value in ours.items():
            assert value.dtype == np.int32
            assert value.tolist() == theirs[key].tolist()
        assert "-" not in ours
    assert vectors.occurrences(10).tolist() == [sum(v.count(n) for v in values.values()) for n in range(10)]
    with pytest.raises(KeyError):
        vectors["-"]


def test_what_is_given_cannot_change_what_is_kept() -> None:
    vectors = Vectors([("a", np.array([1, 2], np.int32))])
    vectors["a"][0] = 7
    assert vectors["a"].tolist() == [1, 2]


def test_mean_and_variance_of_a_large_corpus_come_from_all_over_it(monkeypatch: pytest.MonkeyPatch) -> None:
    class Features:
        dim = 2
        read: ClassVar[list[str]] = []

        def __getitem__(self, utt: str) -> np.ndarray:
            self.read.append(utt)
            return np.stack([np.full(10, int(utt)), np.arange(10)], 1).astype(np.float32)

    features, frames = Features(), {str(n): 10 for n in range(100)}
    mean, variance = global_statistics(features, frames)
    assert features.read == list(frames)
    np.testing.assert_allclose(mean, [49.5, 4.5])
    np.testing.assert_allclose(variance, [np.var(range(100)), np.var(range(10))])
    features.read.clear()
    monkeypatch.setattr("hdnn_nnet.train.dataset.STATISTICS_FRAMES", 300)
    mean, _ = global_statistics(features, frames)
    assert features.read == [str(n) for n in range(0, 100, 4)]
    assert mean[0] == pytest.approx(48)
