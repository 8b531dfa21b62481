"""Draw WER against the number of parameters, one line for each family (DNN, HDNN) and criterion,.

Directories whose names differ in `_s<seed>` at the end are one point: mean, with the standard deviation over seeds as a bar.
"""

import statistics
from collections.abc import Sequence
from typing import Any

from hdnn_nnet.score.figures import pyplot
from hdnn_nnet.score.summary import Result, systems


def draw(results: Sequence[Result], with_eval: bool, title: str = "") -> Any:
    """A matplotlib figure, one panel for dev and one for eval."""
    from matplotlib import ticker

    # family and criterion -> (parameters, name, WERs of each set) of its systems
    families: dict[tuple[str, str], list[tuple[float, str, list[list[float]]]]] = {}
    for group in systems(results).values():
        first = group[0]
        evaluation = [r.evaluation for r in group if r.evaluation is not None]
        point = (first.parameters / 1e6, first.config.name.split("-")[1], [[r.dev.wer for r in group], evaluation])
        families.setdefault((first.config.arch.upper(), first.criterion), []).append(point)
    sets = ["dev", "eval"] if with_eval else ["dev"]
    figure, axes = pyplot().subplots(1, len(sets), figsize=(6.2 * len(sets), 4.6), layout="constrained", squeeze=False)
    criteria = list(dict.fromkeys(criterion for _, criterion in families))
    for column, part in enumerate(sets):
        panel = axes[0][column]
        for (arch, criterion), points in families.items():
            points.sort(key=lambda p: p[0])
            values = [p[2][column] for p in points]
            means = [statistics.mean(v) for v in values]
            bars = [statistics.stdev(v) if len(v) > 1 else 0.0 for v in values]
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
