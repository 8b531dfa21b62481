"""Draw training curves of model directories, a small panel for each model; losses of one kind share their axis."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hdnn_nnet.nn.config import read_json
from hdnn_nnet.score.figures import pyplot
from hdnn_nnet.score.page.curves import loss_kind


def draw(directories: Sequence[str | Path]) -> Any:
    """A matplotlib figure: loss (above) and frame accuracy (below) of every directory that has a history.json."""
    from matplotlib import ticker

    # Sequence training has no cross-validation and no curves here.
    models = [Path(d) for d in directories if (Path(d) / "history.json").is_file()]
    count = max(len(models), 1)
    size = (max(3.1 * count, 6), 5.2)
    figure, axes = pyplot().subplots(2, count, figsize=size, layout="constrained", squeeze=False)
    histories = [read_json(model / "history.json") for model in models]
    kinds = [loss_kind(model) for model in models]
    for column, (model, history) in enumerate(zip(models, histories, strict=True)):
        epochs = [line["epoch"] for line in history]
        rejected = [line for line in history if not line["accepted"]]
        for row, what in enumerate(("loss", "accuracy")):
            panel, factor = axes[row][column], 100 if what == "accuracy" else 1
            for part, style, name in (("train", "--", "training"), ("cv", "-", "held-out speakers")):
                panel.plot(epochs, [factor * line[f"{part}_{what}"] for line in history], style, label=name)
            marks = [factor * line[f"cv_{what}"] for line in rejected]
            panel.plot([line["epoch"] for line in rejected], marks, "rx", label="taken back" if rejected else None)
            same = [h for h, kind in zip(histories, kinds, strict=True) if what == "accuracy" or kind == kinds[column]]
            values = [factor * line[f"{part}_{what}"] for h in same for line in h for part in ("train", "cv")]
            room = 0.06 * (max(values) - min(values)) or 0.1
            panel.set_ylim(min(values) - room, max(values) + room)
            panel.xaxis.set_major_locator(ticker.MaxNLocator(6, integer=True))
            panel.grid(alpha=0.3)
        axes[0][column].set_title(f"{model.name}\n{kinds[column]}", fontsize="medium")
        axes[1][column].set_xlabel("epoch")
    axes[0][0].set_ylabel("loss per frame")
    axes[1][0].set_ylabel("right frames %")
    if models:
        figure.legend(*axes[0][0].get_legend_handles_labels(), loc="outside lower center", ncols=3, frameon=False)
    return figure
