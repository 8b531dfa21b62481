"""Draw training curves of model directories."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hdnn_nnet.nn.config import read_json
from hdnn_nnet.score.figures import pyplot


def draw(directories: Sequence[str | Path]) -> Any:
    """A matplotlib figure with the losses and accuracies of every directory that has a history.json."""
    figure, (losses, accuracies) = pyplot().subplots(1, 2, figsize=(11, 4.2), layout="constrained")
    # Sequence training has no cross-validation and no curves here.
    frame_level = [d for d in directories if (Path(d) / "history.json").is_file()]
    for number, directory in enumerate(frame_level):
        history = read_json(Path(directory) / "history.json")
        epochs = [line["epoch"] for line in history]
        rejected = [line for line in history if not line["accepted"]]
        colour, name = f"C{number}", Path(directory).name
        for axes, what in ((losses, "loss"), (accuracies, "accuracy")):
            factor = 100 if what == "accuracy" else 1
            for part, style in (("train", ":"), ("cv", "-")):
                values = [factor * line[f"{part}_{what}"] for line in history]
                axes.plot(epochs, values, style, color=colour, label=f"{name}, {part}")
            marks = [factor * line[f"cv_{what}"] for line in rejected]
            axes.plot([line["epoch"] for line in rejected], marks, "x", color=colour)
    losses.set(
        title="Loss per frame (KD: divergence; x: rejected)",
        xlabel="epoch",
        ylabel="nats",
    )
    accuracies.set(title="Frame accuracy", xlabel="epoch", ylabel="%")
    for axes in (losses, accuracies):
        axes.xaxis.get_major_locator().set_params(integer=True)
        axes.grid(alpha=0.3)
    if frame_level:
        losses.legend(fontsize="small")
    return figure
