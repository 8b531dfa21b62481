"""Masks of training features: how often what is hidden, the same after every interruption, and never from a teacher."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from hdnn_nnet.cli import call
from hdnn_nnet.errors import HdnnError
from hdnn_nnet.feats.reader import FeatureReader
from hdnn_nnet.kaldi.alignments import read_pdf_alignments
from hdnn_nnet.nn.model_dir import load_model, load_tensors
from hdnn_nnet.train.checkpoint import load_checkpoint
from hdnn_nnet.train.frames import FrameShuffler
from hdnn_nnet.train.masks import Masks
from hdnn_nnet.train.options import MaskOptions
from hdnn_nnet.train.sgd import Sgd
from tests.support.small_task import make, transition_model

SETTINGS = ["--network=hdnn-h8l3", "--splice=1", "--minibatch-size=64", "--learn-rate=0.01", "--max-iters=3"]
SETTINGS += ["--precision=fp32", "--device=cpu"]
MASKED = ["--freq-masks=1", "--freq-mask-width=2", "--time-masks=2", "--time-mask-width=6"]


def hidden_share(widest: int, length: int, masks: int) -> np.ndarray:
    """How probably each place is hidden, by going through every width and place of a mask."""
    once = np.zeros(length)
    for width in range(widest + 1):
        places = range(length - width + 1)
        for first in places:
            once[first : first + width] += 1 / (widest + 1) / len(places)
    return 1 - (1 - once) ** masks


@pytest.mark.parametrize(
    ("options", "times_widest"),
    [
        (MaskOptions(freq_masks=2, freq_mask_width=3), 0),
        (MaskOptions(time_masks=3, time_mask_width=4, time_mask_share=1.0), 4),
        (MaskOptions(freq_masks=1, freq_mask_width=8, time_masks=1, time_mask_width=9, time_mask_share=0.25), 5),
    ],
)
def test_shares_hidden(options: MaskOptions, times_widest: int) -> None:
    frames, bands, draws = 20, 8, 6000
    masks = Masks(options, 3, bands)
    ones = np.ones((frames, bands), np.float32)
    shown = sum(masks(f"u{n}", 1 + n % 3, ones).astype(np.float64) for n in range(draws)) / draws
    by_band = 1 - hidden_share(options.freq_mask_width if options.freq_masks else 0, bands, options.freq_masks)
    by_time = 1 - hidden_share(times_widest, frames, options.time_masks)
    wanted = np.outer(by_time, by_band)
    assert np.abs(shown - wanted).max() < 5 * 0.5 / np.sqrt(draws)
    assert wanted.min() < 0.8  # it would be noticed if nothing were hidden
    assert (ones == 1).all()


def test_deltas_are_hidden_with_their_band() -> None:
    options = MaskOptions(freq_masks=1, freq_mask_width=5)
    shown = Masks(options, 0, 4)("u", 1, np.ones((7, 12), np.float32)).reshape(7, 3, 4)
    assert (shown == shown[:1, :1]).all()
    assert {tuple(Masks(options, 0, 4)(f"u{n}", 1, np.ones((1, 4)))[0]) for n in range(200)} >= {(0, 0, 0, 0), (1,) * 4}


def test_short_utterances_and_wide_masks() -> None:
    """A mask wider than the features hides at most all of them."""
    masks = Masks(MaskOptions(freq_masks=1, freq_mask_width=99, time_masks=1, time_mask_width=99), 0, 3)
    for frames in range(1, 12):
        assert masks("u", 1, np.ones((frames, 3))).shape == (frames, 3)


@pytest.mark.parametrize("settings", [{}, {"block_frames": 25}, {"world": 2, "rank": 1}, {"minibatch_size": 3}])
def test_what_is_hidden_depends_on_the_utterance_and_the_epoch(settings: dict[str, Any]) -> None:
    lengths = {f"u{n}": 12 + n for n in range(9)}
    masks = Masks(
        MaskOptions(freq_masks=1, freq_mask_width=3, time_masks=1, time_mask_width=6, time_mask_share=0.5), 5, 4
    )

    def features(utt: str) -> np.ndarray:
        return np.arange(1, 4 * lengths[utt] + 1, dtype=np.float32).reshape(-1, 4)

    def targets(utt: str) -> tuple[np.ndarray, ...]:
        return (1000 * int(utt[1:]) + np.arange(lengths[utt]),)

    shuffler = FrameShuffler(lengths, features, targets, 1, 0, seed=2, masking=masks, **settings)
    epochs = {}
    for epoch in (1, 2):
        batches = [b for b in shuffler.epoch(epoch) if len(b.windows)]
        rest = [b for b in shuffler.epoch(epoch, 1) if len(b.windows)]
        assert all(torch.equal(a.windows, b.windows) for a, b in zip(batches[1:], rest, strict=True))
        for batch in batches:
            for window, label in zip(batch.windows, batch.targets[0].tolist(), strict=True):
                utt, frame = f"u{label // 1000}", label % 1000
                shown = masks(utt, epoch, features(utt))
                assert window.view(2, 4).tolist() == shown[[max(frame - 1, 0), frame]].tolist()
        epochs[epoch] = {u: masks(u, epoch, features(u)) for u in lengths}
    assert any((epochs[1][u] != epochs[2][u]).any() for u in lengths)


@pytest.fixture(scope="module")
def task(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path, Path]:
    return make(tmp_path_factory.mktemp("task"))


def train(task: tuple[Path, Path, Path], directory: Path, *more: str, teacher: str = "") -> dict[str, torch.Tensor]:
    data_tr, data_cv, ali = map(str, task)
    program, first = ("train kd", [teacher]) if teacher else ("train ce", [])
    assert call(program, [*SETTINGS, *more, *first, data_tr, data_cv, ali, ali, str(directory)]) == 0
    return load_tensors(directory / "final.safetensors")


def same(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> bool:
    return all(torch.equal(a[key], b[key]) for key in a)


def interrupted(monkeypatch: pytest.MonkeyPatch, steps: int) -> None:
    """The training is cut off in the middle of its last step."""
    step, calls = Sgd.step, []

    def cut_off(*arguments: object) -> None:
        calls.append(1)
        if len(calls) == steps:
            raise KeyboardInterrupt
        step(*arguments)  # type: ignore[arg-type]  # passed on as they came

    monkeypatch.setattr(Sgd, "step", cut_off)


def test_cross_entropy(task: tuple[Path, Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plain = train(task, tmp_path / "plain")
    masked = train(task, tmp_path / "masked", *MASKED)
    assert not same(plain, masked)
    # Masks of no width draw as others do, and change nothing: the order of the data does not depend on them.
    assert same(plain, train(task, tmp_path / "empty", "--freq-masks=3", "--freq-mask-width=0"))
    with monkeypatch.context() as patch:
        interrupted(patch, 30)
        with pytest.raises(KeyboardInterrupt):
            train(task, tmp_path / "resumed", *MASKED)
    assert same(masked, train(task, tmp_path / "resumed", *MASKED))
    with pytest.raises(HdnnError, match=r"another set-up \(freq_mask_width changed\)"):
        train(task, tmp_path / "resumed", *MASKED, "--freq-mask-width=1")
    with pytest.raises(HdnnError, match="another set-up"):
        train(task, tmp_path / "plain", *MASKED)


def test_without_masks_a_checkpoint_says_nothing_of_them(task: tuple[Path, Path, Path], tmp_path: Path) -> None:
    """So that trainings of versions without masks go on."""
    train(task, tmp_path / "plain", "--time-mask-width=3")
    restored = load_checkpoint(tmp_path / "plain" / "checkpoint.safetensors")
    assert restored is not None
    assert not [name for name in restored[1]["signature"] if "mask" in name]


def test_cross_validation_sees_everything(task: tuple[Path, Path, Path], tmp_path: Path) -> None:
    train(task, tmp_path / "model", *MASKED)
    model = load_model(tmp_path / "model")
    labels = read_pdf_alignments(task[2], transition_model())
    losses = []
    with torch.no_grad():
        for utt, features in FeatureReader(task[1]):
            pdfs = torch.from_numpy(labels[utt].astype(np.int64))
            losses.append(torch.nn.functional.cross_entropy(model(torch.from_numpy(features)), pdfs, reduction="none"))
    history = json.loads((tmp_path / "model" / "history.json").read_text())
    stored = [line["cv_loss"] for line in history if line["accepted"]][-1]
    assert float(torch.cat(losses).mean()) == pytest.approx(stored, abs=1e-4)


def test_teachers_see_everything(
    task: tuple[Path, Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A teacher on the fly says what was stored of it before; both resume."""
    train(task, tmp_path / "teacher")
    whole, soft = tmp_path / "whole", tmp_path / "soft"
    for folder in (whole, soft):
        folder.mkdir()
    for name in ("feats.scp", "utt2spk"):
        (whole / name).write_text((task[0] / name).read_text() + (task[1] / name).read_text())
    table = f"ark,scp:{soft}/post.1.ark,{soft}/post.1.scp"
    arguments = ["--mass=1", f"--stats={soft}/stats.1.json", str(tmp_path / "teacher"), str(whole), table]
    assert call("soft-labels", arguments) == 0
    assert call("collect soft-labels", ["1", str(whole), str(soft)]) == 0
    students = {}
    for name, teacher in (("running", tmp_path / "teacher"), ("stored", soft)):
        students[name] = train(task, tmp_path / name, *MASKED, teacher=str(teacher))
        with monkeypatch.context() as patch:
            interrupted(patch, 30)
            with pytest.raises(KeyboardInterrupt):
                train(task, tmp_path / f"{name}_resumed", *MASKED, teacher=str(teacher))
        assert same(students[name], train(task, tmp_path / f"{name}_resumed", *MASKED, teacher=str(teacher)))
    for key, value in students["running"].items():
        torch.testing.assert_close(value, students["stored"][key], rtol=1e-3, atol=1e-3)
