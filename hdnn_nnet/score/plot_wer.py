"""Draw WER against the number of parameters, one line for each family (DNN, HDNN) and criterion.

Directories whose names differ in `_s<seed>` at the end are one point: their mean. The bar is the 95 % interval (test set and
seeds), or the standard deviation over seeds where hypotheses were not kept.
"""

import statistics
from collections.abc import Sequence
from typing import Any

from hdnn_nnet.score.figures import pyplot
from hdnn_nnet.score.noise import DEV, Estimate
from hdnn_nnet.score.options import BootstrapOptions
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
    # family and criterion -> (parameters, name, mean and bar of each set) of its systems
    families: dict[tuple[str, str], list[tuple[float, str, list[tuple[float, float]]]]] = {}
    for system, group in systems(results).items():
        first = group[0]
        points_of_sets = []
        for part, found in sets.items():
            values = [r.dev.wer if part == DEV else r.evaluation for r in group]
            known = [value for value in values if value is not None]
            points_of_sets.append((found[system].value, half_width(found[system], known)))
        point = (first.parameters / 1e6, first.config.name.split("-")[1], points_of_sets)
        families.setdefault((first.config.arch.upper(), first.criterion), []).append(point)
    figure, axes = pyplot().subplots(1, len(sets), figsize=(6.2 * len(sets), 4.6), layout="constrained", squeeze=False)
    criteria = list(dict.fromkeys(criterion for _, criterion in families))
    for column, part in enumerate(sets):
        panel = axes[0][column]
        for (arch, criterion), points in families.items():
            points.sort(key=lambda p: p[0])
            means = [p[2][column][0] for p in points]
            bars = [p[2][column][1] for p in points]
            panel.errorbar(
                [p[0] for p in points], means, yerr=bars, marker="o" if arch == "HDNN" else "s", capsize=3,
                color=f"C{criteria.index(criterion)}", linestyle="-" if arch == "HDNN" else "--",
                label=f"{arch}, {criterion}",
            )  # fmt: skip
            for (size, name, *_), mean in zip(points, means, strict=True):
                panel.annotate(name, (size, mean), textcoords="offset points", xytext=(4, 4), fontsize="x-small")
        panel.set(xscale="log", xlabel="parameters (millions)", ylabel="WER %", title=f"{title} {part}".strip())
        for axis_formatter in (panel.xaxis.set_major_formatter, panel.xaxis.set_minor_formatter):
            axis_formatter(ticker.FormatStrFormatter("%.2g"))  # 0.3 rather than 3 x 10^-1
        panel.margins(x=0.15)
        panel.grid(alpha=0.3, which="both")
    axes[0][0].legend(fontsize="small")
    return figure
