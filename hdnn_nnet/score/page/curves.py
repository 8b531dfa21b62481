"""Training curves, a small chart for each model; only losses of one criterion share an axis."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hdnn_nnet.kaldi.text_file import read_word
from hdnn_nnet.nn.config import read_json
from hdnn_nnet.score.page.svg import Chart, padded

_WIDTH, _HEIGHT = 300, 200


def _epochs(history: Sequence[dict[str, Any]]) -> tuple[float, float]:
    return 0.5, max(len(history), 2) + 0.5


def _ticks(history: Sequence[dict[str, Any]]) -> list[float]:
    step = max(1, round(len(history) / 6))
    return [float(n) for n in range(1, len(history) + 1, step)]


def loss_kind(directory: Path) -> str:
    """What a model's frame-level loss is: only those of one kind can be compared."""
    path = directory / "criterion"
    text = read_word(path) if path.is_file() else "CE"
    return "divergence from the teacher" if text.startswith("KD") else "cross-entropy"


def frame_level(directories: Sequence[Path]) -> dict[str, list[str]]:
    """Kind of loss -> a chart of each model: losses with training dashed, rejected epochs crossed out."""
    with_history = [d for d in directories if (d / "history.json").is_file()]
    groups: dict[str, list[Path]] = {}
    for directory in with_history:
        groups.setdefault(loss_kind(directory), []).append(directory)
    charts: dict[str, list[str]] = {}
    for kind, members in groups.items():
        histories = [read_json(d / "history.json") for d in members]
        values = [line[key] for history in histories for line in history for key in ("train_loss", "cv_loss")]
        for directory, history in zip(members, histories, strict=True):
            chart = Chart(directory.name, _epochs(history), padded(values, 0.06), x_label="epoch", y_label="loss per frame",
                          x_ticks=_ticks(history), width=_WIDTH, height=_HEIGHT)  # fmt: skip
            chart.line([(line["epoch"], line["train_loss"]) for line in history], "train")
            chart.line([(line["epoch"], line["cv_loss"]) for line in history], "cv")
            for line in history:
                if line["accepted"]:
                    tip = f"epoch {line['epoch']}: {line['cv_loss']:.4f}, {100 * line['cv_accuracy']:.1f} % of frames right"
                    chart.point(line["epoch"], line["cv_loss"], "cv small", tip)
                else:
                    chart.cross(line["epoch"], line["cv_loss"], "worse")
            charts.setdefault(kind, []).append(chart.svg())
    return charts


def sequence_level(directories: Sequence[Path]) -> list[str]:
    """The objective of sequence trainings by iteration, which is to rise."""
    charts = []
    for directory in directories:
        path = directory / "history_sequence.json"
        if not path.is_file():
            continue
        history = read_json(path)
        values = [line["objective"] for line in history]
        chart = Chart(directory.name, _epochs(history), padded(values, 0.2), x_label="iteration", y_label="objective per frame",
                      x_ticks=_ticks(history), width=_WIDTH, height=_HEIGHT)  # fmt: skip
        points = [(line["iteration"], line["objective"]) for line in history]
        chart.line(points, "smbr")
        for iteration, value in points:
            chart.point(iteration, value, "smbr", f"iteration {iteration}: {value:.4f}")
        charts.append(chart.svg())
    return charts
