"""Draw WER against the number of parameters, one line for each family (DNN, HDNN), criterion and kind of features.

Directories whose names differ in `_s<seed>` at the end are one point: their mean. The bar is the 95 % interval (test set and
seeds), or the standard deviation over seeds where hypotheses were not kept.
"""

import statistics
from collections.abc import Sequence
from typing import Any

from hdnn_nnet.score.figures import pyplot
from hdnn_nnet.score.noise import DEV, Estimate
from hdnn_nnet.score.options import BootstrapOptions
from hdnn_nnet.score.page.svg import log_ticks, place_labels
from hdnn_nnet.score.summary import Result, systems
from hdnn_nnet.score.table import Sets, set_estimates


def half_width(estimate: Estimate, values: Sequence[float]) -> float:
    """Length of a bar to each side: of the 95 % interval, else the standard deviation over seeds, else 0."""
    if estimate.interval is not None:
        return estimate.interval.high - estimate.value
    return statistics.stdev(values) if len(values) > 1 else 0.0


def draw(results: Sequence[Result], with_eval: bool, title: str = "", sets: Sets | None = None) -> Any:
    """A matplotlib figure, one panel for dev and one for eval; `sets` as of `table.table`."""
    from matplotlib import ticker

    if sets is None:
        sets = set_estimates(results, with_eval, BootstrapOptions())
    # family, criterion and features -> (parameters, system, mean and bar of each set) of its systems
    families: dict[tuple[str, str, str], list[tuple[float, str, list[tuple[float, float]]]]] = {}
    for system, group in systems(results).items():
        first = group[0]
        points_of_sets = []
        for part, found in sets.items():
            values = [r.dev.wer if part == DEV else r.evaluation for r in group]
            known = [value for value in values if value is not None]
            points_of_sets.append((found[system].value, half_width(found[system], known)))
        point = (first.parameters / 1e6, system, points_of_sets)
        families.setdefault((first.config.arch.upper(), first.criterion, first.features), []).append(point)
    figure, axes = pyplot().subplots(1, len(sets), figsize=(6.2 * len(sets), 5.2), layout="constrained", squeeze=False)
    colours = list(dict.fromkeys((criterion, features) for _, criterion, features in families))
    mixed = len({features for _, features in colours}) > 1
    sizes = [size for points in families.values() for size, *_ in points]
    low, high = min(sizes) / 1.4, max(sizes) * 2.4  # room for the names
    for column, part in enumerate(sets):
        panel = axes[0][column]
        panel.set(
            xscale="log",
            xlim=(low, high),
            xlabel="parameters (millions)",
            ylabel="WER %",
            title=f"{title} {part}".strip(),
        )
        marks = []
        for number, ((arch, criterion, features), points) in enumerate(families.items()):
            points.sort(key=lambda p: p[0])
            shift = 1.03 ** (number - (len(families) - 1) / 2)  # so that intervals of one size lie side by side
            colour, marker = f"C{colours.index((criterion, features))}", "o" if arch == "HDNN" else "s"
            style = "-" if arch == "HDNN" else "--"
            xs, means = [p[0] * shift for p in points], [p[2][column][0] for p in points]
            label = f"{arch}, {criterion}" + (f", {features}" if mixed and features else "")
            panel.plot(xs, means, color=colour, marker=marker, linestyle=style, label=label)
            for x, mean, (size, name, estimates) in zip(xs, means, points, strict=True):
                if estimates[column][1]:
                    panel.errorbar(x, mean, yerr=estimates[column][1], color=colour, capsize=3, linewidth=1)
                marks.append((size * 1.03 ** ((len(families) + 1) / 2), mean, name, colour))
        _annotate(panel, marks)
        panel.xaxis.set_major_locator(ticker.FixedLocator(log_ticks(low, high)))
        panel.xaxis.set_major_formatter(ticker.FormatStrFormatter("%g"))
        panel.xaxis.set_minor_locator(ticker.NullLocator())
        panel.grid(alpha=0.3)
    figure.legend(
        *axes[0][0].get_legend_handles_labels(), loc="outside lower center", ncols=2, frameon=False, fontsize="small"
    )
    return figure


def _annotate(panel: Any, marks: Sequence[tuple[float, float, str, str]]) -> None:
    """Names beside their points, moved so that none covers another."""
    from matplotlib import patheffects

    halo = [patheffects.withStroke(linewidth=3, foreground="white")]  # a line may pass behind
    pixels = panel.transData.transform([(x, y) for x, y, *_ in marks])
    moves = place_labels(pixels[:, 1].tolist(), 15)
    for (x, y, name, colour), move in zip(marks, moves, strict=True):
        panel.annotate(
            name,
            (x, y),
            textcoords="offset pixels",
            xytext=(6, move - 4),
            fontsize="small",
            color=colour,
            path_effects=halo,
        )
