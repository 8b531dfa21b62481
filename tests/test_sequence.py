"""sMBR, MPFE and MMI against Kaldi's numbers and against one path at a time."""

import gzip
import re
import struct
import subprocess
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from hdnn_nnet.errors import HdnnError
from hdnn_nnet.kaldi.alignments import read_alignments, read_counts
from hdnn_nnet.kaldi.tables import read_matrices
from hdnn_nnet.kaldi.transitions import TransitionModel
from hdnn_nnet.lattice.arcs import LatticeArcs, lattice_arcs, skip_reason
from hdnn_nnet.lattice.table import read_lattice, read_lattices
from hdnn_nnet.lattice.types import LATTICE_ARC, AnyLattice, CompactLattice, Lattice, expand
from hdnn_nnet.sequence.batch import ArcBatch, make_batch
from hdnn_nnet.sequence.forward_backward.engines import get_engine
from hdnn_nnet.sequence.objectives import (
    SequenceOptions,
    SequenceResult,
    arc_scores,
    evaluate,
    frame_accuracy,
    sequence_loss,
)
from tests.support.lattice_cases import MODEL, PDFS, PHONES, all_paths, arc_by_arc, timed_lattices
from tests.support.lattice_cases import Path as LatticePath
from tests.support.posteriors import occupancies

# Without k2, tests/without_k2.py skips the tests that ask for it.
ENGINES = ["torch", "k2"]
# k2 holds scores in single precision.
TOLERANCE = {"torch": 1e-9, "k2": 2e-6}
SETTINGS = [(criterion, one) for criterion in ("smbr", "mpfe") for one in (True, False)]


class Task:
    """The fixture's lattices, alignments and log-likelihoods."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.model = TransitionModel.read(folder / "exp/tri/final.mdl")
        self.alignments = read_alignments(folder / "exp/ali")
        names = [line.split()[0] for line in (folder / "exp/denlats/lat.scp").read_text().splitlines()]
        self.lattices = {u: read_lattice(folder / f"exp/denlats/lat1/{u}.gz") for u in names}
        self.loglikes = {u: m.copy() for u, m in read_matrices(folder / "exp/nnet/loglikes_train.ark")}
        self.silence = tuple(int(p) for p in (folder / "lang/phones/silence.csl").read_text().strip().split(":"))
        self.arcs = {u: lattice_arcs(lattice, self.model, u) for u, lattice in self.lattices.items()}

    def batch(self, *utterances: str) -> ArcBatch:
        return make_batch([self.arcs[u] for u in utterances], [self.alignments[u] for u in utterances], self.model)

    def matrix(self, name: str) -> dict[str, np.ndarray]:
        return dict(read_matrices(self.folder / "exp/smbr_reference" / name))

    def table(self, name: str) -> dict[str, list[float]]:
        rows = (line.split() for line in (self.folder / "exp/smbr_reference" / name).read_text().splitlines())
        return {row[0]: [float(word) for word in row[1:]] for row in rows}


@pytest.fixture(scope="module")
def task(kaldi_fixture: Path) -> Task:
    return Task(kaldi_fixture)


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize(("criterion", "one_class"), SETTINGS)
def test_objective_and_gradient_are_kaldi_s(task: Task, criterion: str, one_class: bool, engine: str) -> None:
    name = f"{criterion}_onesil_{str(one_class).lower()}"
    values, gradients = task.table(f"{name}.txt"), task.matrix(f"{name}.ark.gz")
    options = SequenceOptions(
        criterion=criterion, silence_phones=task.silence, one_silence_class=one_class, engine=engine
    )
    utterances = list(task.arcs)
    assert len(utterances) == 10
    assert set(utterances) == set(values) == set(gradients)
    batch = task.batch(*utterances)
    loglikes = torch.from_numpy(np.concatenate([task.loglikes[u] for u in utterances]))
    together = evaluate(loglikes, batch, options)
    assert together.gradient.dtype == loglikes.dtype
    for number, utterance in enumerate(utterances):
        rows = slice(batch.frame_offsets[number], batch.frame_offsets[number + 1])
        objective, frames = values[utterance][:2]
        alone = evaluate(torch.from_numpy(task.loglikes[utterance]), task.batch(utterance), options)
        for result, row, part in ((together, number, rows), (alone, 0, slice(None))):
            assert result.frames[row] == frames
            assert float(result.objective[row]) == pytest.approx(objective, rel=1e-6)
            expected = gradients[utterance]
            np.testing.assert_allclose(result.gradient[part].numpy(), expected, atol=1e-5 * np.abs(expected).max())
        assert float(together.objective[number]) == pytest.approx(float(alone.objective[0]), rel=1e-9)


@pytest.mark.parametrize("engine", ENGINES)
def test_occupancies_are_kaldi_s(task: Task, engine: str) -> None:
    expected, totals = task.matrix("occupancy.ark.gz"), task.table("occupancy.txt")
    for utterance in task.arcs:
        loglikes = torch.from_numpy(task.loglikes[utterance])
        batch = task.batch(utterance)
        found, log_total = occupancies(batch, loglikes, 0.1, engine)
        np.testing.assert_allclose(found.sum(1).numpy(), 1.0, atol=1e-6)
        np.testing.assert_allclose(found.numpy(), expected[utterance], atol=1e-4)
        assert float(log_total[0]) == pytest.approx(totals[utterance][0], rel=1e-5)
        acoustic = float((found * 0.1 * loglikes).sum())
        assert acoustic == pytest.approx(totals[utterance][1], rel=1e-5)
        # MMI's gradient is the reference minus the occupancies.
        mmi = SequenceOptions(criterion="mmi", engine=engine, drop_frames=False)
        one_hot = torch.nn.functional.one_hot(batch.reference_pdf, batch.num_pdfs)
        np.testing.assert_allclose(
            (one_hot - evaluate(loglikes, batch, mmi).gradient).numpy(), found.numpy(), atol=1e-6
        )


@pytest.mark.parametrize("engine", ENGINES)
def test_posteriors_of_decoding_lattices_are_kaldi_s(task: Task, engine: str) -> None:
    """lattice-to-post --acoustic-scale=0.1 | post-to-pdf-post, by the lattices' own scores."""
    expected = read_posteriors(task.folder / "exp/decode/lat.pdf_post.gz")
    for name in ("lat.1.gz", "lat.noncompact.gz"):
        for key, lattice in read_lattices(task.folder / "exp/decode" / name):
            batch = make_batch([lattice_arcs(lattice, task.model, key)])
            found, _ = occupancies(batch, None, 0.1, engine)
            wanted = np.zeros(found.shape)
            for frame, pairs in enumerate(expected[key]):
                for pdf, value in pairs:
                    wanted[frame, pdf] = value
            np.testing.assert_allclose(found.numpy(), wanted, atol=1e-4)


def read_posteriors(path: Path) -> dict[str, list[list[tuple[int, float]]]]:
    """A binary archive of Kaldi's Posterior."""
    data, position, table = gzip.decompress(path.read_bytes()), 0, {}

    def number() -> int:
        nonlocal position
        assert data[position] == 4
        position += 5
        return struct.unpack_from("<i", data, position - 4)[0]

    while position < len(data):
        end = data.index(b" ", position)
        key, position = data[position:end].decode(), end + 3
        frames = []
        for _ in range(number()):
            pairs = []
            for _ in range(number()):
                pdf = number()
                pairs.append((pdf, struct.unpack_from("<f", data, position + 1)[0]))
                position += 5
            frames.append(pairs)
        table[key] = frames
    return table


def affine_layers(path: Path) -> list[tuple[np.ndarray, np.ndarray]]:
    """Weights and biases of a binary nnet1 file, float64."""
    data, position, layers = path.read_bytes(), 0, []
    while (position := data.find(b"FM ", position)) >= 0:
        rows, columns = struct.unpack_from("<xixi", data, position + 3)
        weights = np.frombuffer(data, "<f4", rows * columns, position + 13).reshape(rows, columns)
        position = data.index(b"FV ", position + 13 + 4 * rows * columns)
        layers.append((weights.astype(float), np.frombuffer(data, "<f4", rows, position + 8).astype(float)))
        position += 8 + 4 * rows
    return layers


def normalised_features(folder: Path, utterance: str) -> np.ndarray:
    """(frames, dim) float64 features of a training utterance, normalised by speaker."""
    import kaldiio

    features = dict(read_matrices(folder / "data/train/feats_float.ark"))[utterance].astype(np.float64)
    statistics = dict(kaldiio.load_ark(str(folder / "data/train/cmvn.ark")))[utterance.split("-")[0]]
    return features - statistics[0, :-1] / statistics[0, -1]


def gradients_of_network(
    task: Task, utterance: str, options: SequenceOptions
) -> tuple[list[np.ndarray], list[np.ndarray], SequenceResult]:
    """Parameters of the fixture's network in the order of its file, and the gradients of the loss."""
    folder = task.folder
    features = normalised_features(folder, utterance)
    vectors = [
        np.array(line.partition("[")[2].strip(" ]\n").split(), float)
        for line in (folder / "exp/nnet/final.feature_transform").read_text().splitlines()
        if "[" in line
    ]
    rows = np.clip(np.arange(len(features))[:, None] + vectors[0].astype(int), 0, len(features) - 1)
    inputs = (features[rows].reshape(len(features), -1) + vectors[1]) * vectors[2]
    layers = affine_layers(folder / "exp/nnet/final.nnet")
    parameters = [torch.tensor(p, requires_grad=True) for layer in layers for p in layer]
    hidden = torch.from_numpy(inputs)
    for weights, bias in zip(parameters[:-2:2], parameters[1:-2:2], strict=True):
        hidden = (hidden @ weights.T + bias).sigmoid()
    counts = read_counts(folder / "exp/nnet/class_frame_counts")
    logits = hidden @ parameters[-2].T + parameters[-1]
    loglikes = logits - torch.from_numpy(np.log(counts / counts.sum()))
    loss, result = sequence_loss(loglikes, task.batch(utterance), options)
    loss.backward()
    assert all(p.grad is not None for p in parameters)
    return [p.detach().numpy() for p in parameters], [p.grad.numpy() for p in parameters if p.grad is not None], result


def compare_update(before: list[np.ndarray], gradients: list[np.ndarray], updated: Path, rate: float) -> None:
    """One step of nnet1's gradient descent; the bias of the output layer has a tenth of the learning rate."""
    after = [p for layer in affine_layers(updated) for p in layer]
    rates = [rate] * (len(after) - 1) + [0.1 * rate]
    for old, gradient, new, factor in zip(before, gradients, after, rates, strict=True):
        np.testing.assert_allclose(old - factor * gradient, new, atol=2e-6)
        assert np.abs(old - new).max() > 1e-4  # the comparison sees the update


@pytest.mark.parametrize("engine", ENGINES)
def test_one_update_of_a_network_is_kaldi_s(task: Task, engine: str) -> None:
    """nnet-train-mpe-sequential on one utterance, learning rate 0.001."""
    options = SequenceOptions(criterion="smbr", silence_phones=task.silence, engine=engine)
    before, gradients, _ = gradients_of_network(task, "spkA-train1", options)
    compare_update(before, gradients, task.folder / "exp/smbr_reference/one_update.nnet", 0.001)


@pytest.mark.kaldi
@pytest.mark.parametrize(("boost", "drop"), [(0.0, True), (0.0, False), (0.2, True)])
def test_mmi_update_is_kaldi_s(
    task: Task, kaldi_root: Path, tmp_path: Path, boost: float, drop: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """nnet-train-mmi-sequential on one utterance, behind lattice-boost-ali."""
    import kaldiio

    trainer, booster = kaldi_root / "src/nnetbin/nnet-train-mmi-sequential", kaldi_root / "src/latbin/lattice-boost-ali"
    if not (trainer.exists() and booster.exists()):
        pytest.skip(f"{trainer.name} or {booster.name} is not built")
    utterance, folder = "spkA-train1", task.folder
    monkeypatch.chdir(folder)
    kaldiio.save_ark(f"{tmp_path}/feats.ark", {utterance: normalised_features(folder, utterance).astype(np.float32)})
    silence = ":".join(map(str, task.silence))
    done = subprocess.run(
        [
            trainer, "--use-gpu=no", "--feature-transform=exp/nnet/final.feature_transform",
            "--class-frame-counts=exp/nnet/class_frame_counts", "--acoustic-scale=0.1", "--lm-scale=1.0",
            "--learn-rate=0.001", "--momentum=0", f"--drop-frames={str(drop).lower()}", "exp/nnet/final.nnet",
            "exp/tri/final.mdl", f"ark:{tmp_path}/feats.ark",
            f"ark:{booster} --b={boost} --silence-phones={silence} exp/tri/final.mdl scp:exp/denlats/lat.scp "
            "'ark:gunzip -c exp/ali/ali.1.gz|' ark:- |",
            "ark:gunzip -c exp/ali/ali.1.gz|", f"{tmp_path}/updated.nnet",
        ],
        stderr=subprocess.PIPE, text=True, check=True,
    )  # fmt: skip
    options = SequenceOptions(
        criterion="mmi", silence_phones=task.silence, boost=boost, drop_frames=drop, engine="torch"
    )
    before, gradients, result = gradients_of_network(task, utterance, options)
    compare_update(before, gradients, tmp_path / "updated.nnet", 0.001)
    found = re.search(
        r"MMI-objective/frame is (\S+) over (\d+) frames, \(average den-posterior on ali (\S+), dropped (\d+)",
        done.stderr,
    )
    assert found
    frames = int(result.frames[0])
    assert float(result.objective[0]) / frames == pytest.approx(float(found[1]), rel=1e-5)
    assert frames == int(found[2])
    assert float(result.reference_posterior[0]) / frames == pytest.approx(float(found[3]), rel=1e-4)
    assert int(result.dropped[0]) == int(found[4])


def brute_force(
    paths: list[LatticePath], loglikes: np.ndarray, reference: np.ndarray, options: SequenceOptions
) -> tuple[float, np.ndarray, np.ndarray]:
    """Objective, G, and posteriors of pdfs, from all paths."""

    def pdf(i: int) -> int:
        return int(MODEL.tid_to_pdf[i])

    def phone(i: int) -> int:
        return int(MODEL.tid_to_phone[i])

    scores, right = [], []
    for path in paths:
        frames = sum(loglikes[t, pdf(i)] for t, i in enumerate(path.ids))
        acoustic = frames - options.old_acoustic_scale * path.acoustic
        graph = -path.graph
        correct = 0
        for t, i in enumerate(path.ids):
            silent = phone(i) in options.silence_phones
            both = silent and phone(reference[t]) in options.silence_phones
            same = phone(i) == phone(reference[t]) if options.criterion == "mpfe" else pdf(i) == pdf(reference[t])
            correct += (same or both) if options.one_silence_class else (same and not silent)
            if options.boost and phone(i) != phone(reference[t]):
                graph += options.boost * (options.max_silence_error if silent else 1.0)
        scores.append(options.lm_scale * graph + options.acoustic_scale * acoustic)
        right.append(correct)
    total = np.logaddexp.reduce(scores)
    posterior = np.exp(np.array(scores) - total)
    occupancy, gain = np.zeros_like(loglikes), np.zeros_like(loglikes)
    mean = float(posterior @ np.array(right))
    for path, p, correct in zip(paths, posterior, right, strict=True):
        for t, i in enumerate(path.ids):
            occupancy[t, pdf(i)] += p
            gain[t, pdf(i)] += p * (correct - mean)
    if options.criterion != "mmi":
        return mean, gain, occupancy
    one_hot = np.zeros_like(loglikes)
    pdfs = MODEL.tid_to_pdf[reference]
    one_hot[np.arange(len(pdfs)), pdfs] = 1
    gradient = one_hot - occupancy
    if options.drop_frames:
        gradient[(occupancy * one_hot).sum(1) < 1e-20] = 0
    return float(options.acoustic_scale * (one_hot * loglikes).sum() - total), gradient, occupancy


@st.composite
def utterances(draw: st.DrawFn) -> tuple[CompactLattice, list[LatticePath], np.ndarray, np.ndarray]:
    """A lattice, its paths, log-likelihoods (frames, pdfs), and an alignment."""
    lattice = draw(timed_lattices())
    paths = all_paths(lattice)
    assume(paths)
    frames = len(paths[0].ids)
    seed = draw(st.integers(0, 2**31))
    loglikes = np.random.default_rng(seed).normal(scale=4.0, size=(frames, PDFS))
    reference = draw(st.lists(st.integers(1, MODEL.num_transition_ids), min_size=frames, max_size=frames))
    return lattice, paths, loglikes, np.array(reference)


@st.composite
def all_options(draw: st.DrawFn, engine: str) -> SequenceOptions:
    criterion = draw(st.sampled_from(["smbr", "mpfe", "mmi"]))
    return SequenceOptions(
        criterion=criterion,
        acoustic_scale=draw(st.sampled_from([0.1, 0.5, 1.0])),
        lm_scale=draw(st.sampled_from([1.0, 0.7])),
        old_acoustic_scale=draw(st.sampled_from([0.0, 1.0])),
        silence_phones=tuple(draw(st.sets(st.integers(1, PHONES)))),
        one_silence_class=draw(st.booleans()),
        boost=draw(st.sampled_from([0.0, 0.3])) if criterion == "mmi" else 0.0,
        max_silence_error=draw(st.sampled_from([0.0, 0.5])),
        drop_frames=draw(st.booleans()),
        engine=engine,
    )


def forms(lattice: CompactLattice, where: str = "lattice") -> Iterator[LatticeArcs]:
    """The same lattice by three ways."""
    yield lattice_arcs(lattice, MODEL, where)
    yield lattice_arcs(expand(lattice), MODEL, where)
    yield lattice_arcs(arc_by_arc(expand(lattice)), MODEL, where)


@pytest.mark.parametrize("engine", ENGINES)
@given(data=st.data())
@settings(max_examples=60, deadline=None)
def test_brute_force(engine: str, data: st.DataObject) -> None:
    lattice, paths, loglikes, reference = data.draw(utterances())
    options = data.draw(all_options(engine))
    objective, gradient, occupancy = brute_force(paths, loglikes, reference, options)
    for arcs in forms(lattice):
        batch = make_batch([arcs], [reference], MODEL)
        result = evaluate(torch.from_numpy(loglikes), batch, options)
        assert float(result.objective[0]) == pytest.approx(objective, rel=1e-9, abs=TOLERANCE[engine])
        np.testing.assert_allclose(result.gradient.numpy(), gradient, atol=TOLERANCE[engine])
        if options.criterion == "mmi":
            on_reference = occupancy[np.arange(len(reference)), MODEL.tid_to_pdf[reference]]
            assert int(result.dropped[0]) == (int((on_reference < 1e-20).sum()) if options.drop_frames else 0)
            assert float(result.reference_posterior[0]) == pytest.approx(on_reference.sum(), abs=TOLERANCE[engine])


@given(data=st.data())
@settings(max_examples=30, deadline=None)
def test_gradient_by_central_differences(data: st.DataObject) -> None:
    lattice, paths, loglikes, reference = data.draw(utterances())
    options = data.draw(all_options("torch").filter(lambda o: o.criterion != "mmi" or not o.drop_frames))
    batch = make_batch([lattice_arcs(lattice, MODEL)], [reference], MODEL)
    found = evaluate(torch.from_numpy(loglikes), batch, options).gradient.numpy()
    step = 1e-4
    for t, pdf in np.ndindex(*loglikes.shape):
        moved = np.zeros_like(loglikes)
        moved[t, pdf] = step
        up, down = (brute_force(paths, loglikes + sign * moved, reference, options)[0] for sign in (1, -1))
        assert (up - down) / (2 * step) == pytest.approx(options.acoustic_scale * found[t, pdf], abs=1e-6)


@pytest.mark.parametrize("engine", ENGINES)
@given(data=st.data())
@settings(max_examples=25, deadline=None)
def test_a_batch_equals_its_utterances(engine: str, data: st.DataObject) -> None:
    items = data.draw(st.lists(utterances(), min_size=2, max_size=4))
    options = data.draw(all_options(engine))
    arcs = [data.draw(st.sampled_from(list(forms(lattice)))) for lattice, *_ in items]
    batch = make_batch(arcs, [reference for *_, reference in items], MODEL)
    together = evaluate(torch.from_numpy(np.concatenate([loglikes for _, _, loglikes, _ in items])), batch, options)
    alone = [
        evaluate(torch.from_numpy(loglikes), make_batch([one], [reference], MODEL), options)
        for one, (_, _, loglikes, reference) in zip(arcs, items, strict=True)
    ]
    for name in ("objective", "frames", "log_total", "gradient", "dropped", "reference_posterior"):
        pieces = torch.cat([getattr(result, name) for result in alone])
        np.testing.assert_allclose(
            getattr(together, name).numpy(), pieces.numpy(), atol=TOLERANCE[engine], err_msg=name
        )


@pytest.mark.parametrize("engine", ENGINES)
@given(data=st.data())
@settings(max_examples=20, deadline=None)
def test_a_pdf_without_prior_only_removes_its_paths(engine: str, data: st.DataObject) -> None:
    lattice, paths, loglikes, reference = data.draw(utterances())
    possible = [p for p in paths if 0 not in MODEL.tid_to_pdf[list(p.ids)]]
    assume(possible)
    options = SequenceOptions(criterion="smbr", acoustic_scale=0.1, engine=engine)
    objective, gradient, _ = brute_force(possible, loglikes, reference, options)
    loglikes[:, 0] -= np.sqrt(np.finfo(np.float32).max)  # Kaldi's log-prior of a pdf that was never seen
    result = evaluate(
        torch.from_numpy(loglikes), make_batch([lattice_arcs(lattice, MODEL)], [reference], MODEL), options
    )
    assert float(result.objective[0]) == pytest.approx(objective, abs=TOLERANCE[engine])
    np.testing.assert_allclose(result.gradient.numpy(), gradient, atol=TOLERANCE[engine])


@given(data=st.data())
@settings(max_examples=40, deadline=None)
def test_engines_agree_to_the_rounding_of_k2_s_scores(data: st.DataObject) -> None:
    lattice, _, loglikes, reference = data.draw(utterances())
    batch = make_batch([lattice_arcs(lattice, MODEL)], [reference], MODEL)
    scores = arc_scores(batch, torch.from_numpy(loglikes), 1.0, 1.0)
    accuracy = torch.from_numpy(np.random.default_rng(1).normal(size=batch.num_arcs))
    a, b = (get_engine(name)(batch, scores, accuracy) for name in ENGINES)
    for name in ("log_total", "occupancy", "expected", "gain"):
        np.testing.assert_allclose(getattr(a, name).numpy(), getattr(b, name).numpy(), atol=3e-6, err_msg=name)


@pytest.mark.parametrize("peak", [1.0, 10.0, 100.0])
def test_where_the_engines_part_on_lattices_with_nearly_one_path(task: Task, peak: float) -> None:
    """k2 differentiates in single precision: gains are right to 1e-5 (of a frame), however small they are."""
    for utterance in task.arcs:
        batch = task.batch(utterance)
        scores = arc_scores(batch, torch.from_numpy(task.loglikes[utterance]), 0.1 * peak, 0.1 * peak)
        accuracy = batch.entry_sum(
            frame_accuracy(batch, SequenceOptions(criterion="mpfe", silence_phones=task.silence))
        )
        exact, found = (get_engine(name)(batch, scores, accuracy) for name in ENGINES)
        np.testing.assert_allclose(found.occupancy.numpy(), exact.occupancy.numpy(), atol=2e-6)
        assert found.gain is not None
        assert exact.gain is not None
        np.testing.assert_allclose(found.gain.numpy(), exact.gain.numpy(), atol=1e-5)


def test_loss_has_the_gradient_of_the_result(task: Task) -> None:
    utterance = "spkC-train3"
    raw = torch.from_numpy(task.loglikes[utterance]).requires_grad_()
    loss, result = sequence_loss(raw, task.batch(utterance), SequenceOptions(criterion="smbr", engine="torch"))
    (3.0 * loss).backward()
    assert raw.grad is not None
    assert float(loss) == -float(result.objective.sum())
    np.testing.assert_array_equal(raw.grad.numpy(), -3.0 * result.gradient.numpy())
    # Constants of a frame do not matter: through log-softmax the gradient at the logits is the same.
    logits = torch.from_numpy(task.loglikes[utterance]).double().requires_grad_()
    sequence_loss(logits.log_softmax(1), task.batch(utterance), SequenceOptions(criterion="smbr", engine="torch"))[
        0
    ].backward()
    assert logits.grad is not None
    np.testing.assert_allclose(logits.grad.numpy(), -result.gradient.numpy(), atol=1e-5)


@given(data=st.data())
@settings(max_examples=40, deadline=None)
def test_unused_outputs_need_not_be_computed(data: st.DataObject) -> None:
    lattice, paths, values, reference = data.draw(utterances())
    options = data.draw(all_options("torch"))
    batch = make_batch([lattice_arcs(lattice, MODEL)], [reference], MODEL)
    loglikes = torch.from_numpy(values)
    pdfs, small = batch.used_pdfs()
    heard = {int(MODEL.tid_to_pdf[i]) for path in paths for i in path.ids}
    assert pdfs.tolist() == sorted(heard | set(MODEL.tid_to_pdf[reference].tolist()))
    full, part = evaluate(loglikes, batch, options), evaluate(loglikes[:, pdfs], small, options)
    assert torch.equal(full.objective, part.objective)
    assert torch.equal(full.gradient[:, pdfs], part.gradient)
    assert full.gradient.count_nonzero() == part.gradient.count_nonzero()


def test_boosting_moves_mass_to_errors(task: Task) -> None:
    utterance = "spkB-train2"
    loglikes, batch = torch.from_numpy(task.loglikes[utterance]), task.batch(utterance)
    values = [
        evaluate(
            loglikes, batch, SequenceOptions(criterion="mmi", silence_phones=task.silence, boost=b, engine="torch")
        )
        for b in (0.0, 0.1, 0.5)
    ]
    totals = [float(v.log_total[0]) for v in values]
    posteriors = [float(v.reference_posterior[0]) for v in values]
    assert totals == sorted(totals)
    assert posteriors[0] > posteriors[1] > posteriors[2]


def linear(*ids: int) -> Lattice:
    """One path."""
    arcs = np.array([(i, 0, 0.5, 1.0, n + 1) for n, i in enumerate(ids)], LATTICE_ARC)
    final = np.full((len(ids) + 1, 2), np.inf, np.float32)
    final[-1] = 0
    return Lattice(0, np.array([*range(len(ids) + 1), len(ids)]), arcs, final)


def test_bad_lattices_are_refused_by_name() -> None:
    def refused(lattice: AnyLattice, message: str) -> None:
        with pytest.raises(HdnnError, match=f"den.ark, key utt: .*{message}"):
            lattice_arcs(lattice, MODEL, "den.ark, key utt")

    good = linear(1, 3, 5)
    assert lattice_arcs(good, MODEL).num_frames == 3
    cycle = linear(1, 3, 5)
    cycle.arcs["nextstate"][1] = 1
    cycle.final[1] = 0
    refused(cycle, "cycle")
    no_final = linear(1, 3, 5)
    no_final.final[:] = np.inf
    refused(no_final, "no final state")
    gap = np.array([(1, 0, 0, 0, 1), (5, 0, 0, 0, 3)], LATTICE_ARC)
    refused(Lattice(0, np.array([0, 1, 1, 2, 2]), gap, good.final), "no path")
    empty = Lattice(-1, np.zeros(1, np.int64), np.zeros(0, LATTICE_ARC), np.zeros((0, 2), np.float32))
    refused(empty, "empty")
    refused(linear(0, 0), "no frames")
    refused(linear(1, 99), "transition-ids 1 to 99, but the model has 1 to 10")
    ends = linear(1, 3, 5)
    ends.final[1] = 0
    refused(ends, "1 to 3 frames")
    meeting = np.array([(1, 0, 0, 0, 1), (1, 0, 0, 0, 2), (1, 0, 0, 0, 2)], LATTICE_ARC)
    final = np.array([[np.inf, np.inf], [np.inf, np.inf], [0, 0]], np.float32)
    refused(Lattice(0, np.array([0, 2, 3, 3]), meeting, final), "meet in one state")


def test_bad_batches_are_refused_by_name() -> None:
    arcs = lattice_arcs(linear(1, 3, 5), MODEL, "den.ark, key utt")
    options = SequenceOptions(engine="torch")
    with pytest.raises(HdnnError, match=r"den\.ark, key utt: the lattice has 3 frames, the alignment 2"):
        make_batch([arcs], [np.array([1, 2])], MODEL)
    with pytest.raises(HdnnError, match=r"den\.ark, key utt: .*transition-ids 1 to 11"):
        make_batch([arcs], [np.array([1, 2, 11])], MODEL)
    batch = make_batch([arcs], [np.array([1, 2, 3])], MODEL)
    for shape in ((2, PDFS), (3, PDFS + 1)):
        with pytest.raises(HdnnError, match=rf"den\.ark, key utt: .*{shape[0]} frames of {shape[1]} pdfs"):
            evaluate(torch.zeros(shape), batch, options)
    with pytest.raises(HdnnError, match=r"den\.ark, key utt: .*frame 1 is not finite"):
        evaluate(torch.tensor([[0.0] * PDFS, [float("nan")] * PDFS, [0.0] * PDFS]), batch, options)
    with pytest.raises(HdnnError, match="without alignments"):
        evaluate(torch.zeros(3, PDFS), make_batch([arcs]), options)
    with pytest.raises(HdnnError, match="without lattices"):
        make_batch([])
    for wrong in ({"criterion": "mce"}, {"boost": 0.1}, {"max_silence_error": 2.0}):
        with pytest.raises(HdnnError):
            SequenceOptions(**wrong)  # type: ignore[arg-type]  # a dictionary of mixed types
    with pytest.raises(HdnnError, match="no lattice engine"):
        get_engine("openfst")


def test_what_is_skipped() -> None:
    assert skip_reason(100, 100, 100) is None
    assert skip_reason(100, 100, 99) == "the alignment has 99 frames, the features 100"
    assert skip_reason(100, 98, 100) == "the lattice has 98 frames, the features 100"
    assert skip_reason(6001, 6001, 6001) == "6001 frames are more than the limit of 6000"
    assert skip_reason(6001, 6001, 6001, 7000) is None
