"""The distillation criterion and what is kept of soft labels, against float64 references."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from hdnn_nnet.nn.distillation import Distillation, SoftLabels
from hdnn_nnet.train.columns import SparseColumn, collect
from hdnn_nnet.train.soft_labels import ensemble, sparsify, temper

CPU = torch.device("cpu")


def rows(posteriors) -> SoftLabels:
    column = collect([posteriors], CPU)
    assert isinstance(column, SparseColumn)
    return column.rows(torch.arange(len(posteriors)))


def reference(student, soft, labels, q, temperature, factor) -> torch.Tensor:
    """The paper's equations term by term."""
    total = torch.zeros((), dtype=torch.float64)
    for n in range(len(student)):
        log_y = torch.log_softmax(student[n] / temperature, 0)
        for j in range(student.shape[1]):
            if soft[n, j] > 0:
                total = total + factor * soft[n, j] * (soft[n, j].log() - log_y[j])
        if labels[n] >= 0:
            total = total - q * torch.log_softmax(student[n], 0)[labels[n]]
    return total


cases = st.tuples(
    st.integers(0, 1 << 30),
    st.integers(1, 5),
    st.integers(2, 7),
    st.sampled_from([1.0, 2.0, 3.0, 0.7]),
    st.sampled_from([0.0, 0.2, 0.5, 1.0, 3.0]),
    st.booleans(),
    st.floats(0.3, 1.0),
    st.booleans(),
)


@settings(max_examples=150, deadline=None)
@given(cases)
def test_loss_and_gradient_against_float64(case) -> None:
    seed, frames, pdfs, temperature, q, square, mass, dense = case
    generator = torch.Generator().manual_seed(seed)
    student = (3 * torch.randn(frames, pdfs, generator=generator, dtype=torch.float64)).requires_grad_()
    teacher = 3 * torch.randn(frames, pdfs, generator=generator, dtype=torch.float64)
    labels = torch.randint(-1, pdfs, (frames,), generator=generator)
    factor = temperature**2 if square else 1.0
    if dense:
        soft = torch.softmax(teacher / temperature, 1)
        given_soft: SoftLabels | torch.Tensor = soft
    else:
        kept = temper(sparsify(torch.log_softmax(teacher, 1), mass, temperature)[0], temperature)
        soft = torch.from_numpy(kept.dense(pdfs)).double()
        given_soft = rows(kept)._replace(weights=torch.from_numpy(kept.weights).double())
    wanted = reference(student, soft, labels, q, temperature, factor)
    (wanted_gradient,) = torch.autograd.grad(wanted, student)
    loss, correct = Distillation.apply(student, given_soft, labels, q, temperature, factor)
    (gradient,) = torch.autograd.grad(loss, student)
    # Soft labels are float32: their sums differ from 1 by rounding.
    tolerance = 1e-9 if dense else 1e-5
    assert float(loss) == pytest.approx(float(wanted), rel=tolerance, abs=tolerance)
    torch.testing.assert_close(gradient, wanted_gradient, rtol=tolerance, atol=tolerance)
    best = torch.where(labels >= 0, labels, soft.argmax(1))
    assert int(correct) == int((student.argmax(1) == best).sum())


def test_gradient_by_finite_differences() -> None:
    generator = torch.Generator().manual_seed(3)
    student = torch.randn(4, 6, generator=generator, dtype=torch.float64, requires_grad=True)
    soft = torch.softmax(torch.randn(4, 6, generator=generator, dtype=torch.float64), 1)
    labels = torch.tensor([0, 5, -1, 2])
    assert torch.autograd.gradcheck(lambda s: Distillation.apply(s, soft, labels, 0.5, 2.0, 1.0)[0], (student,))


def test_whole_posteriors_at_temperature_one_are_cross_entropy_with_soft_targets() -> None:
    generator = torch.Generator().manual_seed(1)
    student = torch.randn(50, 30, generator=generator, requires_grad=True)
    log_posteriors = torch.log_softmax(2 * torch.randn(50, 30, generator=generator), 1)
    soft = log_posteriors.exp()
    wanted = torch.nn.functional.cross_entropy(student, soft, reduction="sum")
    entropy = -(soft * log_posteriors).sum()
    (wanted_gradient,) = torch.autograd.grad(wanted, student)
    for given_soft in (soft, rows(temper(sparsify(log_posteriors, 1.0)[0], 1.0))):
        loss, _ = Distillation.apply(student, given_soft, None, 0.0, 1.0, 1.0)
        assert float(loss + entropy) == pytest.approx(float(wanted), rel=1e-5)
        torch.testing.assert_close(torch.autograd.grad(loss, student)[0], wanted_gradient, rtol=1e-5, atol=1e-6)


def test_a_student_equal_to_its_teacher_has_no_loss() -> None:
    logits = torch.randn(9, 5, generator=torch.Generator().manual_seed(2))
    for temperature in (1.0, 3.0):
        loss, correct = Distillation.apply(logits, torch.softmax(logits / temperature, 1), None, 0.0, temperature, 1.0)
        assert float(loss) == pytest.approx(0, abs=1e-5)
        assert int(correct) == 9


@settings(max_examples=100, deadline=None)
@given(
    st.integers(0, 1 << 30),
    st.sampled_from([3, 40, 300]),
    st.floats(0.2, 0.999),
    st.sampled_from([1.0, 2.0, 3.0]),
    st.floats(0.1, 6.0),
)
def test_the_fewest_pdfs_that_hold_the_mass(seed, pdfs, mass, highest, spread) -> None:
    generator = torch.Generator().manual_seed(seed)
    log_posteriors = torch.log_softmax(spread * torch.randn(6, pdfs, generator=generator), 1)
    kept, held = sparsify(log_posteriors, mass, highest)
    exact = log_posteriors.double().numpy()
    for t in range(6):
        chosen = kept.pdfs[kept.offsets[t] : kept.offsets[t + 1]]
        weights = kept.weights[kept.offsets[t] : kept.offsets[t + 1]]
        assert len(set(chosen.tolist())) == len(chosen)
        assert (np.diff(weights) <= 0).all()
        np.testing.assert_allclose(weights, np.exp(exact[t, chosen]), rtol=1e-4, atol=1e-7)
        tempered = np.exp(exact[t] / highest - np.logaddexp.reduce(exact[t] / highest))
        falling = np.sort(tempered)[::-1].cumsum()
        # the fewest, but for rounding
        assert falling[len(chosen) - 1] >= mass - 1e-5
        assert len(chosen) == 1 or falling[len(chosen) - 2] < mass + 1e-5
        assert held[t] == pytest.approx(falling[len(chosen) - 1], abs=1e-5)
        for temperature in {1.0, (1 + highest) / 2, highest}:
            whole = np.exp(exact[t] / temperature - np.logaddexp.reduce(exact[t] / temperature))
            share = whole[chosen].sum()
            assert share >= mass - 1e-5  # lower temperatures keep more
            soft = temper(kept, temperature)
            approximation = np.zeros(pdfs)
            approximation[chosen] = soft.weights[soft.offsets[t] : soft.offsets[t + 1]]
            # The documented error of what is left out.
            assert np.abs(approximation - whole).sum() <= 2 * (1 - share) + 1e-4


def test_temper_drops_zeros_and_normalises() -> None:
    from hdnn_nnet.kaldi.posteriors import SparsePosteriors

    given_posteriors = SparsePosteriors(
        np.array([0, 3, 4]), np.array([4, 1, 2, 0], np.int32), np.array([0.16, 0.0, 0.04, 0.5], np.float32)
    )
    soft = temper(given_posteriors, 2.0)
    assert soft.offsets.tolist() == [0, 2, 3]
    assert soft.pdfs.tolist() == [4, 2, 0]
    np.testing.assert_allclose(soft.weights, [2 / 3, 1 / 3, 1], rtol=1e-6)


def test_ensemble_is_the_arithmetic_mean() -> None:
    generator = torch.Generator().manual_seed(4)
    teachers = [torch.log_softmax(torch.randn(7, 5, generator=generator), 1) for _ in range(3)]
    wanted = torch.stack([t.exp() for t in teachers]).mean(0)
    torch.testing.assert_close(ensemble(teachers).exp(), wanted)
    assert ensemble(teachers[:1]) is teachers[0]


def test_rows_of_sparse_columns() -> None:
    generator = torch.Generator().manual_seed(5)
    parts = [sparsify(torch.randn(n, 6, generator=generator), 0.8)[0] for n in (4, 1, 7)]
    whole = np.concatenate([p.dense(6) for p in parts])
    column = collect(parts, CPU)
    chosen = torch.tensor([11, 0, 4, 4, 7])
    soft = column.rows(chosen)
    dense = torch.zeros(5, 6)
    dense[soft.rows, soft.pdfs] = soft.weights
    np.testing.assert_array_equal(dense.numpy(), whole[chosen.numpy()])
    np.testing.assert_array_equal(soft.best.numpy(), whole[chosen.numpy()].argmax(1))
