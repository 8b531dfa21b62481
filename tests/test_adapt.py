"""Speaker adaptation: a step against float64, only what is named moves, neither order nor jobs nor odd speakers matter."""

import json
import shutil
from pathlib import Path
from typing import Any

import kaldiio
import numpy as np
import pytest
import torch

from hdnn_nnet.adapt.labels import HardLabels
from hdnn_nnet.adapt.loop import DIVERGED, GUARDED, NO_LABELS, TOO_FEW, AdaptOptions, adapt_speaker
from hdnn_nnet.adapt.speaker import SpeakerData, read_speaker
from hdnn_nnet.adapt.store import AdaptDir, file_name
from hdnn_nnet.adapt.switch import SpeakerSwitch
from hdnn_nnet.cli import call
from hdnn_nnet.errors import HdnnError
from hdnn_nnet.feats.reader import FeatureReader
from hdnn_nnet.kaldi.alignments import read_pdf_alignments
from hdnn_nnet.kaldi.posteriors import PosteriorTable, PosteriorWriter, SparsePosteriors
from hdnn_nnet.kaldi.split import split_data
from hdnn_nnet.kaldi.transitions import TransitionModel
from hdnn_nnet.nn.model_dir import load_model, save_model
from hdnn_nnet.nn.networks import choose_parameters
from hdnn_nnet.nn.tensor_file import load_tensors
from hdnn_nnet.train.columns import DenseColumn
from tests.support.small_task import DIM, PDFS, make

SETTINGS = ["--precision=fp32", "--device=cpu"]
GROUPS = {"gates": {"gates"}, "hidden": {"input.weight", "input.bias", "weights", "biases"}}
GROUPS["softmax"] = {"output.weight", "output.bias"}
GROUPS["gates,softmax"] = GROUPS["gates"] | GROUPS["softmax"]
GROUPS["all"] = GROUPS["gates"] | GROUPS["softmax"] | GROUPS["hidden"]


@pytest.fixture(scope="module")
def task(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path, Path]:
    """A data directory of five speakers, the directory of its alignments, and a network."""
    folder = tmp_path_factory.mktemp("adapt")
    data_tr, data_cv, ali = make(folder)
    options = [
        "--network=hdnn-h8l3",
        "--splice=1",
        "--max-iters=4",
        "--learn-rate=0.01",
        "--minibatch-size=64",
        *SETTINGS,
    ]
    model = folder / "model"
    assert call("train ce", [*options, str(data_tr), str(data_cv), str(ali), str(ali), str(model)]) == 0
    return data_tr, ali, model


def write_labels(task: tuple[Path, Path, Path], path: Path, seed: int = 1, without: tuple[str, ...] = ()) -> Path:
    """A first pass: the true pdfs with random confidences, a tenth of the frames wrong."""
    data, ali, model = task
    generator = np.random.default_rng(seed)
    pdfs = read_pdf_alignments(ali, TransitionModel.read(model / "final.mdl"))
    with PosteriorWriter(f"ark,scp:{path}.ark,{path}.scp") as writer:
        for utt in FeatureReader(data).utts:
            if utt in without:
                continue
            labels = np.where(generator.random(len(pdfs[utt])) < 0.1, 0, pdfs[utt]).astype(np.int32)
            weights = generator.uniform(0.2, 1, len(labels)).astype(np.float32)
            writer.write_posteriors(utt, SparsePosteriors(np.arange(len(labels) + 1), labels, weights))
    return Path(f"{path}.scp")


def run_adapt(task: tuple[Path, Path, Path], labels: Path | str, folder: Path, *options: str, data: Path | None = None):
    """One job, and the index."""
    source = data or task[0]
    assert call("adapt", [*SETTINGS, *options, str(source), str(task[2]), str(labels), str(folder)]) == 0
    assert call("collect adapt", ["1", str(source), str(folder)]) == 0
    return AdaptDir(folder)


def numpy_loss(parameters: dict[str, np.ndarray], windows: np.ndarray, targets: np.ndarray) -> float:
    """-sum of targets * log softmax, by the paper's equations in float64; targets (N, S)."""

    def sigmoid(x: np.ndarray) -> np.ndarray:
        return 1 / (1 + np.exp(-x))

    h = sigmoid(windows @ parameters["input.weight"].T + parameters["input.bias"])
    width = h.shape[1]
    transform, carry = parameters["gates"][0, :width], parameters["gates"][0, width:]
    for weight, bias in zip(parameters["weights"], parameters["biases"], strict=True):
        h = sigmoid(h @ weight.T + bias) * sigmoid(h @ transform.T) + h * sigmoid(h @ carry.T)
    z = h @ parameters["output.weight"].T + parameters["output.bias"]
    z -= z.max(1, keepdims=True)
    log_y = z - np.log(np.exp(z).sum(1, keepdims=True))
    return float(-(targets * log_y).sum())


def reference_step(model_dir: Path, features: list[np.ndarray], targets: np.ndarray, rate: float) -> np.ndarray:
    """The gates after one update on all frames, with the gradient by central differences."""
    tensors = {k: v.numpy().astype(np.float64) for k, v in load_tensors(model_dir / "final.safetensors").items()}
    windows = []
    for matrix in features:
        normal = (matrix.astype(np.float64) - tensors["mean"]) * tensors["inverse_std"]
        padded = np.concatenate([normal[:1], normal, normal[-1:]])
        windows.append(np.concatenate([padded[:-2], padded[1:-1], padded[2:]], 1))
    frames = np.concatenate(windows)
    gates = tensors["gates"]
    gradient = np.zeros_like(gates)
    for place in np.ndindex(*gates.shape):
        before = gates[place]
        values = []
        for shift in (1e-5, -1e-5):
            gates[place] = before + shift
            values.append(numpy_loss(tensors, frames, targets))
        gates[place] = before
        gradient[place] = (values[0] - values[1]) / 2e-5
    return gates - rate * gradient


@pytest.mark.parametrize("kind", ["hard", "confidence", "weighted", "supervised", "soft"])
def test_one_step_against_float64(task: tuple[Path, Path, Path], kind: str, tmp_path: Path) -> None:
    data, ali, model = task
    labels: Path | str = write_labels(task, tmp_path / "labels")
    table = PosteriorTable(labels)
    options = ["--iters=1", "--rate=0.01", "--minibatch-size=1000000", "--held-out=0", "--keep-mass=1"]
    options += {"confidence": ["--min-confidence=0.5"], "weighted": ["--weight-frames", "--min-confidence=0.3"]}.get(
        kind, []
    )
    if kind in ("soft", "supervised"):
        options += [f"--labels={kind}"]
        labels = ali
    if kind == "soft":
        teacher = tmp_path / "teacher"
        shutil.copytree(model, teacher)
        network = load_model(model)
        network.initialise(8)
        save_model(network, teacher)
        labels = teacher
        assert call("forward", ["--output=posteriors", str(teacher), str(data), f"ark:{tmp_path}/soft.ark"]) == 0
        posteriors = dict(kaldiio.load_ark(f"{tmp_path}/soft.ark"))
    store = run_adapt(task, labels, tmp_path / "adapted", *options)
    pdfs = read_pdf_alignments(ali, TransitionModel.read(model / "final.mdl"))
    reader = FeatureReader(data)
    base = load_tensors(model / "final.safetensors")["gates"].numpy()
    for speaker in ("s0", "s3"):
        utts = [u for u in reader.utts if reader.utt2spk[u] == speaker]
        targets = []
        for utt in utts:
            truth = pdfs[utt] if kind == "supervised" else table[utt].pdfs
            weights = np.ones(len(truth))
            if kind == "confidence":
                weights = (table[utt].weights >= 0.5).astype(np.float64)
            elif kind == "weighted":
                weights = np.where(table[utt].weights >= 0.3, table[utt].weights, 0)
            targets.append(posteriors[utt] if kind == "soft" else np.eye(PDFS)[truth] * weights[:, None])
        wanted = reference_step(model, [reader[u] for u in utts], np.concatenate(targets), 0.01)
        got = store.load(speaker)
        assert got is not None
        assert list(got) == ["gates"]
        # What is compared is the step, not the gates that it starts from.
        scale = np.abs(wanted - base).max()
        assert scale > 1e-3
        np.testing.assert_allclose(got["gates"].numpy() - base, wanted - base, atol=2e-4 * scale)
        count = sum(int((t.sum(1) > 0).sum()) for t in targets)
        assert store.speakers[speaker]["frames"] == count


@pytest.mark.parametrize("labels", ["hard", "supervised"])
def test_frames_of_unseen_pdfs_are_left_out(task: tuple[Path, Path, Path], labels: str, tmp_path: Path) -> None:
    data, ali, model_dir = task
    model = tmp_path / "model"
    shutil.copytree(model_dir, model)
    source = write_labels(task, tmp_path / "labels") if labels == "hard" else ali
    table = PosteriorTable(tmp_path / "labels.scp") if labels == "hard" else None
    pdfs = read_pdf_alignments(ali, TransitionModel.read(model / "final.mdl"))
    reader = FeatureReader(data)
    of = {u: table[u].pdfs if table else pdfs[u] for u in reader.utts}
    (model / "ali_train_pdf.counts").write_text(" [ 90 90 0.5 90 90 ]\n")
    options = [f"--labels={labels}", "--update=softmax", "--held-out=0", "--rate=0.005"]
    changed = (data, ali, model)
    store = run_adapt(changed, source, tmp_path / "adapted", *options)
    everything = run_adapt(changed, source, tmp_path / "all", *options, "--skip-unseen=false")
    base = load_tensors(model / "final.safetensors")["output.bias"]
    for speaker in ("s0", "s4"):
        labelled = np.concatenate([of[u] for u in reader.utts if reader.utt2spk[u] == speaker])
        assert store.speakers[speaker]["frames"] == int((labelled != 2).sum()) < len(labelled)
        assert everything.speakers[speaker]["frames"] == len(labelled)
        tensors = store.load(speaker)
        assert tensors is not None
        assert tensors["output.bias"][2] < base[2]  # no frame speaks for it
    (model / "ali_train_pdf.counts").write_text(" [ 90 90 ]\n")
    with pytest.raises(HdnnError, match="has 2 pdfs but the network has 5"):
        run_adapt(changed, source, tmp_path / "wrong", *options)


@pytest.mark.parametrize("update", GROUPS)
def test_only_the_named_group_moves(task: tuple[Path, Path, Path], update: str, tmp_path: Path) -> None:
    model_dir = task[2]
    labels = write_labels(task, tmp_path / "labels")
    store = run_adapt(task, labels, tmp_path / "adapted", f"--update={update}", "--rate=0.005", "--guard=false")
    base = load_tensors(model_dir / "final.safetensors")
    model = load_model(model_dir)
    switch = SpeakerSwitch(model, tmp_path / "adapted", model_dir)
    for speaker in ("s1", "s4", "s1"):
        switch.use(speaker)
        tensors = store.load(speaker)
        assert tensors is not None
        assert tensors.keys() == GROUPS[update]
        for name, value in model.state_dict().items():
            moved = name in GROUPS[update]
            assert torch.equal(value, tensors[name] if moved else base[name])
            assert torch.equal(value, base[name]) is not moved
    switch.use("nobody")
    for name, value in model.state_dict().items():
        assert torch.equal(value, base[name])
    assert (switch.adapted, switch.independent) == ({"s1", "s4"}, {"nobody"})
    sizes = [(tmp_path / "adapted" / file_name(s)).stat().st_size for s in ("s0", "s1", "s2", "s3", "s4")]
    assert max(sizes) < 4 * sum(base[n].numel() for n in GROUPS[update]) + 1000


def test_unknown_groups(task: tuple[Path, Path, Path], tmp_path: Path) -> None:
    labels = write_labels(task, tmp_path / "labels")
    with pytest.raises(HdnnError, match="no parameter group gate; there are hidden, gates, softmax"):
        run_adapt(task, labels, tmp_path / "adapted", "--update=gate")
    with pytest.raises(HdnnError, match="--early-stop needs frames"):
        run_adapt(task, labels, tmp_path / "adapted", "--held-out=0", "--early-stop")


def test_parameters_of_another_network_are_refused(task: tuple[Path, Path, Path], tmp_path: Path) -> None:
    data, _, model_dir = task
    store = run_adapt(task, write_labels(task, tmp_path / "labels"), tmp_path / "adapted")
    other = tmp_path / "other"
    shutil.copytree(model_dir, other)
    model = load_model(other)
    with torch.no_grad():  # the same network but for one bit of one bias
        model.output.bias[0] = torch.nextafter(model.output.bias[0], torch.tensor(9.0))
    save_model(model, other)
    words = [f"--adapt-dir={store.path}", str(other), str(data), "ark:/dev/null"]
    with pytest.raises(HdnnError, match=r"was adapted from another network \(.*model\) than .*other"):
        call("forward", words)
    # Written again without a change it is the same network.
    save_model(load_model(model_dir), other)
    assert call("forward", words) == 0
    (store.path / "index.json").unlink()
    with pytest.raises(HdnnError, match=r"index.json does not exist; adapt"):
        call("forward", words)


def reordered(data: Path, target: Path, seed: int) -> Path:
    """The same data directory with speakers and utterances in another order."""
    target.mkdir()
    for name in ("feats.scp", "utt2spk"):
        lines = (data / name).read_text().splitlines()
        order = np.random.default_rng(seed).permutation(len(lines))
        (target / name).write_text("".join(lines[i] + "\n" for i in order))
    return target


def test_order_and_jobs_change_no_bit(task: tuple[Path, Path, Path], tmp_path: Path) -> None:
    data, _, model = task
    labels = write_labels(task, tmp_path / "labels")
    one = run_adapt(task, labels, tmp_path / "one")
    files = {name: (one.path / name).read_bytes() for name in (file_name(f"s{i}") for i in range(5))}
    assert len(set(files.values())) == 5
    shuffled = run_adapt(task, labels, tmp_path / "shuffled", data=reordered(data, tmp_path / "data", 3))
    copy = tmp_path / "copy"
    shutil.copytree(data, copy)
    split = split_data(copy, 3)
    for job in (3, 1, 2):
        words = [*SETTINGS, f"--job={job}", str(split / str(job)), str(model), str(labels), str(tmp_path / "three")]
        assert call("adapt", words) == 0
    assert call("collect adapt", ["3", str(copy), str(tmp_path / "three")]) == 0
    three = AdaptDir(tmp_path / "three")
    for other in (shuffled, three):
        for name, content in files.items():
            assert (other.path / name).read_bytes() == content
        for speaker, entry in one.speakers.items():
            entry["seconds"] = other.speakers[speaker]["seconds"]
            assert other.speakers[speaker] == entry
    assert list(three.speakers) == list(one.speakers)


def test_odd_speakers_do_not_fail_the_job(task: tuple[Path, Path, Path], tmp_path: Path) -> None:
    """One short utterance, one frame, silence only, an empty hypothesis, labels of another length."""
    data, _, model = task
    generator = np.random.default_rng(2)
    silence = np.full((200, DIM), 0.1, np.float32)
    odd = {
        "short": generator.standard_normal((30, DIM)).astype(np.float32),
        "frame": silence[:1],
        "silence": silence,
        "empty": generator.standard_normal((300, DIM)).astype(np.float32),
        "unequal": generator.standard_normal((300, DIM)).astype(np.float32),
        "a/b c%": generator.standard_normal((300, DIM)).astype(np.float32)[:, ::-1].copy(),
    }
    odd = {name.replace(" ", "_"): matrix for name, matrix in odd.items()}
    folder = tmp_path / "data"
    folder.mkdir()
    kaldiio.save_ark(str(folder / "feats.ark"), odd, scp=str(folder / "feats.scp"))
    shutil.copy(data / "utt2spk", folder / "utt2spk")
    (folder / "feats.scp").write_text((data / "feats.scp").read_text() + (folder / "feats.scp").read_text())
    with (folder / "utt2spk").open("a") as stream:
        stream.write("".join(f"{name} {name}\n" for name in odd))
    labels = write_labels(task, tmp_path / "labels")
    with PosteriorWriter(f"ark,scp:{tmp_path}/odd.ark,{tmp_path}/odd.scp") as writer:
        for name, matrix in odd.items():
            if name != "empty":
                frames = len(matrix) + (name == "unequal")
                pdfs = np.zeros(frames, np.int32)
                writer.write_posteriors(
                    name, SparsePosteriors(np.arange(frames + 1), pdfs, np.ones(frames, np.float32))
                )
    labels.write_text(labels.read_text() + (tmp_path / "odd.scp").read_text())
    plain = run_adapt(task, tmp_path / "labels.scp", tmp_path / "plain")
    store = run_adapt(task, labels, tmp_path / "adapted", "--guard=false", data=folder)
    reasons = {s: entry["reason"] for s, entry in store.speakers.items() if "reason" in entry}
    assert reasons == {"short": TOO_FEW, "frame": TOO_FEW, "empty": NO_LABELS, "unequal": NO_LABELS}
    assert store.speakers["unequal"]["skipped"] == {"another length": 1}
    assert store.speakers["empty"]["skipped"] == {"no labels": 1}
    for speaker in plain.speakers:  # those beside them are as they are without them
        if "file" in plain.speakers[speaker]:
            assert (store.path / file_name(speaker)).read_bytes() == (plain.path / file_name(speaker)).read_bytes()
    # All of them can be decoded, and every value is a number.
    words = ["--precision=fp32", f"--adapt-dir={store.path}", str(model), str(folder), f"ark:{tmp_path}/x.ark"]
    assert call("forward", words) == 0
    assert all(np.isfinite(m).all() for _, m in kaldiio.load_ark(str(tmp_path / "x.ark")))
    # Down to one frame, when asked for.
    tiny = run_adapt(task, labels, tmp_path / "tiny", "--min-frames=1", "--guard=false", data=folder)
    assert {s for s, entry in tiny.speakers.items() if "reason" in entry} == {"empty", "unequal"}


def test_many_labels_of_another_length_are_an_error(task: tuple[Path, Path, Path], tmp_path: Path) -> None:
    labels = write_labels(task, tmp_path / "labels")
    lines = labels.read_text().splitlines()
    keys, places = zip(*(line.split() for line in lines), strict=True)
    labels.write_text("".join(f"{key} {place}\n" for key, place in zip(keys, reversed(places), strict=True)))
    with pytest.raises(HdnnError, match="utterances have labels of another length than their features"):
        run_adapt(task, labels, tmp_path / "adapted")
    assert not (tmp_path / "adapted/index.json").exists()


def data_of(task: tuple[Path, Path, Path], tmp_path: Path, held_out: float = 0.3) -> tuple[SpeakerData, HardLabels]:
    reader = FeatureReader(task[0])
    labels = HardLabels(PosteriorTable(write_labels(task, tmp_path / "labels")), PDFS)
    utts = [u for u in reader.utts if reader.utt2spk[u] == "s2"]
    return read_speaker("s2", utts, reader.__getitem__, labels, load_model(task[2]), held_out, 1), labels


def test_held_back_frames_are_a_share_and_no_others(task: tuple[Path, Path, Path], tmp_path: Path) -> None:
    data, _ = data_of(task, tmp_path)
    total = len(data.train) + len(data.held)
    assert len(data.held) == round(0.3 * total)
    assert not set(data.train) & set(data.held)
    # Whole utterances are held back but for one that is cut: the boundary between both is one place.
    assert data.held.max() < data.train.min()
    whole, _ = data_of(task, tmp_path, 0.0)
    assert not len(whole.held)
    assert len(whole.train) == total


def test_guard_early_stop_and_divergence(task: tuple[Path, Path, Path], tmp_path: Path) -> None:
    data, labels = data_of(task, tmp_path)
    model = load_model(task[2])
    choose_parameters(model, ["gates"])
    gates = dict(model.named_parameters())["gates"]
    parameters, base = {"gates": gates}, {"gates": gates.detach().clone()}

    def outcome(data: SpeakerData, **changes: Any) -> Any:
        result = adapt_speaker(model, parameters, base, labels.criterion, "s2", data, AdaptOptions(**changes))
        assert torch.equal(gates, base["gates"])
        return result

    good = outcome(data, rate=0.002)
    assert good.tensors is not None
    assert good.held_loss[-1] < good.held_loss[0]
    assert len(good.train_loss) == 5
    # Labels that are wrong for the training part only: what is learned there does not hold for the rest.
    wrong = data.columns[1].rows(torch.arange(len(data.weights))).clone()
    wrong[data.train] = (wrong[data.train] + 1) % PDFS
    spoilt = SpeakerData([data.columns[0], DenseColumn(wrong)], data.train, data.held, data.weights, data.utterances)
    guarded = outcome(spoilt, rate=0.002)
    assert guarded.tensors is None
    assert guarded.reason == GUARDED
    assert guarded.held_loss[-1] > guarded.held_loss[0]
    assert outcome(spoilt, rate=0.002, guard=False).tensors is not None
    stopped = outcome(spoilt, rate=0.002, early_stop=True)
    assert stopped.tensors is None
    assert stopped.iteration == 0
    # Early stopping takes the best pass, which is what that many passes alone give.
    best = outcome(data, rate=0.05, iters=6, early_stop=True)
    assert best.iteration == int(np.argmin(best.held_loss)) > 0
    alone = outcome(data, rate=0.05, iters=best.iteration, guard=False)
    assert alone.tensors is not None
    assert best.tensors is not None
    assert torch.equal(best.tensors["gates"], alone.tensors["gates"])
    assert outcome(data, rate=1e38).reason == DIVERGED


def test_forward_switches_parameters(task: tuple[Path, Path, Path], tmp_path: Path) -> None:
    """As networks that were written out for every speaker, with utterances of speakers mixed and one speaker unknown."""
    data, _, model_dir = task
    labels = write_labels(task, tmp_path / "labels")
    store = run_adapt(task, labels, tmp_path / "adapted", "--rate=0.01", "--guard=false")
    del store.content["speakers"]["s3"]
    (store.path / "index.json").write_text(json.dumps(store.content))
    mixed = reordered(data, tmp_path / "mixed", 9)
    words = ["--precision=fp32", f"--adapt-dir={store.path}", str(model_dir)]
    assert call("forward", [*words, str(mixed), f"ark:{tmp_path}/x.ark"]) == 0
    got = dict(kaldiio.load_ark(str(tmp_path / "x.ark")))
    reader = FeatureReader(mixed)
    assert list(got) == reader.utts
    for speaker in {reader.utt2spk[u] for u in reader.utts}:
        own = tmp_path / speaker
        shutil.copytree(model_dir, own)
        model = load_model(model_dir)
        model.load_state_dict(store.load(speaker) or {}, strict=False)
        save_model(model, own)
        assert call("forward", ["--precision=fp32", str(own), str(mixed), f"ark:{tmp_path}/y.ark"]) == 0
        for utt, matrix in kaldiio.load_ark(str(tmp_path / "y.ark")):
            same = np.allclose(got[utt], matrix, atol=1e-5)
            assert same is (reader.utt2spk[utt] == speaker)
    ark = f"ark:{data}/feats.ark"
    with pytest.raises(HdnnError, match="give --utt2spk"):
        call("forward", [*words, ark, "ark:/dev/null"])
    assert call("forward", [f"--utt2spk={data}/utt2spk", *words, ark, f"ark:{tmp_path}/z.ark"]) == 0
    for utt, matrix in kaldiio.load_ark(str(tmp_path / "z.ark")):
        np.testing.assert_allclose(matrix, got[utt], atol=1e-5)
    (tmp_path / "few").write_text("s0-u0 s0\n")
    with pytest.raises(HdnnError, match=r"utt2spk has no utterance s0-u1"):
        call("forward", [f"--utt2spk={tmp_path}/few", *words, ark, "ark:/dev/null"])


def test_soft_labels_stored_or_on_the_fly(task: tuple[Path, Path, Path], tmp_path: Path) -> None:
    data, _, model = task
    teacher = tmp_path / "teacher"
    shutil.copytree(model, teacher)
    network = load_model(model)
    network.initialise(4)
    save_model(network, teacher)
    options = ["--labels=soft", "--keep-mass=1", "--temperature=2", "--rate=0.01", "--guard=false"]
    running = run_adapt(task, teacher, tmp_path / "running", *options)
    assert call("forward", ["--output=logposteriors", str(teacher), str(data), f"ark:{tmp_path}/soft.ark"]) == 0
    stored = run_adapt(task, f"ark:{tmp_path}/soft.ark", tmp_path / "stored", *options)
    assert stored.content["labels"] == "KD T=2"
    for speaker in running.speakers:
        one, other = running.load(speaker), stored.load(speaker)
        assert one is not None
        assert other is not None
        torch.testing.assert_close(one["gates"], other["gates"], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("kind", ["soft", "hard"])
def test_labels_in_compact_form(task: tuple[Path, Path, Path], tmp_path: Path, kind: str) -> None:
    """They adapt as the same labels in Kaldi's form do."""
    small = f"{tmp_path}/small.scp"
    if kind == "soft":
        table = f"ark,scp:{tmp_path}/small.ark,{small}"
        assert call("soft-labels", ["--form=compact", str(task[2]), str(task[0]), table]) == 0
    else:
        labels = str(write_labels(task, tmp_path / "labels"))
        assert call("copy-post", ["--form=compact", labels, f"ark,scp:{tmp_path}/small.ark,{small}"]) == 0
    assert call("copy-post", [small, f"ark,scp:{tmp_path}/back.ark,{tmp_path}/back.scp"]) == 0
    options = [f"--labels={kind}", "--rate=0.01", *(["--weight-frames"] if kind == "hard" else [])]
    stores = []
    for name in ("small", "back"):
        where = f"scp:{tmp_path}/{name}.scp" if kind == "soft" else f"{tmp_path}/{name}.scp"
        stores.append(run_adapt(task, where, tmp_path / name, *options))
    for speaker in stores[0].speakers:
        one, other = (store.load(speaker) for store in stores)
        assert (one is None) == (other is None)
        assert one is None or other is None or torch.equal(one["gates"], other["gates"])
    assert any(stores[0].load(speaker) for speaker in stores[0].speakers)


def test_collecting_without_a_job(task: tuple[Path, Path, Path], tmp_path: Path) -> None:
    with pytest.raises(HdnnError, match=r"part.1.json does not exist; its job failed"):
        call("collect adapt", ["1", str(task[0]), str(tmp_path)])
    store = run_adapt(task, write_labels(task, tmp_path / "labels"), tmp_path / "adapted")
    shutil.copy(store.path / file_name("s2"), store.path / file_name("s1"))
    with pytest.raises(HdnnError, match=r"spk-s1.safetensors is not of the run that wrote index.json \(speaker s2"):
        store.load("s1")
    damaged = store.path / file_name("s0")
    damaged.write_bytes(damaged.read_bytes()[:50])
    with pytest.raises(HdnnError, match="is damaged"):
        store.load("s0")
