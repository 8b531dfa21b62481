"""The schedule against the rules of Kaldi's train_scheduler.sh, written down a second time as that script runs."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hdnn_nnet.train.newbob import Newbob
from hdnn_nnet.train.options import NewbobOptions


def script(
    initial: float, losses: list[float], keep: int, least: int, most: int, patience: int = 1
) -> list[tuple[bool, float]]:
    """(accepted, rate after the epoch) for every epoch that the shell script would run; with a patience, which it has not."""
    result: list[tuple[bool, float]] = []
    rate, halving, began, loss = 0.008, False, 0, initial
    kept = [initial]
    for epoch in range(1, most + 1):
        new = losses[epoch - 1]
        accepted = new < loss or epoch <= keep or epoch <= least
        if accepted:
            loss = new
        kept.append(loss)
        result.append((accepted, rate))
        if epoch <= keep:
            continue
        enough = epoch - began >= patience
        improvement = (kept[epoch - patience] - loss) / kept[epoch - patience] if enough else 1.0
        if halving and improvement < 0.001:
            if epoch <= least:
                continue
            break
        if not halving and improvement < 0.01:
            halving, began = True, epoch
        if halving:
            rate *= 0.5
            result[-1] = (accepted, rate)
    return result


@settings(max_examples=300, deadline=None)
@given(
    st.lists(st.floats(0.5, 5), min_size=15, max_size=15),
    st.booleans(),
    st.integers(0, 3),
    st.integers(0, 3),
    st.integers(1, 4),
)
def test_decisions_are_those_of_the_script(
    losses: list[float], falling: bool, keep: int, least: int, patience: int
) -> None:
    if falling:
        losses = sorted(losses, reverse=True)
    expected = script(6.0, losses, keep, least, 15, patience)
    options = NewbobOptions(max_iters=15, keep_lr_iters=keep, min_iters=least, halving_patience=patience)
    schedule = Newbob(0.008, options)
    schedule.start(6.0)
    decisions, rates = [], []
    while not schedule.finished:
        decisions.append(schedule.judge(losses[schedule.state.epoch]))
        rates.append(schedule.learn_rate)
    assert decisions == [accepted for accepted, _ in expected]
    assert rates == [rate for _, rate in expected]


def test_patience_outlasts_a_noisy_epoch() -> None:
    """With a patience of 3 three epochs together must gain too little before the rate is halved, and before the end."""
    losses = [0.66, 0.54, 0.5, 0.51, 0.46, 0.459, 0.458, 0.457, 0.46, 0.44, 0.45, 0.44, 0.44, 0.43]
    rates: dict[int, list[float]] = {}
    gone_on: dict[int, list[bool]] = {}
    for patience in (1, 3):
        schedule = Newbob(0.004, NewbobOptions(halving_patience=patience))
        schedule.start(6.0)
        rates[patience], gone_on[patience] = [], []
        for loss in losses:
            if schedule.finished:
                break
            gone_on[patience].append(schedule.judge(loss) or schedule.tolerant)
            rates[patience].append(schedule.learn_rate)
    assert rates[1][:5] == [0.004, 0.004, 0.004, 0.002, 0.001]
    assert not gone_on[1][3]
    assert rates[3] == [0.004] * 7 + [0.004 / 2**n for n in range(1, 6)] + [0.004 / 2**5]
    assert all(gone_on[3])


@pytest.mark.parametrize("patience", [1, 3])
def test_diverged_epoch_is_rejected_and_halves(patience: int) -> None:
    schedule = Newbob(0.008, NewbobOptions(halving_patience=patience))
    schedule.start(3.0)
    assert not schedule.judge(float("nan"))
    assert not schedule.tolerant
    assert schedule.best_loss == 3.0
    assert schedule.learn_rate == 0.004
    assert schedule.judge(2.0)


def test_state_goes_through_json() -> None:
    schedule = Newbob(0.008, NewbobOptions(halving_patience=3))
    schedule.start(3.0)
    schedule.judge(2.99)
    again = Newbob(0.008, schedule.options)
    again.restore(json.loads(json.dumps(schedule.saved())))
    assert again.state == schedule.state


def test_state_of_earlier_versions_is_taken() -> None:
    schedule = Newbob(0.008)
    schedule.restore({"learn_rate": 0.004, "best_loss": 2.0, "epoch": 7, "halving": False, "finished": False})
    assert schedule.judge(1.999)
    assert schedule.learn_rate == 0.002
