"""Lines that tell how far a loop is."""

import itertools
import logging

import pytest

from hdnn_nnet import progress


def test_lines_become_rarer(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    """Items of 7 s each: more than 10 s after the line before, later more than a tenth of the time so far, at last a minute."""
    now = 0.0
    monkeypatch.setattr(progress.time, "monotonic", lambda: now)
    with caplog.at_level(logging.INFO):
        for item in progress.counted(range(200), "utterances", 200):
            assert item == round(now / 7)
            now += 7
    numbers = [int(message.split()[1]) for message in caplog.messages]
    assert caplog.messages[0] == "utterances: 2 of 200"
    gaps = [7 * (after - before) for before, after in itertools.pairwise(numbers)]
    assert gaps == sorted(gaps)
    assert (gaps[0], gaps[-1]) == (14, 63)
    assert all(gap - 7 <= max(10, 0.7 * number) for gap, number in zip(gaps, numbers[1:], strict=True))


def test_nothing_is_told_of_what_is_quick_or_empty(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        assert list(progress.counted([], "speakers", 0)) == []
        assert list(progress.counted("abc", "speakers", 3)) == ["a", "b", "c"]
    assert not caplog.messages
