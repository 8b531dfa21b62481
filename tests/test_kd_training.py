"""Teacher-student training: every source of soft labels gives the same student, and what does not fit is refused."""

import json
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import kaldiio
import numpy as np
import pytest
import torch

from hdnn_nnet.cli import call
from hdnn_nnet.errors import HdnnError
from hdnn_nnet.feats.reader import FeatureReader
from hdnn_nnet.kaldi.alignments import read_pdf_alignments
from hdnn_nnet.kaldi.options import FORMS
from hdnn_nnet.kaldi.posteriors import PosteriorWriter, SparsePosteriors, read_posteriors
from hdnn_nnet.kaldi.transitions import TransitionModel
from hdnn_nnet.nn.model_dir import load_model, load_tensors
from hdnn_nnet.train.checkpoint import load_checkpoint
from hdnn_nnet.train.sgd import Sgd
from hdnn_nnet.train.soft_sources import open_soft_labels
from tests.support.small_task import PDFS, make

REPOSITORY = Path(__file__).resolve().parent.parent
EXACT = ["--mass=1", "--form=kaldi"]
SETTINGS = ["--network=hdnn-h8l3", "--splice=1", "--minibatch-size=64", "--learn-rate=0.01", "--max-iters=3"]
SETTINGS += ["--precision=fp32", "--device=cpu"]


@pytest.fixture(scope="module")
def task(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path, Path]:
    return make(tmp_path_factory.mktemp("task"))


@pytest.fixture(scope="module")
def whole(task: tuple[Path, Path, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Training and cross-validation data as one directory."""
    data = tmp_path_factory.mktemp("whole")
    for name in ("feats.scp", "utt2spk"):
        (data / name).write_text((task[0] / name).read_text() + (task[1] / name).read_text())
    return data


def teacher_of(task: tuple[Path, Path, Path], directory: Path, *more: str) -> Path:
    data_tr, data_cv, ali = map(str, task)
    settings = ["--network=dnn-h24l2", "--splice=2", "--minibatch-size=64", "--learn-rate=0.02", "--max-iters=4"]
    assert call("train ce", [*settings, "--device=cpu", *more, data_tr, data_cv, ali, ali, str(directory)]) == 0
    return directory


@pytest.fixture(scope="module")
def teacher(task: tuple[Path, Path, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    return teacher_of(task, tmp_path_factory.mktemp("teacher") / "model")


def store(teacher: Path | str, data: Path, folder: Path, *more: str) -> Path:
    folder.mkdir()
    table = f"ark,scp:{folder}/post.1.ark,{folder}/post.1.scp"
    assert call("soft-labels", [*more, f"--stats={folder}/stats.1.json", str(teacher), str(data), table]) == 0
    assert call("collect soft-labels", ["1", str(data), str(folder)]) == 0
    return folder


def distil(task: tuple[Path, Path, Path], teacher: Path | str, directory: Path, *more: str) -> dict[str, torch.Tensor]:
    data_tr, data_cv, ali = map(str, task)
    assert call("train kd", [*SETTINGS, *more, str(teacher), data_tr, data_cv, ali, ali, str(directory)]) == 0
    return load_tensors(directory / "final.safetensors")


def alike(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor], tolerance: float) -> None:
    for key in a:
        torch.testing.assert_close(a[key], b[key], rtol=tolerance, atol=tolerance)


def differ(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> bool:
    return any(not torch.allclose(a[key], b[key], atol=1e-3) for key in a)


@pytest.mark.parametrize("options", [[], ["--temperature=2", "--hard-weight=0.5"]])
def test_all_sources_give_the_same_student(task, whole, teacher, tmp_path: Path, options: list[str]) -> None:
    running = distil(task, teacher, tmp_path / "running", *options)
    highest = [o for o in options if "temperature" in o]
    stored = store(teacher, whole, tmp_path / "soft", *EXACT, *highest)
    alike(distil(task, stored, tmp_path / "stored", *options), running, 1e-4)
    for kind in ("posteriors", "logposteriors"):
        ark = tmp_path / f"{kind}.ark"
        table = f"ark,scp:{ark},{ark}.scp"
        assert call("forward", [f"--output={kind}", str(teacher), str(whole), table]) == 0
        keep = "--keep-mass=1"
        alike(distil(task, f"ark:{ark}", tmp_path / f"{kind}_ark", keep, *options), running, 1e-4)
        alike(distil(task, f"scp:{ark}.scp", tmp_path / f"{kind}_scp", keep, *options), running, 1e-4)
    # A Posterior archive as another Kaldi system writes it.
    with PosteriorWriter(f"ark,t:{tmp_path}/post.txt") as writer:
        for utt, value in read_posteriors(stored / "post.scp"):
            writer.write_posteriors(utt, value)
    alike(distil(task, f"ark:cat {tmp_path}/post.txt |", tmp_path / "text", *options), running, 1e-4)


def test_the_loss_is_the_divergence_from_the_teacher(task, teacher, tmp_path: Path) -> None:
    distil(task, teacher, tmp_path / "student", "--hard-weight=0.5", "--temperature=2")
    directory = tmp_path / "student"
    assert (directory / "criterion").read_text() == "KD q=0.5 T=2\n"
    history = [e for e in json.loads((directory / "history.json").read_text()) if e["accepted"]]
    student, master = load_model(directory), load_model(teacher)
    from hdnn_nnet.kaldi.alignments import read_pdf_alignments
    from hdnn_nnet.kaldi.transitions import TransitionModel

    labels = read_pdf_alignments(task[2], TransitionModel.read(task[2] / "final.mdl"))
    total, frames = 0.0, 0
    with torch.no_grad():
        for utt, features in FeatureReader(task[1]):
            ours, theirs = student(torch.from_numpy(features)).double(), master(torch.from_numpy(features)).double()
            total += float(
                torch.nn.functional.kl_div(
                    torch.log_softmax(ours / 2, 1), torch.log_softmax(theirs / 2, 1), log_target=True, reduction="sum"
                )
            )
            pdfs = torch.from_numpy(labels[utt].astype(np.int64))
            total += 0.5 * float(torch.nn.functional.cross_entropy(ours, pdfs, reduction="sum"))
            frames += len(features)
    assert total / frames == pytest.approx(history[-1]["cv_loss"], rel=1e-3)


def test_cut_labels_stay_near_the_whole_ones(task, whole, teacher, tmp_path: Path) -> None:
    soft = store(teacher, whole, tmp_path / "soft", "--mass=0.99")
    info = json.loads((soft / "info.json").read_text())
    assert 0.99 <= info["lowest_kept_mass"] <= info["kept_mass"] <= 1
    assert 1 < info["pdfs_per_frame"] < PDFS
    exact = distil(task, teacher, tmp_path / "running", "--max-iters=1")
    cut = distil(task, soft, tmp_path / "stored", "--max-iters=1")
    alike(cut, exact, 0.05)


def test_both_forms_teach_the_same(task, whole, teacher, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Equal labels teach equally whatever their form, also when stopped and resumed; rounding them changes next to nothing."""
    small, large = (store(teacher, whole, tmp_path / form, f"--form={form}") for form in ("compact", "kaldi"))
    infos = [json.loads((folder / "info.json").read_text()) for folder in (small, large)]
    assert [info.pop("form") for info in infos] == ["compact", "kaldi"]
    sizes = [info.pop("bytes") for info in infos]
    assert sizes[0] < 0.4 * sizes[1]
    assert [info.pop("bytes_per_frame") for info in infos] == [size / infos[0]["frames"] for size in sizes]
    assert infos[0] == infos[1]
    student = distil(task, small, tmp_path / "student")
    back = f"{tmp_path}/back.scp"
    assert call("copy-post", [str(small / "post.scp"), f"ark,scp:{tmp_path}/back.ark,{back}"]) == 0
    copied = distil(task, f"scp:{back}", tmp_path / "copied")
    assert all(torch.equal(student[k], copied[k]) for k in student)
    alike(distil(task, large, tmp_path / "exact"), student, 0.01)
    stop_at_step(30, monkeypatch)
    with pytest.raises(KeyboardInterrupt):
        distil(task, small, tmp_path / "resumed")
    monkeypatch.undo()
    resumed = distil(task, small, tmp_path / "resumed")
    assert all(torch.equal(student[k], resumed[k]) for k in student)


def test_unlabelled_data_counts(task, teacher, tmp_path: Path) -> None:
    more = make(tmp_path / "more", speakers=2)[0]
    for name in ("feats.scp", "utt2spk"):
        path = more / name
        path.write_text("".join(f"new-{line}\n" for line in path.read_text().splitlines()))
    student = distil(task, teacher, tmp_path / "with", f"--unlabelled-data={more}", "--hard-weight=0.5")
    assert differ(student, distil(task, teacher, tmp_path / "without", "--hard-weight=0.5"))
    with pytest.raises(HdnnError, match=r"is also in another data directory"):
        distil(task, teacher, tmp_path / "twice", f"--unlabelled-data={task[0]}")


def test_a_teacher_on_other_features(task, whole, teacher, tmp_path: Path) -> None:
    """The student reads half of the columns, the teacher all of them."""
    halves = []
    for part in (0, 1):
        data = tmp_path / f"half{part}"
        data.mkdir()
        shutil.copy(task[part] / "utt2spk", data / "utt2spk")
        features = {utt: value[:, :3] for utt, value in FeatureReader(task[part])}
        kaldiio.save_ark(str(data / "feats.ark"), features, scp=str(data / "feats.scp"))
        halves.append(data)
    small = (halves[0], halves[1], task[2])
    running = distil(small, teacher, tmp_path / "running", f"--teacher-data={task[0]} {task[1]}")
    stored = store(teacher, whole, tmp_path / "soft", *EXACT)
    alike(distil(small, stored, tmp_path / "stored"), running, 1e-4)
    with pytest.raises(HdnnError, match=r"3 features a frame, the teacher .* takes 6"):
        distil(small, teacher, tmp_path / "wrong")


def test_averaged_teachers(task, whole, teacher, tmp_path: Path) -> None:
    other = teacher_of(task, tmp_path / "other", "--seed=5", "--max-iters=1")
    both = f"{teacher} {other}"
    running = distil(task, both, tmp_path / "running")
    alike(distil(task, store(both, whole, tmp_path / "soft", *EXACT), tmp_path / "stored"), running, 1e-4)
    assert differ(running, distil(task, teacher, tmp_path / "one"))


def test_student_starts_from_a_model(task, teacher, tmp_path: Path) -> None:
    start = distil(task, teacher, tmp_path / "start")
    went_on = tmp_path / "went_on"
    options = [f"--init={tmp_path}/start/final.safetensors", "--learn-rate=1e-7", "--max-iters=1"]
    alike(distil(task, teacher, went_on, *options), start, 1e-3)


def stop_at_step(number: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Interrupt the trainings of this process at a step, until `monkeypatch` is undone."""
    step, calls = Sgd.step, []

    def interrupted(*arguments: object) -> None:
        calls.append(1)
        if len(calls) == number:
            raise KeyboardInterrupt
        step(*arguments)  # type: ignore[arg-type]  # passed on as they came

    monkeypatch.setattr(Sgd, "step", interrupted)


def test_stopped_and_resumed(task, teacher, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    straight = distil(task, teacher, tmp_path / "straight")
    stop_at_step(30, monkeypatch)
    with pytest.raises(KeyboardInterrupt):
        distil(task, teacher, tmp_path / "resumed")
    monkeypatch.undo()
    assert load_checkpoint(tmp_path / "resumed" / "checkpoint.safetensors") is not None
    resumed = distil(task, teacher, tmp_path / "resumed")
    assert all(torch.equal(straight[k], resumed[k]) for k in straight)
    with pytest.raises(HdnnError, match=r"another set-up \(hard_weight changed\)"):
        distil(task, teacher, tmp_path / "resumed", "--hard-weight=1")


def test_what_does_not_fit_is_refused_before_training(task, whole, teacher, tmp_path: Path) -> None:
    soft = store(teacher, whole, tmp_path / "soft")
    out = tmp_path / "student"

    def refuse(message: str, where: Path | str, *more: str) -> None:
        with pytest.raises(HdnnError, match=message):
            distil(task, where, out, *more)
        assert not (out / "checkpoint.safetensors").exists()

    refuse(r"up to temperature 1, 2 is asked for; regenerate it .*--temperature 2", soft, "--temperature=2")
    posteriors = {utt: value.dense(PDFS) for utt, value in read_posteriors(soft / "post.scp")}

    def matrices(name: str, change: Callable[[np.ndarray], np.ndarray]) -> str:
        kaldiio.save_ark(str(tmp_path / name), {utt: change(m) for utt, m in posteriors.items()})
        return f"ark:{tmp_path}/{name}"

    refuse("has 4 columns, the alignment has 5 pdfs", matrices("narrow.ark", lambda m: m[:, 1:]))
    refuse("neither posteriors nor log-posteriors", matrices("loglikes.ark", lambda m: np.log(m + 1e-3) + 2))
    refuse("of another length", matrices("short.ark", lambda m: m[1:]))
    with PosteriorWriter(f"ark:{tmp_path}/wide.ark") as writer:
        for utt, value in read_posteriors(soft / "post.scp"):
            value.pdfs[0] = PDFS + 3
            writer.write_posteriors(utt, value)
    refuse(r"has pdf 8, the alignment has 5 pdfs", f"ark:{tmp_path}/wide.ark")
    lines = (soft / "post.scp").read_text().splitlines(keepends=True)
    (tmp_path / "some.scp").write_text("".join(lines[::2]))
    refuse("of the training data: 10 of 20 utterances usable; 10 without targets", f"scp:{tmp_path}/some.scp")
    refuse("does not exist", f"scp:{tmp_path}/none.scp")
    refuse("cannot be read from stdin", "ark:-")
    info = json.loads((soft / "info.json").read_text())
    (soft / "info.json").write_text(json.dumps(info | {"num_pdfs": 7}))
    refuse("soft labels of 7 pdfs, the alignment has 5", soft)


def test_odd_soft_labels(task, tmp_path: Path) -> None:
    """Frames without weight are refused; weights of any sum, and pdfs that come twice, count as shares."""
    hard = read_pdf_alignments(task[2], TransitionModel.read(task[2] / "final.mdl"))

    def student(name: str, change: Callable[[np.ndarray], SparsePosteriors]) -> dict[str, torch.Tensor]:
        with PosteriorWriter(f"ark,scp:{tmp_path}/{name}.ark,{tmp_path}/{name}.scp") as writer:
            for utt, row in hard.items():
                writer.write_posteriors(utt, change(row))
        return distil(task, f"scp:{tmp_path}/{name}.scp", tmp_path / name, "--max-iters=1")

    def one(row: np.ndarray, weight: float = 1.0) -> SparsePosteriors:
        return SparsePosteriors(np.arange(len(row) + 1), row, np.full(len(row), weight, np.float32))

    def twice(row: np.ndarray) -> SparsePosteriors:
        half = np.full(2 * len(row), 0.5, np.float32)
        return SparsePosteriors(2 * np.arange(len(row) + 1), np.repeat(row, 2), half)

    def gap(row: np.ndarray) -> SparsePosteriors:
        offsets = np.arange(len(row) + 1)
        offsets[5:] -= 1
        return SparsePosteriors(offsets, np.delete(row, 4), np.ones(len(row) - 1, np.float32))

    for name, change in (("gap", gap), ("zero", lambda row: one(row, 0.0)), ("negative", lambda row: one(row, -1.0))):
        with pytest.raises(HdnnError, match=rf"{name}\.scp: utterance s0-u0 has a frame without positive weights"):
            student(name, change)
    expected = student("ones", one)
    for name, change in (("many", lambda row: one(row, 37.0)), ("twice", twice)):
        for key, value in student(name, change).items():
            torch.testing.assert_close(value, expected[key], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("form", FORMS)
def test_a_flipped_bit_of_stored_labels_is_an_error(task, whole, teacher, tmp_path: Path, form: str) -> None:
    soft = store(teacher, whole, tmp_path / "soft", f"--form={form}")
    archive = soft / "post.1.ark"
    data = archive.read_bytes()
    source = open_soft_labels(soft, PDFS)
    utt = next(iter(source.num_frames))
    place = int((soft / "post.scp").read_text().split()[1].rpartition(":")[2])
    source.read(utt)
    for offset in (20, 23):  # Kaldi's form: bytes of a weight, its lowest bits and its exponent
        archive.write_bytes(data[: place + offset] + bytes([data[place + offset] ^ 1]) + data[place + offset + 1 :])
        with pytest.raises(HdnnError, match=rf"post\.1\.ark.*, key {utt}: .*damaged"):
            open_soft_labels(soft, PDFS).read(utt)
    archive.write_bytes(data)
    (soft / "post.crc32").unlink()
    with pytest.raises(HdnnError, match=r"post\.crc32 does not exist"):
        open_soft_labels(soft, PDFS)
    info = json.loads((soft / "info.json").read_text())
    del info["checksums"]  # as earlier versions wrote it
    (soft / "info.json").write_text(json.dumps(info))
    open_soft_labels(soft, PDFS).read(utt)


def test_steps(task, whole, teacher, tmp_path: Path) -> None:
    lang = tmp_path / "lang"
    lang.mkdir()
    (lang / "phones.txt").write_text("<eps> 0\n")
    steps = REPOSITORY / "steps_py"

    def step(*command: str) -> subprocess.CompletedProcess[str]:
        environment_set_up = '. ./path.sh && exec "$@"'
        return subprocess.run(
            ["bash", "-c", environment_set_up, "bash", *command],
            cwd=REPOSITORY,
            capture_output=True,
            text=True,
            check=False,
        )

    made = step(f"{steps}/make_soft_labels.sh", "--nj", "2", str(whole), str(teacher), str(tmp_path / "soft"))
    assert made.returncode == 0, made.stderr
    assert "soft labels of 24 utterances" in made.stdout
    data_tr, data_cv, ali = map(str, task)
    trained = step(
        f"{steps}/train_kd.sh", "--network", "hdnn-h8l3", "--splice", "1", "--max-iters", "1", "--device", "cpu",
        data_tr, data_cv, str(lang), ali, ali, str(tmp_path / "soft"), str(tmp_path / "student"),
    )  # fmt: skip
    assert trained.returncode == 0, trained.stderr
    assert (tmp_path / "student" / "final.safetensors").exists()
    # A job that fails leaves nothing that could be taken for stored labels.
    (whole / "feats.scp").write_text((whole / "feats.scp").read_text().replace("feats.ark", "gone.ark", 1))
    failed = step(f"{steps}/make_soft_labels.sh", "--nj", "2", str(whole), str(teacher), str(tmp_path / "soft"))
    assert failed.returncode != 0
    assert not (tmp_path / "soft" / "info.json").exists()
