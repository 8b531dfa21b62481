"""LDA, MLLT, fMLLR and what they are made of, against direct sums, gradients and random perturbations in float64."""

from pathlib import Path

import numpy as np
import pytest

from hdnn_nnet.errors import HdnnError
from hdnn_nnet.feats.affine import (
    apply_transform,
    compose_transforms,
    identity_transform,
    log_determinant,
    read_matrix_file,
    read_transforms,
    write_matrix_file,
    write_transforms,
)
from hdnn_nnet.feats.transforms import Splice
from hdnn_nnet.gmm.em import Statistics, update_gmms
from hdnn_nnet.gmm.features import compose_speakers, read_speaker_transforms
from hdnn_nnet.gmm.fmllr import (
    FmllrStatistics,
    add_utterances,
    estimate_fmllr,
    fmllr_objective,
    frame_terms,
)
from hdnn_nnet.gmm.lda import LdaStatistics, estimate_lda
from hdnn_nnet.gmm.mllt import MlltAccumulator, MlltStatistics, estimate_mllt, mllt_objective, transform_means
from hdnn_nnet.gmm.model import DiagGmms, LogLikelihoods
from hdnn_nnet.gmm.posteriors import FrameLabels, gaussian_posteriors, silence_weighted
from hdnn_nnet.gmm.rows import stable_inverse
from hdnn_nnet.gmm.two_models import update_two

DIM = 4


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(7)


def make_gmms(rng: np.random.Generator, counts: tuple[int, ...] = (2, 1, 3), dim: int = DIM) -> DiagGmms:
    total = sum(counts)
    weights = np.concatenate([rng.dirichlet(np.ones(count)) for count in counts])
    means, variances = 2 * rng.standard_normal((total, dim)), rng.uniform(0.5, 2.0, (total, dim))
    return DiagGmms(np.cumsum([0, *counts]), weights, means, variances)


def sample(rng: np.random.Generator, gmms: DiagGmms, frames: int) -> tuple[np.ndarray, np.ndarray]:
    """Features that the model could have made, float32, and their pdfs."""
    pdfs = rng.integers(gmms.num_pdfs, size=frames)
    gaussians = [
        rng.choice(np.arange(*gmms.offsets[p : p + 2]), p=gmms.weights[slice(*gmms.offsets[p : p + 2])]) for p in pdfs
    ]
    noise = rng.standard_normal((frames, gmms.dim)) * np.sqrt(gmms.variances[gaussians])
    return (gmms.means[gaussians] + noise).astype(np.float32), pdfs


def direct_posteriors(gmms: DiagGmms, features: np.ndarray, labels: FrameLabels) -> np.ndarray:
    """(T, G) weighted posteriors, entry by entry in float64."""
    table = np.zeros((len(features), gmms.num_gauss))
    for frame, pdf, weight in zip(labels.frames, labels.pdfs, labels.weights, strict=True):
        own = slice(*gmms.offsets[pdf : pdf + 2])
        distance = (features[frame].astype(np.float64) - gmms.means[own]) ** 2 / gmms.variances[own]
        density = gmms.weights[own] * np.exp(-0.5 * distance.sum(1)) / np.sqrt(gmms.variances[own].prod(1))
        table[frame, own] += weight * density / density.sum()
    return table


# Features


def test_splice_repeats_the_ends() -> None:
    features = np.arange(6, dtype=np.float32).reshape(3, 2)
    wide = Splice.parse("--left-context=1 --right-context=2").apply(features)
    assert wide.dtype == np.float32
    assert wide.tolist() == [[0, 1, 0, 1, 2, 3, 4, 5], [0, 1, 2, 3, 4, 5, 4, 5], [2, 3, 4, 5, 4, 5, 4, 5]]
    assert Splice.parse("").width == 9  # what splice-feats does without options
    with pytest.raises(HdnnError, match="splice_opts"):
        Splice.parse("--left-context=-1")
    with pytest.raises(HdnnError, match="--left="):
        Splice.parse("--left=1")


def test_affine_transforms(rng: np.random.Generator, tmp_path: Path) -> None:
    features = rng.standard_normal((5, 3)).astype(np.float32)
    first, second = rng.standard_normal((3, 4)), rng.standard_normal((2, 4))
    once = apply_transform(second, apply_transform(first, features))
    both = compose_transforms(second, first, before_is_affine=True)
    assert np.allclose(once, apply_transform(both, features), atol=1e-5)
    linear = rng.standard_normal((3, 6))
    after = compose_transforms(first, linear)  # an offset behind a linear transform: one more column
    assert after.shape == (3, 7)
    wide = rng.standard_normal((5, 6)).astype(np.float32)
    assert np.allclose(apply_transform(after, wide), apply_transform(first, apply_transform(linear, wide)), atol=1e-5)
    assert np.array_equal(compose_transforms(linear[:, :3], linear), linear[:, :3] @ linear)
    assert np.isclose(log_determinant(first), np.log(abs(np.linalg.det(first[:, :3]))))
    with pytest.raises(HdnnError, match=r"speaker a.*4 columns for features of 2"):
        apply_transform(first, features[:, :2], "speaker a")
    with pytest.raises(HdnnError, match="cannot follow"):
        compose_transforms(first, np.eye(5))
    write_matrix_file(tmp_path / "final.mat", linear)
    assert np.allclose(read_matrix_file(tmp_path / "final.mat"), linear, atol=1e-6)
    write_transforms(tmp_path / "trans.10", {"a": first})
    write_transforms(tmp_path / "trans.2", {"b": identity_transform(3)})
    assert list(read_transforms(tmp_path / "trans.10")) == ["a"]
    assert list(read_speaker_transforms(tmp_path)) == ["b", "a"]
    with pytest.raises(HdnnError, match=r"no trans\.1"):
        read_speaker_transforms(tmp_path / "none")
    composed = compose_speakers({"a": identity_transform(3), "c": first}, {"a": first, "b": first})
    assert all(np.allclose(composed[speaker], first) for speaker in "abc")


# Posteriors


def test_posteriors_against_direct_ones(rng: np.random.Generator) -> None:
    gmms = make_gmms(rng)
    features, _ = sample(rng, gmms, 30)
    frames, pdfs = rng.integers(30, size=80), rng.integers(3, size=80)
    labels = FrameLabels.merged(frames, pdfs, rng.uniform(0, 1, 80))
    assert len(set(zip(labels.frames.tolist(), labels.pdfs.tolist(), strict=True))) == len(labels.frames)
    table = np.zeros((30, gmms.num_gauss))
    for found in gaussian_posteriors(gmms, features, labels):
        table[found.rows, found.own] += found.posteriors
    assert np.allclose(table, direct_posteriors(gmms, features, labels), atol=1e-5)


def test_silence_weights_and_labels() -> None:
    weights = silence_weighted(np.array([1, 5, 2]), [1, 2], 0.01)
    assert weights.tolist() == [0.01, 1.0, 0.01]
    labels = FrameLabels.of_alignment(np.array([3, 4, 3]), silence_weighted(np.array([1, 5, 2]), [1, 2], 0.0))
    assert labels.frames.tolist() == [1]
    assert labels.pdfs.tolist() == [4]
    both = FrameLabels.joined([(labels, 3), (labels, 3)])
    assert both.frames.tolist() == [1, 4]


def test_log_likelihoods_of_a_few_pdfs(rng: np.random.Generator) -> None:
    gmms = make_gmms(rng, (2, 1, 3, 2))
    features, _ = sample(rng, gmms, 20)
    whole = LogLikelihoods(gmms)(features)
    some = LogLikelihoods(gmms)(features, np.array([1, 2]))
    assert np.allclose(some[:, 1:3], whole[:, 1:3], atol=1e-5)
    assert not some[:, [0, 3]].any()
    assert LogLikelihoods(gmms)(features, np.array([], dtype=int)).shape == whole.shape


# LDA


def test_lda_whitens_and_sorts(rng: np.random.Generator) -> None:
    classes = rng.integers(6, size=4000)
    centres = 3 * rng.standard_normal((6, 8)) * np.array([3, 2, 1, 0.5, 0, 0, 0, 0])
    mix = rng.standard_normal((8, 8))
    features = ((centres[classes] + rng.standard_normal((4000, 8))) @ mix).astype(np.float32)
    weights = np.where(classes == 5, 0.0, 1.0)  # silence
    statistics, other = LdaStatistics.zeros(6, 8), LdaStatistics.zeros(6, 8)
    statistics.accumulate(features[:1500], classes[:1500], weights[:1500])
    other.accumulate(features[1500:], classes[1500:], weights[1500:])
    statistics.add(other)
    other.accumulate(features[:1], classes[:1], np.zeros(1))
    assert statistics.counts[5] == 0
    lda = estimate_lda(statistics, 3)
    assert lda.matrix.shape == (3, 8)
    within, between = statistics.covariances()
    assert np.allclose(lda.full @ within @ lda.full.T, np.eye(8), atol=1e-8)
    assert np.allclose(lda.full @ between @ lda.full.T, np.diag(lda.values), atol=1e-8)
    assert (np.diff(lda.values) <= 1e-12).all()
    # the within-class covariance is that of the classes' members about their means
    kept = features[classes < 5].astype(np.float64)
    own = np.stack([features[classes == c].astype(np.float64).mean(0) for c in range(5)])[classes[classes < 5]]
    assert np.allclose(within, (kept - own).T @ (kept - own) / len(kept), atol=1e-6)


def test_lda_of_bad_statistics(rng: np.random.Generator, caplog: pytest.LogCaptureFixture) -> None:
    statistics = LdaStatistics.zeros(5, 6)
    with pytest.raises(HdnnError, match="no frames"):
        estimate_lda(statistics, 2)
    features = rng.standard_normal((300, 6)).astype(np.float32)
    features[:, 5] = 0.0  # a dimension that never changes
    statistics.accumulate(features, rng.integers(5, size=300), np.ones(300))
    with pytest.raises(HdnnError, match="lower --dim"):
        estimate_lda(statistics, 5)
    assert np.isfinite(estimate_lda(statistics, 2).full).all()
    assert "singular" in caplog.text


# MLLT


def mllt_case(rng: np.random.Generator, frames: int = 3000) -> tuple[DiagGmms, np.ndarray, FrameLabels]:
    gmms = make_gmms(rng)
    features, pdfs = sample(rng, gmms, frames)
    mixed = features @ (np.eye(DIM) + 0.3 * rng.standard_normal((DIM, DIM))).astype(np.float32)
    return gmms, mixed.astype(np.float32), FrameLabels.of_alignment(pdfs, rng.choice([0.0, 1.0], frames))


def test_mllt_statistics_are_the_direct_sums(rng: np.random.Generator) -> None:
    gmms, features, labels = mllt_case(rng, 200)
    accumulator = MlltAccumulator(gmms)
    accumulator.accumulate(features[:0], FrameLabels.of_alignment(np.zeros(0, int)))
    accumulator.accumulate(features, labels)
    statistics = accumulator.statistics()
    posteriors = direct_posteriors(gmms, features, labels)
    offsets = features[:, None].astype(np.float64) - gmms.means[None]
    expected = np.einsum("tg,gi,tgj,tgk->ijk", posteriors, 1 / gmms.variances, offsets, offsets)
    assert np.isclose(statistics.beta, posteriors.sum())
    assert np.allclose(statistics.scatter, expected, rtol=1e-4, atol=1e-3)


def test_random_pruning_keeps_the_expectation(rng: np.random.Generator) -> None:
    gmms, features, labels = mllt_case(rng, 4000)
    whole, pruned = MlltAccumulator(gmms), MlltAccumulator(gmms, rand_prune=2.0, seed=3)
    whole.accumulate(features, labels)
    pruned.accumulate(features, labels)
    assert pruned.statistics().beta % 2.0 == 0  # every posterior below 2 counts as 2 or not at all
    assert abs(pruned.statistics().beta / whole.statistics().beta - 1) < 0.1
    ratio = np.trace(pruned.statistics().scatter.sum(0)) / np.trace(whole.statistics().scatter.sum(0))
    assert abs(ratio - 1) < 0.1


def test_mllt_is_a_maximum(rng: np.random.Generator) -> None:
    gmms, features, labels = mllt_case(rng)
    accumulator = MlltAccumulator(gmms)
    accumulator.accumulate(features, labels)
    statistics = accumulator.statistics()
    matrix, gain = estimate_mllt(statistics)
    best = mllt_objective(statistics, matrix)
    assert gain > 0
    assert np.isclose(gain, (best - mllt_objective(statistics, np.eye(DIM))) / statistics.beta)
    for row, column in np.ndindex(DIM, DIM):  # the gradient vanishes, by central differences
        step = np.zeros((DIM, DIM))
        step[row, column] = 1e-5
        difference = mllt_objective(statistics, matrix + step) - mllt_objective(statistics, matrix - step)
        assert abs(difference / 2e-5) < 1e-5 * statistics.beta
    for _ in range(50):
        assert mllt_objective(statistics, matrix + 0.05 * rng.standard_normal((DIM, DIM))) < best


def test_mllt_of_bad_statistics(rng: np.random.Generator, caplog: pytest.LogCaptureFixture) -> None:
    with pytest.raises(HdnnError, match="no frames"):
        estimate_mllt(MlltStatistics.zeros(DIM))
    scatter = np.stack([np.diag([1.0, 1.0, 1.0, 0.0])] * DIM) * 30
    matrix, _ = estimate_mllt(MlltStatistics(30.0, scatter))
    assert np.isfinite(matrix).all()
    assert "singular" in caplog.text
    assert "only 30 frames" in caplog.text


def test_transformed_means(rng: np.random.Generator) -> None:
    gmms, matrix = make_gmms(rng), rng.standard_normal((DIM, DIM + 1))
    moved = transform_means(gmms, matrix)
    assert np.allclose(moved.means, gmms.means @ matrix[:, :DIM].T + matrix[:, DIM])
    assert np.array_equal(moved.variances, gmms.variances)
    assert np.allclose(transform_means(gmms, matrix[:, :DIM]).means, gmms.means @ matrix[:, :DIM].T)


def test_singular_matrices_are_floored() -> None:
    good, bad = np.diag([1.0, 1e6]), np.array([[1.0, 1.0], [1.0, 1.0]])
    inverse, floored = stable_inverse(np.stack([good, bad, np.zeros((2, 2))]))
    assert floored.tolist() == [False, True, True]
    assert np.allclose(inverse[0], np.diag([1.0, 1e-6]))
    assert np.isfinite(inverse[:2]).all()


# fMLLR


def fmllr_case(rng: np.random.Generator, frames: int = 2000) -> tuple[DiagGmms, np.ndarray, np.ndarray, FrameLabels]:
    """Model, the speaker's inverse transform, his features and their labels."""
    gmms = make_gmms(rng, (1, 1, 1, 1, 1, 1))
    clean, pdfs = sample(rng, gmms, frames)
    distortion = np.concatenate([np.eye(DIM) + 0.2 * rng.standard_normal((DIM, DIM)), rng.standard_normal((DIM, 1))], 1)
    return gmms, distortion, apply_transform(distortion, clean), FrameLabels.of_alignment(pdfs)


def statistics_of(gmms: DiagGmms, features: np.ndarray, labels: FrameLabels) -> FmllrStatistics:
    statistics = {"s": FmllrStatistics.zeros(gmms.dim)}
    add_utterances(statistics, gmms, [("s", features, labels)])
    return statistics["s"]


def objective(statistics: FmllrStatistics, transform: np.ndarray) -> float:
    scalar = np.array([statistics.beta])
    return float(fmllr_objective(scalar, statistics.linear[None], statistics.scatter[None], transform[None])[0])


def test_fmllr_statistics_are_the_direct_sums(rng: np.random.Generator) -> None:
    gmms = make_gmms(rng)
    features, _ = sample(rng, gmms, 150)
    labels = FrameLabels.merged(rng.integers(150, size=300), rng.integers(3, size=300), rng.uniform(0, 1, 300))
    statistics = statistics_of(gmms, features, labels)
    posteriors = direct_posteriors(gmms, features, labels)
    extended = np.concatenate([features, np.ones((150, 1))], 1).astype(np.float64)
    inverse = 1 / gmms.variances
    assert np.isclose(statistics.beta, labels.weights.sum())
    assert np.allclose(
        statistics.linear, np.einsum("tg,gi,tj->ij", posteriors, gmms.means * inverse, extended), rtol=1e-4
    )
    expected = np.einsum("tg,gi,tj,tk->ijk", posteriors, inverse, extended, extended)
    assert np.allclose(statistics.scatter, expected, rtol=1e-4, atol=1e-4)


def test_fmllr_finds_the_distortion(rng: np.random.Generator) -> None:
    gmms, distortion, features, labels = fmllr_case(rng, 20000)
    result = estimate_fmllr({"s": statistics_of(gmms, features, labels)})
    back = compose_transforms(result.transforms["s"], distortion, before_is_affine=True)
    assert np.abs(back - identity_transform(DIM)).max() < 0.05
    assert result.gain > 0
    assert not result.kept
    # The gain is that of the log-likelihood, log-determinant included, when posteriors do not change.
    adapted = apply_transform(result.transforms["s"], features)
    likelihoods = [frame_terms(gmms, matrix, labels).log_likelihood for matrix in (features, adapted)]
    logdet = len(features) * np.linalg.slogdet(result.transforms["s"][:, :DIM])[1]
    assert np.isclose(likelihoods[1] + logdet - likelihoods[0], result.gain, rtol=1e-3)


def test_fmllr_is_a_maximum(rng: np.random.Generator) -> None:
    gmms, _, features, labels = fmllr_case(rng)
    statistics = statistics_of(gmms, features, labels)
    transform = estimate_fmllr({"s": statistics}).transforms["s"]
    best = objective(statistics, transform)
    for row, column in np.ndindex(DIM, DIM + 1):
        step = np.zeros((DIM, DIM + 1))
        step[row, column] = 1e-5
        difference = objective(statistics, transform + step) - objective(statistics, transform - step)
        assert abs(difference / 2e-5) < 1e-5 * statistics.beta
    for _ in range(50):
        assert objective(statistics, transform + 0.05 * rng.standard_normal(transform.shape)) < best


def test_fmllr_against_gradient_ascent(rng: np.random.Generator) -> None:
    """Brute force: steepest ascent with halved steps, which knows nothing of rows and cofactors."""
    gmms, _, features, labels = fmllr_case(rng, 1000)
    statistics = statistics_of(gmms, features, labels)
    transform = estimate_fmllr({"s": statistics}).transforms["s"]
    found, step = identity_transform(DIM), 1e-3
    value = objective(statistics, found) / statistics.beta
    for _ in range(4000):
        gradient = statistics.linear - np.einsum("ij,ijk->ik", found, statistics.scatter)
        gradient[:, :DIM] += statistics.beta * np.linalg.inv(found[:, :DIM]).T
        tried = found + step * gradient / statistics.beta
        new = objective(statistics, tried) / statistics.beta
        if new > value:
            found, value, step = tried, new, step * 1.5
        else:
            step /= 2
    assert np.isclose(value, objective(statistics, transform) / statistics.beta, atol=1e-6)
    assert np.allclose(found, transform, atol=1e-2)


def test_speakers_in_a_batch_are_independent(rng: np.random.Generator) -> None:
    gmms, _, features, labels = fmllr_case(rng)
    _, _, others, other_labels = fmllr_case(rng)
    statistics = {f"s{n}": FmllrStatistics.zeros(DIM) for n in range(4)}
    add_utterances(statistics, gmms, [("s0", features, labels), ("s1", others, other_labels), ("s0", features, labels)])
    add_utterances(statistics, gmms, [("s2", features[:100], FrameLabels.of_alignment(labels.pdfs[:100]))])
    result = estimate_fmllr(statistics)
    assert list(result.transforms) == ["s0", "s1", "s2", "s3"]
    alone = estimate_fmllr({"s1": statistics["s1"]})
    assert np.allclose(result.transforms["s1"], alone.transforms["s1"], atol=1e-10)
    assert result.kept == ["s2", "s3"]  # 100 frames, and none
    assert np.array_equal(result.transforms["s3"], identity_transform(DIM))
    assert "2 with too little speech keep the identity (s2 s3)" in result.summary()
    assert np.isclose(result.frames, 2 * 2000 + 2000 + 100)


def test_singular_speaker_is_floored_and_said(rng: np.random.Generator) -> None:
    gmms = make_gmms(rng)
    features = np.tile(rng.standard_normal(DIM).astype(np.float32), (600, 1))  # digital silence
    result = estimate_fmllr({"s": statistics_of(gmms, features, FrameLabels.of_alignment(np.zeros(600, int)))})
    assert np.isfinite(result.transforms["s"]).all()
    assert result.floored == ["s"]
    assert "singular statistics of 1 floored (s)" in result.summary()


def test_posteriors_of_another_model(rng: np.random.Generator) -> None:
    gmms = make_gmms(rng)
    other = DiagGmms(gmms.offsets, gmms.weights, gmms.means + 1, gmms.variances)
    features, pdfs = sample(rng, gmms, 50)
    labels = FrameLabels.of_alignment(pdfs)
    terms = frame_terms(gmms, features, labels, other)
    posteriors = direct_posteriors(other, features, labels)
    assert np.allclose(terms.linear, posteriors @ (gmms.means / gmms.variances), atol=1e-5)


# Two models


def test_alignment_model_keeps_every_gaussian(rng: np.random.Generator) -> None:
    gmms = make_gmms(rng)
    statistics = Statistics(
        np.array([50.0, 60.0, 0.0, 70.0, 3.0, 80.0]), rng.standard_normal((6, DIM)) * 50,
        np.full((6, DIM), 500.0), np.zeros(1),
    )  # fmt: skip
    updated = update_two(gmms, statistics)
    assert updated.num_gauss == gmms.num_gauss
    assert np.array_equal(updated.means[[2, 4]], gmms.means[[2, 4]])
    assert np.isclose(np.add.reduceat(updated.weights, updated.offsets[:-1]), 1.0).all()
    rich = np.array([0, 1])  # where nothing is missing the update is the usual one
    assert np.allclose(updated.means[rich], update_gmms(gmms, statistics).means[rich])
