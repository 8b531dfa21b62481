"""Copies of utterances: never on both sides of a split, and with the targets of their originals where these fit."""

import shutil
from pathlib import Path

import kaldiio
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from hdnn_nnet.cli import call
from hdnn_nnet.corpus.items import Item
from hdnn_nnet.errors import HdnnError
from hdnn_nnet.feats.reader import FeatureReader
from hdnn_nnet.kaldi.copies import one_of_each, originals_by_speaker, stand_ins
from hdnn_nnet.kaldi.script_table import read_scp
from hdnn_nnet.kaldi.split import hold_out
from hdnn_nnet.nn.model_dir import load_tensors
from local.prepare_own import check_speakers, split_off_dev
from tests.support.small_task import make

SPEEDS = ("sp0.9-", "sp1.1-")
SETTINGS = ["--network=hdnn-h8l3", "--splice=1", "--minibatch-size=64", "--learn-rate=0.01", "--max-iters=3"]
SETTINGS += ["--precision=fp32", "--device=cpu"]


def tables(speakers: dict[str, int], prefixes: tuple[str, ...]) -> tuple[dict[str, str], dict[str, str]]:
    """utt2spk of utterances and their copies, in byte order, and utt2uniq."""
    pairs = {
        f"{p}{s}-{n}": (p + s, f"{s}-{n}") for s, count in speakers.items() for n in range(count) for p in prefixes
    }
    names = sorted(pairs)
    return {u: pairs[u][0] for u in names}, {u: pairs[u][1] for u in names if u != pairs[u][1]}


@settings(max_examples=80, deadline=None)
@given(
    st.dictionaries(st.text("abc", min_size=1, max_size=3), st.integers(1, 9), min_size=1, max_size=9),
    st.sampled_from([("", *SPEEDS), SPEEDS, ("", "noise1-"), ("",)]),
    st.floats(5, 50),
    st.integers(0, 3),
)
def test_copies_are_on_one_side(speakers, prefixes, percent: float, seed: int) -> None:
    utt2spk, originals = tables(speakers, prefixes)
    train, held = hold_out(utt2spk, originals, percent, seed)
    sides = [{originals.get(u, u) for u in side} for side in (train, held)]
    assert not sides[0] & sides[1]
    assert len(sides[0] | sides[1]) == sum(speakers.values())  # no original is lost
    assert len(held) == len(sides[1])  # none is held out twice
    assert len(train) == len(prefixes) * len(sides[0])
    if len(speakers) > 1:
        voices = [{utt2spk[u].removeprefix("noise1-").rpartition("-")[2] for u in side} for side in (train, held)]
        assert not voices[0] & voices[1]
    if "" in prefixes:  # the very ones that are held out without copies
        assert set(held) == set(hold_out(*tables(speakers, ("",)), percent, seed)[1])


def test_speakers_who_share_an_original_are_one() -> None:
    utt2spk = {"a-1": "a", "x-1": "x", "x-2": "x", "b-1": "b", "c-1": "c", "y-1": "y", "z-1": "z"}
    originals = {"x-1": "a-1", "x-2": "b-1", "y-1": "gone", "z-1": "gone"}
    assert one_of_each(utt2spk, originals) == ["a-1", "b-1", "c-1", "y-1"]
    groups = {frozenset(utts) for utts in originals_by_speaker(utt2spk, originals).values()}
    assert groups == {frozenset({"a-1", "b-1"}), frozenset({"c-1"}), frozenset({"y-1"})}


def test_a_copy_takes_the_targets_of_the_cleanest_source_that_is_as_long() -> None:
    targets = {"a-1": 100, "sp0.9-a-1": 111, "noise1-a-1": 100}
    frames = {"noise1-a-1": 100, "sp0.9-a-1": 111, "noise2-sp0.9-a-1": 111, "a-1": 100, "sp1.1-a-1": 91, "a-1-rev": 100}
    frames["b"] = 100
    originals = dict.fromkeys(frames, "a-1") | {"b": "b"}
    taken = stand_ins(frames, targets, originals)
    assert taken == {"noise1-a-1": "a-1", "noise2-sp0.9-a-1": "sp0.9-a-1", "a-1-rev": "a-1"}


def add_copies(data: Path, target: Path) -> Path:
    """The data directory with a noisy copy of every utterance and a longer one."""
    target.mkdir()
    source, rng = FeatureReader(data), np.random.default_rng(1)
    features = dict(source)
    for utt, matrix in source:
        features[f"noise1-{utt}"] = matrix + rng.standard_normal(matrix.shape).astype(np.float32)
        features[f"sp0.9-{utt}"] = np.repeat(matrix, 2, 0)[: len(matrix) * 10 // 9]
    names = sorted(features)
    kaldiio.save_ark(str(target / "feats.ark"), {u: features[u] for u in names}, scp=str(target / "feats.scp"))
    speakers = {u: u.rpartition("-")[0] for u in names}
    (target / "utt2spk").write_text("".join(f"{u} {s}\n" for u, s in speakers.items()))
    uniq = {u: u.removeprefix("noise1-").removeprefix("sp0.9-") for u in names}
    (target / "utt2uniq").write_text("".join(f"{u} {o}\n" for u, o in uniq.items()))
    return target


@pytest.fixture(scope="module")
def task(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path, Path]:
    return make(tmp_path_factory.mktemp("task"))


@pytest.fixture(scope="module")
def copies(task: tuple[Path, Path, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    return add_copies(task[0], tmp_path_factory.mktemp("copies") / "data")


def test_split_tr_cv(copies: Path, tmp_path: Path) -> None:
    call("data split-tr-cv", ["--cv-percent=20", str(copies), str(tmp_path / "tr"), str(tmp_path / "cv")])
    train, cv = (read_scp(tmp_path / part / "utt2uniq") for part in ("tr", "cv"))
    assert not set(train.values()) & set(cv.values())
    assert list(cv) == list(cv.values())
    assert len(train) == 3 * len(set(train.values())) == 3 * (20 - len(cv))
    (tmp_path / "list").write_text("s2-u1\nsp0.9-s3-u0\n")
    arguments = ["--cv-list", str(tmp_path / "list"), str(copies), str(tmp_path / "a"), str(tmp_path / "b")]
    call("data split-tr-cv", arguments)
    assert set(read_scp(tmp_path / "b/utt2uniq").values()) == {"s2-u1", "s3-u0"}
    assert len(read_scp(tmp_path / "a/utt2spk")) == 3 * 18
    (tmp_path / "one").mkdir()
    lines = [line for line in (copies / "utt2spk").read_text().splitlines() if line.rpartition(" ")[2].endswith("s1")]
    (tmp_path / "one/utt2spk").write_text("".join(f"{line}\n" for line in lines))
    shutil.copy(copies / "utt2uniq", tmp_path / "one")
    with pytest.raises(HdnnError, match="one speaker only"):  # the prefixes make no others of them
        call("data split-tr-cv", [str(tmp_path / "one"), str(tmp_path / "c"), str(tmp_path / "d")])


@pytest.mark.parametrize("line", ["s2-u1", "s2-u1 s2-u1 s2-u2"])
def test_a_line_without_an_original(line: str, copies: Path, tmp_path: Path) -> None:
    shutil.copytree(copies, tmp_path / "data")
    (tmp_path / "data/utt2uniq").write_text(f"s1-u1 s1-u1\n{line}\n")
    with pytest.raises(HdnnError, match=r"data/utt2uniq: utterance s2-u1: expected the name of its original"):
        call("data split-tr-cv", [str(tmp_path / "data"), str(tmp_path / "tr"), str(tmp_path / "cv")])


def items(prefixes: tuple[str, ...]) -> list[Item]:
    return [
        Item("", f"{p}s{s}", "HI", "a.wav", "here", id=f"{p}s{s}-{n}", original=f"s{s}-{n}" if p else "")
        for p in prefixes
        for s in range(5)
        for n in range(4)
    ]


def test_own_recordings_with_copies() -> None:
    train, dev = split_off_dev(items(("", *SPEEDS)), 20, 777)
    plain = split_off_dev(items(("",)), 20, 777)
    assert dev == plain[1]
    assert [i for i in train if not i.original] == plain[0]
    assert len(train) == 3 * len(plain[0])
    check_speakers({"train": train, "dev": dev})
    with pytest.raises(HdnnError, match="copies of it"):
        check_speakers({"train": [i for i in items(SPEEDS) if i.original == dev[0].key], "dev": dev})


def run(program: str, task: tuple, directory: Path, *more: str, teacher: str = "") -> dict[str, torch.Tensor]:
    data_tr, data_cv, ali = map(str, task)
    first = [teacher] if teacher else []
    assert call(program, [*SETTINGS, *more, *first, data_tr, data_cv, ali, ali, str(directory)]) == 0
    return load_tensors(directory / "final.safetensors")


def subset(copies: Path, target: Path, prefixes: tuple[str, ...]) -> Path:
    """The originals, and the copies with these prefixes."""
    target.mkdir()
    for name in ("feats.scp", "utt2spk", "utt2uniq"):
        lines = (copies / name).read_text().splitlines(keepends=True)
        kept = [line for line in lines if line.startswith(("s0-", "s1-", "s2-", "s3-", "s4-", *prefixes))]
        (target / name).write_text("".join(kept))
    return target


def test_trainings_take_alignments_and_soft_labels_of_originals(task, copies: Path, tmp_path: Path, caplog) -> None:
    """As if alignment and soft labels had been copied under the copies' names; the teacher hears no noise."""
    from hdnn_nnet.kaldi.alignments import read_alignments, write_alignments

    noisy = subset(copies, tmp_path / "noisy", ("noise1-",))
    ali = read_alignments(task[2])
    copied = tmp_path / "ali"
    shutil.copytree(task[2], copied)
    write_alignments(copied / "ali.1.gz", {**ali, **{f"noise1-{u}": a for u, a in ali.items()}})
    plain = tmp_path / "plain"  # without utt2uniq the copies are utterances like others
    shutil.copytree(noisy, plain)
    (plain / "utt2uniq").unlink()

    ours = run("train ce", (noisy, *task[1:]), tmp_path / "ours")
    explicit = run("train ce", (plain, task[1], copied), tmp_path / "explicit")
    assert all(torch.equal(ours[key], explicit[key]) for key in ours)
    with pytest.raises(HdnnError, match="20 without targets"):
        run("train ce", (plain, *task[1:]), tmp_path / "none")

    clean = tmp_path / "clean"  # the noisy utterances' names with clean features: what the teacher is to hear
    shutil.copytree(plain, clean)
    features = read_scp(task[0] / "feats.scp")
    lines = (f"{u} {features[u.removeprefix('noise1-')]}\n" for u in read_scp(plain / "feats.scp"))
    (clean / "feats.scp").write_text("".join(lines))
    teacher = str(tmp_path / "ours")
    student = run("train kd", (noisy, *task[1:]), tmp_path / "student", "--hard-weight=0.3", teacher=teacher)
    hears = ["--hard-weight=0.3", f"--teacher-data={clean} {task[1]}"]
    wanted = run("train kd", (plain, task[1], copied), tmp_path / "wanted", *hears, teacher=teacher)
    assert all(torch.equal(student[key], wanted[key]) for key in student)
    deaf = run("train kd", (plain, task[1], copied), tmp_path / "deaf", "--hard-weight=0.3", teacher=teacher)
    assert not all(torch.equal(student[key], deaf[key]) for key in student)


def test_copies_of_another_length_need_targets_of_their_own(task, copies: Path, tmp_path: Path) -> None:
    faster = subset(copies, tmp_path / "faster", ("sp0.9-",))
    with pytest.raises(HdnnError, match="20 without targets"):
        run("train ce", (faster, *task[1:]), tmp_path / "model")


def test_training_on_copies_of_cross_validation_data_is_refused(task, copies: Path, tmp_path: Path) -> None:
    cv = tmp_path / "cv"
    cv.mkdir()
    for name in ("feats.scp", "utt2spk"):
        lines = (copies / name).read_text().splitlines(keepends=True)
        (cv / name).write_text("".join(line for line in lines if line.startswith("s4-")))
    train = tmp_path / "train"
    train.mkdir()
    for name in ("feats.scp", "utt2spk", "utt2uniq"):
        lines = (copies / name).read_text().splitlines(keepends=True)
        (train / name).write_text("".join(line for line in lines if line.startswith("noise1-")))
    with pytest.raises(HdnnError, match=r"4 utterances, or copies of them, are in both .* \(s4-u0 \.\.\.\)"):
        run("train ce", (train, cv, task[2]), tmp_path / "model")
