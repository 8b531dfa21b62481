"""Features whose rows stand for several frames: against directories in which somebody else has repeated the rows."""

import json
import shutil
from collections.abc import Sequence
from pathlib import Path

import kaldiio
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from hdnn_nnet.cli import call
from hdnn_nnet.errors import HdnnError
from hdnn_nnet.feats.description import FeatureDescription, frame_rate
from hdnn_nnet.feats.frame_rate import FrameRate, likely_factor
from hdnn_nnet.feats.reader import FeatureReader
from hdnn_nnet.kaldi.alignments import read_pdf_alignments
from hdnn_nnet.kaldi.data_dir import DataDir
from hdnn_nnet.kaldi.posteriors import SparsePosteriors
from hdnn_nnet.kaldi.tables import read_matrices
from hdnn_nnet.kaldi.transitions import TransitionModel
from hdnn_nnet.nn.tensor_file import load_tensors
from hdnn_nnet.train.soft_sources import open_soft_labels
from tests.support.small_task import DIM, PDFS, make

SETTINGS = ["--network=hdnn-h8l3", "--splice=1", "--minibatch-size=64", "--learn-rate=0.01", "--max-iters=2"]
SETTINGS += ["--precision=fp32", "--device=cpu"]
FACTORS = (1, 2, 4)


def write_data(folder: Path, features: dict[str, np.ndarray], like: Path, line: str = "") -> Path:
    folder.mkdir(parents=True)
    kaldiio.save_ark(str(folder / "feats.ark"), features, scp=str(folder / "feats.scp"))
    shutil.copy(like / "utt2spk", folder)
    spk2utts = DataDir(folder).spk2utts
    (folder / "spk2utt").write_text("".join(f"{speaker} {' '.join(utts)}\n" for speaker, utts in spk2utts.items()))
    if line:
        (folder / "feat_opts").write_text(line + "\n")
    return folder


def thin(data: Path, folder: Path, factor: int, line: str | None = None) -> Path:
    """The directory with every `factor`-th row only, and at the end of some utterances a row too many or too few."""
    rows = {}
    for number, (utt, features) in enumerate(FeatureReader(data)):
        kept = features[::factor]
        rows[utt] = (kept, kept[:-1], np.concatenate([kept, kept[-1:] + 1]))[number % 3]
    return write_data(
        folder, rows, data, f"--type=ssl --frame-factor={factor} --frame-tolerance=8" if line is None else line
    )


def repeated(data: Path, lengths: dict[str, int], folder: Path, factor: int) -> Path:
    """A directory of frames of 10 ms from one of `thin`: as it should be read."""
    frames = {}
    for utt, matrix in read_matrices(str(data / "feats.scp")):
        rows = [matrix[min(t // factor, len(matrix) - 1)] for t in range(lengths[utt])]
        frames[utt] = np.stack(rows).astype(np.float32)
    return write_data(folder, frames, data)


@pytest.fixture(scope="module")
def task(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path, Path]:
    return make(tmp_path_factory.mktemp("task"))


@pytest.fixture(scope="module")
def lengths(task: tuple[Path, Path, Path]) -> dict[str, int]:
    found = read_pdf_alignments(task[2], TransitionModel.read(task[2] / "final.mdl"))
    return {utt: len(pdfs) for utt, pdfs in found.items()}


@pytest.fixture(scope="module", params=FACTORS)
def slow(request, task: tuple[Path, Path, Path], tmp_path_factory: pytest.TempPathFactory) -> tuple[int, Path, Path]:
    """Factor, and training and cross-validation data of that rate."""
    folder = tmp_path_factory.mktemp("slow")
    return request.param, *(
        thin(data, folder / name, request.param) for data, name in zip(task, ("tr", "cv"), strict=False)
    )


def train(data: Sequence[Path], ali: Path, directory: Path) -> Path:
    """A network on training and cross-validation data."""
    assert call("train ce", [*SETTINGS, *map(str, data), str(ali), str(ali), str(directory)]) == 0
    return directory


@pytest.fixture(scope="module")
def teacher(
    slow: tuple[int, Path, Path], task: tuple[Path, Path, Path], tmp_path_factory: pytest.TempPathFactory
) -> Path:
    return train(slow[1:], task[2], tmp_path_factory.mktemp("teacher") / "model")


@given(rows=st.integers(1, 40), factor=st.integers(1, 5), difference=st.integers(-9, 9))
def test_rows_are_repeated(rows: int, factor: int, difference: int) -> None:
    frames = rows * factor + difference
    rate = FrameRate(factor, 4)
    with pytest.raises(HdnnError, match="no row stands for 3 frames"):
        rate.expand(np.zeros((0, 2)), 3)
    assert rate.fits(rows, frames) == (abs(difference) <= 4)
    if frames > 0:
        wanted = list(np.repeat(np.arange(rows), factor)) + [rows - 1] * max(0, difference)
        assert rate.expand(np.arange(rows)[:, None], frames)[:, 0].tolist() == wanted[:frames]


@given(counts=st.lists(st.integers(1, 4), min_size=1, max_size=8), frames=st.integers(1, 12))
def test_soft_labels_are_cut_or_their_last_frame_is_repeated(counts: list[int], frames: int) -> None:
    offsets = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
    labels = SparsePosteriors(
        offsets, np.arange(offsets[-1], dtype=np.int32) % 5, np.arange(offsets[-1], dtype=np.float32)
    )
    wanted = labels.dense(5)
    wanted = np.concatenate([wanted, np.repeat(wanted[-1:], frames, 0)])[:frames]
    np.testing.assert_array_equal(labels.with_frames(frames).dense(5), wanted)


@pytest.mark.parametrize(
    ("line", "rate"),
    [
        ("--type=ssl --frame-factor=2 --frame-tolerance=3 --model=x --layer=9", (2, 3)),
        ("--type=ssl --frame-factor=2", (2, 4)),
        ("--type=ssl --frame-factor=4", (4, 8)),
        ("--type=ssl", (1, 0)),
        ("--type=ssl --frame-tolerance=2", (1, 2)),
        ("--type=fbank --frame-factor=2 --frame-shift=20", (2, 4)),
    ],
)
def test_a_line_states_the_rate(tmp_path: Path, line: str, rate: tuple[int, int]) -> None:
    (tmp_path / "feat_opts").write_text(line + "\n")
    assert frame_rate(tmp_path) == FrameRate(*rate)
    found = FeatureDescription.read(tmp_path)
    assert found is not None
    assert FeatureDescription.parse(found.line(), "x") == found


@pytest.mark.parametrize(
    "line",
    [
        "--frame-factor=0",
        "--frame-factor=-2",
        "--frame-factor=1.5",
        "--frame-factor=two",
        "--frame-tolerance=-1",
        "--frame-facter=2",
    ],
)
def test_wrong_lines(tmp_path: Path, line: str) -> None:
    (tmp_path / "feat_opts").write_text(f"--type=ssl {line}\n")
    with pytest.raises(HdnnError, match=rf"^{tmp_path}/feat_opts: --frame-"):
        frame_rate(tmp_path)


@pytest.mark.parametrize(
    ("text", "factor"), [("0.02", 2), ("0.04", 4), ("0.01", 1), ("0.0125", 1), ("0.02013", 1), ("0", 1), ("1e300", 1)]
)
def test_frame_shift_of_other_extractors(tmp_path: Path, text: str, factor: int) -> None:
    """ssl-kaldi-feats writes seconds between rows; what is no multiple of 10 ms says nothing about alignments."""
    (tmp_path / "frame_shift").write_text(text + "\n")
    assert frame_rate(tmp_path).factor == factor
    assert (FeatureDescription.read(tmp_path) is None) == (factor == 1)
    (tmp_path / "frame_shift").write_text("soon\n")
    with pytest.raises(HdnnError, match=r"frame_shift: 'soon' is not a number of seconds"):
        frame_rate(tmp_path)


def test_subsets_keep_it(slow: tuple[int, Path, Path], tmp_path: Path) -> None:
    data = shutil.copytree(slow[1], tmp_path / "data")
    frames = {utt: rows * slow[0] for utt, rows in FeatureReader(data).num_rows.items()}
    (data / "utt2aligned_frames").write_text("".join(f"{utt} {count}\n" for utt, count in frames.items()))
    (data / "frame_shift").write_text("0.02\n")
    DataDir(data).write_subset(list(frames)[:2], tmp_path / "part")
    for name in ("feat_opts", "frame_shift"):
        assert (tmp_path / "part" / name).read_text() == (data / name).read_text()
    assert (tmp_path / "part/utt2aligned_frames").read_text().split()[1::2] == [
        str(c) for c in list(frames.values())[:2]
    ]


def test_training_is_that_on_repeated_rows(slow, task, lengths, teacher: Path, tmp_path: Path) -> None:
    factor, *data = slow
    expanded = [repeated(d, lengths, tmp_path / d.name, factor) for d in data]
    wanted, found = train(expanded, task[2], tmp_path / "model"), load_tensors(teacher / "final.safetensors")
    for name, tensor in load_tensors(wanted / "final.safetensors").items():
        assert torch.equal(tensor, found[name]), name
    network = json.loads((teacher / "model.json").read_text())["network"]
    assert network.get("frame_factor", 1) == factor
    assert (teacher / "feat_opts").read_text() == (data[0] / "feat_opts").read_text()


def forward(model: Path, data: Path, ark: Path) -> dict[str, np.ndarray]:
    assert call("forward", ["--output=posteriors", str(model), str(data), f"ark:{ark}"]) == 0
    return dict(read_matrices(f"ark:{ark}"))


def test_forward_gives_frames(slow, lengths, teacher: Path, tmp_path: Path) -> None:
    """Rows times factor where nothing says more; the numbers of `hdnn feats fit` where they are."""
    factor, data = slow[0], shutil.copytree(slow[1], tmp_path / "data")
    rows = FeatureReader(data).num_rows
    assert {u: len(m) for u, m in forward(teacher, data, tmp_path / "a").items()} == {
        u: factor * n for u, n in rows.items()
    }
    whole = repeated(data, lengths, tmp_path / "whole", factor)
    assert call("feats fit", [str(data), str(whole)]) == 0
    found = forward(teacher, data, tmp_path / "b")
    (whole / "feat_opts").unlink(missing_ok=True)
    model = shutil.copytree(teacher, tmp_path / "model")  # the same network, told that rows are frames
    (model / "feat_opts").unlink()
    text = json.loads((model / "model.json").read_text())
    text["network"].pop("frame_factor", None)
    (model / "model.json").write_text(json.dumps(text))
    wanted = forward(model, whole, tmp_path / "c")
    assert {u: len(m) for u, m in found.items()} == {u: lengths[u] for u in rows}
    for utt, matrix in wanted.items():
        np.testing.assert_array_equal(matrix, found[utt])


def store(teacher: Path, data: list[Path], folder: Path) -> Path:
    """Soft labels of training and cross-validation data."""
    whole = folder / "data"
    whole.mkdir(parents=True)
    for name in ("feats.scp", "utt2spk"):
        (whole / name).write_text("".join((d / name).read_text() for d in data))
    shutil.copy(data[0] / "feat_opts", whole)
    soft = folder / "soft"
    soft.mkdir()
    table = f"ark,scp:{soft}/post.1.ark,{soft}/post.1.scp"
    assert call("soft-labels", ["--mass=1", f"--stats={soft}/stats.1.json", str(teacher), str(whole), table]) == 0
    assert call("collect soft-labels", ["1", str(whole), str(soft)]) == 0
    return soft


def test_distillation_into_frames(slow, task, lengths, teacher: Path, tmp_path: Path) -> None:
    """Stored labels and the teacher on the fly give one student on features of 10 ms; all labels have its lengths."""
    soft = store(teacher, slow[1:], tmp_path / "stored")
    source = open_soft_labels(soft, PDFS)
    before = dict(source.num_frames)
    source.fit(lengths)
    assert source.num_frames == lengths
    assert any(before[utt] != lengths[utt] for utt in lengths)
    assert all(len(source.utterance(utt)) == lengths[utt] for utt in lengths)
    students = []
    for name, where in (("a", [str(soft)]), ("b", [f"--teacher-data={slow[1]} {slow[2]}", str(teacher)])):
        words = [*map(str, task[:2]), *map(str, (task[2], task[2])), str(tmp_path / name)]
        assert call("train kd", [*SETTINGS, *where, *words]) == 0
        students.append(load_tensors(tmp_path / name / "final.safetensors"))
        assert "frame_factor" not in (tmp_path / name / "model.json").read_text()
    for name, tensor in students[0].items():
        # Not the same: at the ends one repeats labels, the other features.
        torch.testing.assert_close(tensor, students[1][name], rtol=1e-2, atol=1e-2)


def test_adaptation_with_its_labels(slow, task, teacher: Path, tmp_path: Path) -> None:
    """Of a student on frames of 10 ms, by stored labels and by the running teacher: no utterance is of another length."""
    student = train(task[:2], task[2], tmp_path / "student")
    soft = store(teacher, slow[1:], tmp_path / "stored")
    for name, more in (("a", [str(soft)]), ("b", [f"--teacher-data={slow[1]}", str(teacher)])):
        source, *options = more[::-1]
        words = ["--labels=soft", *options, str(task[0]), str(student), source, str(tmp_path / name)]
        assert call("adapt", words) == 0
        speakers = json.loads((tmp_path / name / "part.1.json").read_text())["speakers"]
        assert all(not entry["skipped"] and entry["utterances"] == 4 for entry in speakers.values())


def test_adaptation_of_the_teacher(slow, task, teacher: Path, tmp_path: Path) -> None:
    words = ["--labels=supervised", str(slow[1]), str(teacher), str(task[2]), str(tmp_path / "a")]
    assert call("adapt", words) == 0
    speakers = json.loads((tmp_path / "a/part.1.json").read_text())["speakers"]
    assert all(not entry["skipped"] and entry["utterances"] == 4 for entry in speakers.values())


@pytest.mark.parametrize(("true", "stated"), [(2, 1), (4, 1), (4, 2), (2, 4), (1, 2)])
def test_a_wrong_factor_is_named(task, tmp_path: Path, true: int, stated: int) -> None:
    data = [thin(d, tmp_path / d.name, true, f"--type=ssl --frame-factor={stated}") for d in task[:2]]
    wanted = rf"lengths point to another rate: state --frame-factor={true} in {data[0]}/feat_opts$"
    with pytest.raises(HdnnError, match=wanted):
        train(data, task[2], tmp_path / "model")
    assert not (tmp_path / "model/model.json").exists()
    for d in data:
        (d / "feat_opts").unlink()
    if true > 1:
        with pytest.raises(HdnnError, match=rf"write --type=ssl --frame-factor={true} to {data[0]}/feat_opts$"):
            train(data, task[2], tmp_path / "model")


def test_what_does_not_fit_is_refused(task, lengths, tmp_path: Path) -> None:
    data = [thin(d, tmp_path / d.name, 2) for d in task[:2]]
    teacher = train(data, task[2], tmp_path / "teacher")
    # Data of 10 ms, with and without the words for it.
    plain = shutil.copytree(task[0], tmp_path / "plain")
    with pytest.raises(
        HdnnError, match=rf"{teacher}/feat_opts says .*, {plain} has no feat_opts: its rows are taken for"
    ):
        call("forward", [str(teacher), str(plain), "ark:/dev/null"])
    (teacher / "feat_opts").rename(teacher / "away")
    for command in (
        ["forward", str(teacher), str(plain), "ark:/dev/null"],
        ["soft-labels", str(teacher), str(plain), "ark:/dev/null"],
    ):
        with pytest.raises(
            HdnnError, match=r"was trained on features of 50 rows a second \(model.json\), .* 100 rows a second"
        ):
            call(command[0], command[1:])
    with pytest.raises(HdnnError, match=r"model.json"):
        call("adapt", ["--labels=supervised", str(plain), str(teacher), str(task[2]), str(tmp_path / "a")])
    with pytest.raises(HdnnError, match=r"and the table .* does not tell its rate .*; give the data directory"):
        call("forward", [str(teacher), f"scp:{data[0]}/feats.scp", "ark:/dev/null"])
    with pytest.raises(
        HdnnError, match=r"trained on features of 50 rows a second \(model.json\), which a device cannot"
    ):
        call("export nnet3", [str(teacher), str(tmp_path), str(tmp_path / "out")])
    (teacher / "away").rename(teacher / "feat_opts")
    with pytest.raises(HdnnError, match=r"\(--type=ssl --frame-factor=2 --frame-tolerance=8\), which a device cannot"):
        call("export nnet3", ["--feat-type=fbank", str(teacher), str(tmp_path), str(tmp_path / "out")])
    with pytest.raises(HdnnError, match=r"do not go together"):
        train([data[0], plain], task[2], tmp_path / "x")
    with pytest.raises(HdnnError, match=r"model.json"):  # weights of one rate for another
        call(
            "train ce",
            [*SETTINGS, f"--init={teacher}/final.safetensors", *map(str, (*task, task[2])), str(tmp_path / "y")],
        )
    # Lengths that contradict the rows.
    counts = {utt: 2 * rows for utt, rows in FeatureReader(data[0]).num_rows.items()}
    first = next(iter(counts))
    (data[0] / "utt2aligned_frames").write_text("".join(f"{u} {c + 9 * (u == first)}\n" for u, c in counts.items()))
    with pytest.raises(
        HdnnError, match=rf"utterance {first} has .*utt2aligned_frames \(--frame-tolerance=8\); correct --frame"
    ):
        call("forward", [str(teacher), str(data[0]), "ark:/dev/null"])
    (data[0] / "utt2aligned_frames").write_text("".join(f"{u} {c * (u != first)}\n" for u, c in counts.items()))
    with pytest.raises(HdnnError, match=r"utt2aligned_frames: no number of frames for 0 is not between 1"):
        call("forward", [str(teacher), str(data[0]), "ark:/dev/null"])
    (data[0] / "utt2aligned_frames").write_text(f"{first} 3\n")
    with pytest.raises(HdnnError, match=r"utt2aligned_frames: no number of frames for .*; remove the file"):
        call("forward", [str(teacher), str(data[0]), "ark:/dev/null"])


def test_fitting_to_other_features(task, lengths, tmp_path: Path) -> None:
    data = thin(task[0], tmp_path / "data", 2)
    assert call("feats fit", [str(data), str(task[0])]) == 0
    assert FeatureReader(data).num_frames == FeatureReader(task[0]).num_frames
    (data / "feat_opts").write_text("--type=ssl --frame-factor=4\n")
    (data / "utt2aligned_frames").unlink()
    with pytest.raises(HdnnError, match=r"state --frame-factor=2 in .*/data/feat_opts"):
        call("feats fit", [str(data), str(task[0])])
    with pytest.raises(HdnnError, match=r"has no features of .* utterances of"):
        call("feats fit", [str(data), str(task[1])])
    assert not (data / "utt2aligned_frames").exists()


def test_directories_of_ssl_kaldi_feats_are_taken_as_they_are(task, lengths, tmp_path: Path) -> None:
    """What that package writes: compressed archives, utt2num_frames of rows, utt2dur, frame_shift; no utt2spk, no feat_opts."""
    for name, data in zip(("tr", "cv"), task, strict=False):
        folder = tmp_path / name
        folder.mkdir()
        rows = {utt: matrix[: len(matrix) - 1 : 2] for utt, matrix in FeatureReader(data)}
        kaldiio.save_ark(f"{folder}/feats.ark", rows, scp=f"{folder}/feats.scp", compression_method=2)
        (folder / "utt2num_frames").write_text("".join(f"{utt} {len(m)}\n" for utt, m in sorted(rows.items())))
        (folder / "utt2dur").write_text("".join(f"{utt} {0.02 * len(m):.3f}\n" for utt, m in sorted(rows.items())))
        (folder / "frame_shift").write_text("0.02\n")
    teacher = train([tmp_path / "tr", tmp_path / "cv"], task[2], tmp_path / "teacher")
    assert json.loads((teacher / "model.json").read_text())["network"]["frame_factor"] == 2
    assert (teacher / "frame_shift").read_text() == "0.02\n"
    assert call("feats fit", [f"{tmp_path}/cv", str(task[1])]) == 0
    found = forward(teacher, tmp_path / "cv", tmp_path / "ark")
    assert {utt: len(matrix) for utt, matrix in found.items()} == {utt: lengths[utt] for utt in found}
    with pytest.raises(HdnnError, match=r"which a device cannot compute; export a student"):
        call("export nnet3", ["--feat-type=fbank", str(teacher), str(tmp_path), str(tmp_path / "out")])


def test_blocks_of_wide_features_are_smaller(task, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Blocks of as many numbers as are allowed: the training is that with so many --block-frames."""
    words = [*map(str, (*task, task[2]))]
    assert call("train ce", [*SETTINGS, "--block-frames=200", *words, str(tmp_path / "a")]) == 0
    monkeypatch.setattr("hdnn_nnet.train.program._BLOCK_NUMBERS", 200 * DIM + 1)
    train(task[:2], task[2], tmp_path / "b")
    for name, tensor in load_tensors(tmp_path / "a/final.safetensors").items():
        assert torch.equal(tensor, load_tensors(tmp_path / "b/final.safetensors")[name])


def test_the_likely_factor() -> None:
    rows = {"a": 100, "b": 50, "c": 0}
    assert likely_factor(rows, {"a": 203, "b": 98, "c": 0}) == 2
    assert likely_factor(rows, {"a": 150, "b": 75}) is None
    assert likely_factor(rows, {"a": 40}) is None
    assert likely_factor(rows, {}) is None


def test_cmvn_and_deltas_are_those_of_repeated_rows(slow, lengths, tmp_path: Path) -> None:
    factor, data = slow[0], shutil.copytree(slow[1], tmp_path / "data")
    (data / "utt2aligned_frames").write_text("".join(f"{u} {lengths[u]}\n" for u in FeatureReader(data).utts))
    whole = repeated(data, lengths, tmp_path / "whole", factor)
    from hdnn_nnet.feats.collect import speaker_stats
    from hdnn_nnet.kaldi.matrix_writer import write_matrices
    from hdnn_nnet.kaldi.script_table import read_scp

    for folder in (data, whole):
        stats = speaker_stats(FeatureReader(folder), read_scp(folder / "spk2utt"))
        write_matrices(folder / "cmvn.ark", folder / "cmvn.scp", stats)
    options = ("--norm-means=true --norm-vars=true", "--delta-order=1")
    for (utt, found), (_, wanted) in zip(FeatureReader(data, *options), FeatureReader(whole, *options), strict=True):
        np.testing.assert_array_equal(found, wanted, err_msg=utt)
