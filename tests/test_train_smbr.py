"""Sequence training as a program: Kaldi's objective and update on its own lattices, exact resuming, skipping, smoothing."""

import json
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
import torch

from hdnn_nnet.cli import call
from hdnn_nnet.decode.options import SearchOptions
from hdnn_nnet.errors import HdnnError
from hdnn_nnet.feats.reader import FeatureReader
from hdnn_nnet.kaldi.matrix_writer import write_matrices
from hdnn_nnet.kaldi.nnet1 import read_nnet1
from hdnn_nnet.kaldi.transitions import TransitionModel
from hdnn_nnet.lattice.table import LatticeWriter, read_lattice
from hdnn_nnet.nn.import_nnet1 import import_nnet1 as convert
from hdnn_nnet.nn.tensor_file import load_tensors, save_tensors
from hdnn_nnet.sequence.sources import DecodedLattices, StoredLattices
from hdnn_nnet.train.sgd import Sgd

REPOSITORY = Path(__file__).resolve().parent.parent


@pytest.fixture
def fixture(kaldi_fixture: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Its script files hold for this directory only."""
    monkeypatch.chdir(kaldi_fixture)
    return kaldi_fixture


@pytest.fixture
def seed(fixture: Path, tmp_path: Path) -> Path:
    """Kaldi's network as a model directory of ours."""
    counts = "--class-frame-counts=exp/nnet/class_frame_counts"
    assert call("import nnet1", [counts, "exp/nnet", "exp/ali", str(tmp_path / "seed")]) == 0
    return tmp_path / "seed"


def train(seed: Path, directory: Path, *options: str, data: str = "data/train", denlats: str = "exp/denlats") -> Path:
    settings = ["--precision=fp32", "--device=cpu", "--num-threads=1", "--engine=torch", *options]
    assert call("train smbr", [*settings, data, "lang", str(seed), "exp/ali", denlats, str(directory)]) == 0
    return directory


def history(directory: Path) -> list[dict]:
    return json.loads((directory / "history_sequence.json").read_text())


def weights(directory: Path) -> dict[str, torch.Tensor]:
    return load_tensors(directory / "final.safetensors")


def equal(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> bool:
    return all(torch.equal(a[key], b[key]) for key in a)


def one_utterance(folder: Path) -> str:
    """A data directory with the fixture's first training utterance only."""
    folder.mkdir()
    for name in ("feats.scp", "utt2spk", "cmvn.scp"):
        (folder / name).write_text(Path("data/train", name).read_text().splitlines()[0] + "\n")
    return str(folder)


@pytest.mark.parametrize(
    ("criterion", "one_silence", "wanted"),
    [("smbr", True, 0.706111), ("smbr", False, 0.547207), ("mpfe", True, 0.716444), ("mpfe", False, 0.557540)],
)
def test_overall_frame_accuracy_is_kaldis(seed, tmp_path: Path, criterion, one_silence, wanted) -> None:
    options = [
        f"--criterion={criterion}",
        f"--one-silence-class={str(one_silence).lower()}",
        "--learn-rate=0",
        "--num-iters=1",
    ]
    found = history(train(seed, tmp_path / "out", *options))[0]
    assert found["objective"] == pytest.approx(wanted, abs=2e-6)
    assert (found["frames"], found["utterances"], found["skipped"]) == (2556, 10, {})


def test_one_update_is_kaldis(seed, tmp_path: Path) -> None:
    data = one_utterance(tmp_path / "one")
    train(seed, tmp_path / "out", "--num-iters=1", "--learn-rate=0.001", "--max-skipped=1", data=data)
    components = read_nnet1("exp/nnet/final.feature_transform") + read_nnet1("exp/smbr_reference/one_update.nnet")
    wanted = convert(components, "one_update.nnet").state_dict()
    before, after = load_tensors(seed / "final.safetensors"), weights(tmp_path / "out")
    buffers = ("mean", "inverse_std", "window_mean", "window_inverse_std")
    coefs = json.loads((tmp_path / "out/model.json").read_text())["learn_rate_coefs"]
    assert coefs == {"output.bias": pytest.approx(0.1)}
    for name in after:
        if name in buffers:
            assert torch.equal(after[name], wanted[name])
            continue
        moved = wanted[name] - before[name]
        assert moved.abs().max() > (1e-5 if name == "output.bias" else 1e-4)  # it learns with a coefficient of 0.1
        assert (after[name] - before[name] - moved).norm() < 0.002 * moved.norm(), name


def test_import_computes_the_same(fixture: Path, seed) -> None:
    from hdnn_nnet.nn.model_dir import load_model, load_network

    ours, theirs = load_model(seed), load_network("exp/nnet")
    features = torch.randn(30, ours.feat_dim, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        torch.testing.assert_close(ours(features), theirs(features), rtol=1e-4, atol=1e-5)


def test_import_refuses_what_cannot_be_trained(tmp_path: Path) -> None:
    (tmp_path / "final.nnet").write_text("<Nnet>\n<Tanh> 2 2\n</Nnet>\n")
    with pytest.raises(HdnnError, match=r"final\.nnet: only Splice, .* not Tanh; it can still be forwarded"):
        convert(read_nnet1(tmp_path / "final.nnet"), str(tmp_path / "final.nnet"))


def test_accuracy_rises_and_iterations_are_kept(seed, tmp_path: Path) -> None:
    out = train(seed, tmp_path / "out", "--num-iters=3", "--learn-rate=0.0003")
    objectives = [line["objective"] for line in history(out)]
    assert objectives == sorted(objectives)
    assert objectives[-1] > objectives[0] + 0.01
    assert equal(load_tensors(out / "iter3.safetensors"), weights(out))
    assert not equal(load_tensors(out / "iter2.safetensors"), weights(out))
    assert (out / "criterion").read_text() == "CE + sMBR\n"
    assert (out / "final.mdl").exists()


@pytest.mark.parametrize("criterion", ["smbr", "mmi"])
def test_batches_and_engines(seed, tmp_path: Path, criterion: str) -> None:
    """The first update of a batch is the sum of its utterances' ones, in either engine."""
    options = [f"--criterion={criterion}", "--num-iters=1", "--learn-rate=0.0001", "--batch-utts=10"]
    whole = weights(train(seed, tmp_path / "torch", *options))
    before = load_tensors(seed / "final.safetensors")
    total = {key: torch.zeros_like(value) for key, value in before.items()}
    for number, line in enumerate(Path("data/train/feats.scp").read_text().splitlines()):
        folder = tmp_path / f"data{number}"
        folder.mkdir()
        (folder / "feats.scp").write_text(line + "\n")
        utt2spk = Path("data/train/utt2spk").read_text().splitlines()
        (folder / "utt2spk").write_text(next(row for row in utt2spk if row.split()[0] == line.split()[0]) + "\n")
        shutil.copy(Path("data/train/cmvn.scp"), folder / "cmvn.scp")
        one = weights(train(seed, tmp_path / f"one{number}", *options, data=str(folder)))
        for key in total:
            total[key] += one[key] - before[key]
    for key in total:
        torch.testing.assert_close(whole[key] - before[key], total[key], rtol=1e-3, atol=1e-6)
    pytest.importorskip("k2")
    by_k2 = weights(train(seed, tmp_path / "k2", *options, "--engine=k2"))
    for key in total:
        torch.testing.assert_close(by_k2[key], whole[key], rtol=1e-5, atol=1e-6)


def test_smoothing_adds_the_terms(seed, tmp_path: Path) -> None:
    """Steps by sMBR + p CE + r KD are the steps of the three alone, weighted."""
    options = ["--num-iters=1", "--batch-utts=10"]
    before = load_tensors(seed / "final.safetensors")

    def step(name: str, rate: float, *more: str) -> dict[str, torch.Tensor]:
        after = weights(train(seed, tmp_path / name, *options, f"--learn-rate={rate}", *more))
        return {key: (after[key] - before[key]) / rate for key in after}

    teacher = tmp_path / "teacher"
    shutil.copytree(seed, teacher)
    generator = torch.Generator().manual_seed(1)
    changed = {
        k: v + 0.1 * torch.randn(v.shape, generator=generator) if "weight" in k else v for k, v in before.items()
    }
    save_tensors(changed, teacher / "final.safetensors")
    alone = step("alone", 1e-4)
    hard = step("hard", 1e-4, "--smooth-ce=0.5")
    soft = step("soft", 1e-4, "--smooth-kd=0.2", f"--teacher={teacher}")
    both = step("both", 1e-4, "--smooth-ce=0.5", "--smooth-kd=0.2", f"--teacher={teacher}")
    for key in alone:
        torch.testing.assert_close(both[key], hard[key] + soft[key] - alone[key], rtol=1e-2, atol=0.05)
    # The hard term by itself: the gradient of cross-entropy on the same frames.
    from hdnn_nnet.feats.source import FeatureSource
    from hdnn_nnet.kaldi.alignments import read_pdf_alignments
    from hdnn_nnet.kaldi.transitions import TransitionModel
    from hdnn_nnet.nn.model_dir import load_model

    model = load_model(seed)
    source = FeatureSource(["data/train"], (seed / "cmvn_opts").read_text().strip(), "")
    for utt, pdfs in read_pdf_alignments("exp/ali", TransitionModel.read("exp/ali/final.mdl")).items():
        target = torch.from_numpy(pdfs.astype(np.int64))
        torch.nn.functional.cross_entropy(model(torch.from_numpy(source[utt])), target, reduction="sum").backward()
    for key, parameter in model.named_parameters():
        assert parameter.grad is not None
        wanted = -0.5 * parameter.grad * model.learn_rate_coefs.get(key, 1.0)
        torch.testing.assert_close(hard[key] - alone[key], wanted, rtol=1e-2, atol=0.1)
    # The soft term is 0 for a teacher that is the student.
    own = step("own", 1e-4, "--smooth-kd=0.2", f"--teacher={seed}")
    for key in alone:
        torch.testing.assert_close(own[key], alone[key], rtol=1e-3, atol=0.01)


def test_only_the_named_groups_move(seed, tmp_path: Path) -> None:
    after = weights(train(seed, tmp_path / "out", "--num-iters=1", "--update=softmax", "--learn-rate=0.001"))
    before = load_tensors(seed / "final.safetensors")
    moved = {key for key in after if not torch.equal(after[key], before[key])}
    assert moved == {"output.weight", "output.bias"}
    with pytest.raises(HdnnError, match="has no parameters in the group gates"):
        train(seed, tmp_path / "none", "--update=gates")
    with pytest.raises(HdnnError, match="no parameter group hiden; there are hidden, gates, softmax"):
        train(seed, tmp_path / "none", "--update=hiden")


def test_stopped_and_resumed(seed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    options = ["--num-iters=2", "--learn-rate=0.001", "--batch-utts=2"]
    straight = train(seed, tmp_path / "straight", *options)
    step, calls = Sgd.step, []

    def interrupted(*arguments: object) -> None:
        step(*arguments)  # type: ignore[arg-type]  # passed on as they came
        calls.append(1)
        if len(calls) == 7:
            import os
            import signal

            os.kill(os.getpid(), signal.SIGTERM)

    monkeypatch.setattr(Sgd, "step", interrupted)
    with pytest.raises(HdnnError, match="stopped by a signal in iteration 2, step 2 of 5; run the same command again"):
        train(seed, tmp_path / "resumed", *options)
    monkeypatch.setattr(Sgd, "step", step)
    resumed = train(seed, tmp_path / "resumed", *options)
    assert equal(weights(straight), weights(resumed))
    for a, b in zip(history(straight), history(resumed), strict=True):
        assert {k: v for k, v in a.items() if "second" not in k} == {k: v for k, v in b.items() if "second" not in k}
    with pytest.raises(HdnnError, match=r"another set-up \(learn_rate changed\)"):
        train(seed, tmp_path / "resumed", *options, "--learn-rate=1")
    # Lattices regenerated under the same name are another task.
    folder = tmp_path / "denlats"
    folder.mkdir()
    shutil.copy("exp/denlats/lat.scp", folder)
    train(seed, tmp_path / "own", *options, denlats=str(folder))
    (folder / "lat.scp").write_text("".join(Path("exp/denlats/lat.scp").read_text().splitlines(keepends=True)[::-1]))
    with pytest.raises(HdnnError, match=r"another set-up \(lattices changed\)"):
        train(seed, tmp_path / "own", *options, denlats=str(folder))


def test_more_iterations_go_on(seed, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    straight = train(seed, tmp_path / "straight", "--num-iters=2")
    train(seed, tmp_path / "later", "--num-iters=1")
    assert equal(weights(straight), weights(train(seed, tmp_path / "later", "--num-iters=2")))
    written = (straight / "final.safetensors").stat().st_mtime_ns
    train(seed, tmp_path / "straight", "--num-iters=1")
    assert "already trained: 2 iterations" in caplog.text
    assert (straight / "final.safetensors").stat().st_mtime_ns == written


def test_what_cannot_be_used_is_skipped_and_counted(seed, tmp_path: Path) -> None:
    denlats = tmp_path / "denlats"
    denlats.mkdir()
    lines = Path("exp/denlats/lat.scp").read_text().splitlines()
    shutil.copy("exp/denlats/lat1/" + lines[2].split()[0] + ".gz", tmp_path / "other.gz")
    # One is missing, and one is that of a longer utterance.
    lines[1] = f"{lines[1].split()[0]} {tmp_path}/other.gz"
    (denlats / "lat.scp").write_text("\n".join(lines[:-1]) + "\n")
    out = train(seed, tmp_path / "out", "--num-iters=1", "--max-skipped=0.2", denlats=str(denlats))
    found = history(out)[0]
    assert found["utterances"] == 8
    assert found["skipped"] == {"without lattice": 1, "of another length or too long": 1}
    with pytest.raises(HdnnError, match=r"2 of 10 utterances were skipped \(.*\); regenerate the lattices"):
        train(seed, tmp_path / "strict", "--num-iters=1", denlats=str(denlats))
    (tmp_path / "other.gz").write_bytes((tmp_path / "other.gz").read_bytes()[:200])
    with pytest.raises(HdnnError, match=rf"lat\.scp, key {lines[1].split()[0]}: .*other\.gz"):
        train(seed, tmp_path / "damaged", "--num-iters=1", denlats=str(denlats))


def test_large_lattices_are_pruned_then_skipped(seed, tmp_path: Path) -> None:
    sizes = []
    for line in Path("exp/denlats/lat.scp").read_text().splitlines():
        lattice = read_lattice(line.split(" ", 1)[1])
        sizes.append(len(lattice.strings) + lattice.num_arcs)  # type: ignore[union-attr]  # these are compact
    middle = sorted(sizes)[5]
    out = train(seed, tmp_path / "out", "--num-iters=1", f"--max-entries={middle}", "--max-skipped=1")
    skipped = history(out)[0]["skipped"]
    assert skipped["pruned (not skipped)"] + skipped.get("lattice too large", 0) == sum(s > middle for s in sizes)
    assert skipped["pruned (not skipped)"] > 0


def test_lattices_from_the_model_in_training(seed, tmp_path: Path) -> None:
    options = ["--decode=true", "--num-iters=2", "--learn-rate=0.00003", "--lattice-beam=6", "--max-skipped=0.3"]
    once = train(seed, tmp_path / "epoch", *options, denlats="exp/denlats/dengraph")
    objectives = [line["objective"] for line in history(once)]
    # The same graph, model and beams as Kaldi's lattices; determinisation and pruning differ a little.
    still = train(
        seed, tmp_path / "still", *options[:2], "--learn-rate=0", *options[3:], denlats="exp/denlats/dengraph"
    )
    assert history(still)[0]["objective"] == pytest.approx(0.706111, abs=0.01)
    assert history(still)[0]["utterances"] >= 9
    assert objectives[1] > objectives[0]
    batch = train(seed, tmp_path / "batch", *options, "--refresh=batch", denlats="exp/denlats/dengraph")
    assert not equal(weights(once), weights(batch))


@pytest.mark.slow
def test_two_processes_give_the_result_of_one(seed, tmp_path: Path) -> None:
    options = [
        "--num-iters=1",
        "--learn-rate=0.0003",
        "--batch-utts=4",
        "--precision=fp32",
        "--device=cpu",
        "--engine=torch",
    ]
    one = train(seed, tmp_path / "one", *options)
    command = [
        "python3",
        "-m",
        "hdnn_nnet",
        "torchrun",
        "--standalone",
        "--nproc_per_node=2",
        "-m",
        "hdnn_nnet",
        "train",
        "smbr",
    ]
    command += [*options, "data/train", "lang", str(seed), "exp/ali", "exp/denlats", str(tmp_path / "two")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    a, b = weights(one), weights(tmp_path / "two")
    for key in a:
        torch.testing.assert_close(a[key], b[key], rtol=1e-4, atol=1e-6)
    assert history(one)[0]["objective"] == pytest.approx(history(tmp_path / "two")[0]["objective"], rel=1e-6)


def test_options_that_contradict(seed, tmp_path: Path) -> None:
    with pytest.raises(HdnnError, match="--smooth-kd and --teacher belong together"):
        train(seed, tmp_path / "out", "--smooth-kd=0.2")
    with pytest.raises(HdnnError, match="is the network to start from; give another directory"):
        train(seed, seed)


def test_a_table_written_by_us(seed, tmp_path: Path) -> None:
    """Lattices with offsets in one archive, as make_denlats.sh leaves them."""
    folder = tmp_path / "denlats"
    folder.mkdir()
    with LatticeWriter(f"ark,scp:{folder}/lat.1.ark,{folder}/lat.scp") as writer:
        for line in Path("exp/denlats/lat.scp").read_text().splitlines():
            utt, name = line.split(" ", 1)
            writer.write_lattice(utt, read_lattice(name))
    found = history(train(seed, tmp_path / "out", "--num-iters=1", "--learn-rate=0", denlats=str(folder)))[0]
    assert found["objective"] == pytest.approx(0.706111, abs=2e-6)


def test_priors_of_an_earlier_network_are_forgotten(seed, tmp_path: Path) -> None:
    """And those of this one are kept when the finished training is called again."""
    out = tmp_path / "out"
    out.mkdir()
    shutil.copyfile(seed / "ali_train_pdf.counts", out / "prior_counts")
    train(seed, out, "--num-iters=1")
    assert not (out / "prior_counts").exists()
    shutil.copyfile(seed / "ali_train_pdf.counts", out / "prior_counts")
    train(seed, out, "--num-iters=1")
    assert (out / "prior_counts").is_file()


def test_resuming_with_other_priors_is_refused(seed, tmp_path: Path) -> None:
    out = train(seed, tmp_path / "out", "--num-iters=1")
    counts = (seed / "ali_train_pdf.counts").read_text().split()
    (seed / "prior_counts").write_text(" ".join([counts[0], "99999", *counts[2:]]) + "\n")
    with pytest.raises(HdnnError, match=r"of another set-up \(.*prior.* changed\)"):
        train(seed, out, "--num-iters=2")


def test_piped_lattices_made_again_are_noticed(fixture: Path, tmp_path: Path) -> None:
    place = Path("exp/denlats/lat.scp").read_text().split()[3]
    copy = tmp_path / "lat.gz"
    shutil.copyfile(place, copy)
    (tmp_path / "lat.scp").write_text(f"u gunzip -c {copy} |\nv {tmp_path}/lat.1.ark:7\n")
    before = StoredLattices(str(tmp_path / "lat.scp")).signature()
    assert StoredLattices(str(tmp_path / "lat.scp")).signature() == before
    copy.write_bytes(copy.read_bytes() + b"\0")
    assert StoredLattices(str(tmp_path / "lat.scp")).signature() != before


def test_searches_that_die_give_no_lattice(fixture: Path) -> None:
    """As in make_denlats.sh; a lattice that ends in no final state is not trained on."""
    model = TransitionModel.read("exp/tri/final.mdl")
    source = DecodedLattices("graph/HCLG.fst", model, SearchOptions(beam=13.0, lattice_beam=6.0, max_active=2000))
    loglikes = np.random.default_rng(0).standard_normal((120, model.num_pdfs)).astype(np.float32)
    assert source.lattices(["u"], [loglikes])[0] is not None
    # One frame cannot lead through a word to a final state.
    assert source.decoder.decode([loglikes[:1]])[0].partial
    assert source.lattices(["u"], [loglikes[:1]]) == [None]


def test_features_of_half_the_rate(fixture, seed, tmp_path: Path) -> None:
    """Rows that stand for two frames each are fitted to alignments and lattices; a network of another rate is refused."""
    data, features = tmp_path / "data", {}
    shutil.copytree("data/train", data)
    for number, (utt, matrix) in enumerate(FeatureReader("data/train")):
        features[utt] = np.asarray(matrix[: len(matrix) - number % 2 : 2])
    write_matrices(data / "feats.ark", data / "feats.scp", features.items())
    (data / "utt2num_frames").unlink(missing_ok=True)
    (data / "feat_opts").write_text("--type=ssl --frame-factor=2\n")
    options = ["--num-iters=1", "--learn-rate=0"]
    with pytest.raises(
        HdnnError, match=r"was trained on features of 100 rows a second \(model.json\), .*50 rows a second"
    ):
        train(seed, tmp_path / "other", *options, data=str(data))
    content = json.loads((seed / "model.json").read_text())
    content["network"]["frame_factor"] = 2
    (seed / "model.json").write_text(json.dumps(content))
    found = history(train(seed, tmp_path / "out", *options, data=str(data)))[0]
    assert (found["frames"], found["utterances"], found["skipped"]) == (2556, 10, {})
    assert json.loads((tmp_path / "out/model.json").read_text())["network"]["frame_factor"] == 2
    content["network"]["frame_factor"] = 4
    (seed / "model.json").write_text(json.dumps(content))
    (data / "feat_opts").write_text("--type=ssl --frame-factor=4\n")
    with pytest.raises(HdnnError, match=r"state --frame-factor=2 in .*/feat_opts"):
        train(seed, tmp_path / "wrong", *options, data=str(data))
