"""Charts of word error rates: against size, along the chain, by speaker."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from hdnn_nnet.adapt.store import INDEX, AdaptDir
from hdnn_nnet.score.noise import Estimate
from hdnn_nnet.score.page.svg import Chart, log_ticks, padded, place_labels
from hdnn_nnet.score.speakers import read_per_speaker
from hdnn_nnet.score.summary import Result

#: eval WER in % on AMI IHM by million parameters (Lu, Guo and Renals, ICASSP 2017 and SLT 2016): cross-entropy
PAPER = {
    "DNN": ((0.71, 34.1), (1.7, 30.4), (4.6, 28.0), (30.0, 26.8)),
    "HDNN": ((0.74, 32.0), (1.8, 28.6), (5.1, 27.2)),
}
#: room for the names of speakers, in shares of the axis
_NAMES = 0.45
#: what becomes of the smallest one: its name, and eval WER in %
PAPER_CHAIN = (("CE", 32.0), ("KD", 31.3), ("KD + sMBR", 28.4), ("adapted", 27.1))


def wer_by_size(results: Mapping[str, Sequence[Result]], sets: Mapping[str, Mapping[str, Estimate]]) -> str:
    """One chart for each set, with intervals, and the paper's beside them."""
    charts = []
    sizes = [group[0].parameters / 1e6 for group in results.values()]
    low, high = min(sizes) / 1.35, max(sizes) * 2.6  # room for the names
    for part, found in sets.items():
        bounds = [v for e in found.values() for v in ((e.interval.low, e.interval.high) if e.interval else (e.value,))]
        chart = Chart(
            f"{part}: WER against size", (low, high), padded(bounds), True, "parameters (millions)", "WER %",
            log_ticks(low, high),
        )  # fmt: skip
        names = [name for name in results if name in found]
        moves = place_labels([chart.py(found[name].value) for name in names])
        # Those of one size lie side by side, each with its own interval.
        for name, move in zip(names, moves, strict=True):
            estimate, first = found[name], results[name][0]
            kind = _kind(first.criterion)
            same = [n for n in names if results[n][0].parameters == first.parameters]
            size = first.parameters / 1e6 * 1.035 ** (same.index(name) - (len(same) - 1) / 2)
            if estimate.interval:
                chart.whisker(size, estimate.interval.low, estimate.interval.high, kind)
            tip = f"{name}: {estimate.value:.2f} %" + (
                f", 95 % interval {estimate.interval}" if estimate.interval else ""
            )
            chart.point(size, estimate.value, kind, tip, square=first.config.arch == "dnn")
            right = max(results[n][0].parameters for n in same) / 1e6 * 1.035 ** ((len(same) - 1) / 2)
            chart.text(right, estimate.value, name, kind, dx=10, dy=move + 4)
        charts.append(chart.svg())
    values = [wer for line in PAPER.values() for _, wer in line] + [wer for _, wer in PAPER_CHAIN]
    paper = Chart(
        "For comparison: the paper, AMI eval", (0.5, 50), padded(values), True, "parameters (millions)", "WER %"
    )
    for arch, line in PAPER.items():
        paper.line(line, "ce" if arch == "HDNN" else "other")
        for size, wer in line:
            paper.point(size, wer, "ce" if arch == "HDNN" else "other", f"{arch}: {wer} %", square=arch == "DNN")
        paper.text(
            *line[-1],
            arch,
            "ce" if arch == "HDNN" else "other",
            dx=-12,
            dy=-10 if arch == "DNN" else 18,
        )
    for name, wer in PAPER_CHAIN[1:]:
        paper.point(0.74, wer, _kind(name), f"HDNN-H128L10, {name}: {wer} %")
        paper.text(0.74, wer, name, _kind(name), dx=8, dy=4)
    return "".join([*charts, paper.svg()])


def _kind(criterion: str) -> str:
    """The style of a point by what its network was trained with."""
    for word, kind in (("adapted", "adapted"), ("sMBR", "smbr"), ("MPFE", "smbr"), ("MMI", "smbr"), ("KD", "kd")):
        if word in criterion:
            return kind
    return "ce"


def chain(results: Mapping[str, Sequence[Result]]) -> list[str]:
    """The systems from a student by cross-entropy to what became of it: each name begins with the one before."""
    chains = []
    for last in results:
        before = sorted((n for n in results if last == n or last.startswith(n + "_")), key=len)
        chains.append(before)
    # The longest; of equal ones the one that ends lowest.
    return max(chains, key=lambda names: (len(names), -results[names[-1]][0].dev.wer), default=[])


def waterfall(
    names: Sequence[str], results: Mapping[str, Sequence[Result]], found: Mapping[str, Estimate], part: str
) -> str:
    """What each step of the chain wins, from the first system's WER down to the last one's."""
    values = [found[name].value for name in names]
    chart = Chart(f"{part}: what each step wins", (0, len(names)), (0, 1.15 * max(values)), y_label="WER %", x_ticks=[])
    before = None
    for number, (name, value) in enumerate(zip(names, values, strict=True)):
        kind, step = (
            _kind(results[name][0].criterion),
            name.removeprefix(names[number - 1]).strip("_") if number else "CE",
        )
        left, right = number + 0.15, number + 0.85
        if before is None:
            chart.bar(left, right, chart.y[0], value, kind, f"{name}: {value:.2f} %")
        else:
            chart.bar(left, right, min(before, value), max(before, value), kind if value <= before else "worse",
                      f"{name}: {value:.2f} %, {value - before:+.2f} points")  # fmt: skip
            chart.line([(number - 0.15, before), (right, before)], "thin")
        change = f"{value:.2f}" if before is None else f"{value - before:+.2f}"
        chart.text(number + 0.5, max(value, before if before is not None else value), change, "middle strong", dy=-6)
        chart.text(number + 0.5, chart.y[0], step, "middle", dy=17)
        before = value
    return chart.svg()


def speakers(before: Path, after: Path, names: tuple[str, str], part: str) -> str:
    """WER of every speaker before and after, those that won most on top; empty where no speaker is in both.

    Raises:
        HdnnError: no counts by speaker.
    """
    first, second = read_per_speaker(before), read_per_speaker(after)
    rows = [(s, first[s].wer, second[s].wer) for s in first if s in second and first[s].words]
    if not rows:
        return ""
    rows.sort(key=lambda row: row[2] - row[1])
    shown = rows if len(rows) <= 24 else rows[:12] + rows[-12:]
    better = sum(b < a for _, a, b in rows)
    high = max(max(a, b) for _, a, b in shown) * 1.08 + 1
    chart = Chart(
        f"{part}: {better} of {len(rows)} speakers better ({names[0]} → {names[1]})",
        (-_NAMES * high, high), (-0.6, len(shown) - 0.4), x_label="WER %", height=60 + 17 * len(shown), numbers_on_y=False,
        x_ticks=range(0, int(high) + 1, 5 if high < 45 else 10 if high < 90 else 20),
    )  # fmt: skip
    for number, (speaker, a, b) in enumerate(shown):
        y = len(shown) - 1 - number
        chart.line([(a, y), (b, y)], "gain" if b <= a else "loss")
        chart.point(a, y, "hollow", f"{speaker}: {a:.1f} % before")
        chart.point(b, y, "adapted" if b <= a else "worse", f"{speaker}: {b:.1f} % after")
        chart.text(-_NAMES * high, y, speaker, "", dx=-48, dy=4)
    return chart.svg()


def adapted_from(directory: Path, part: str) -> Path | None:
    """The model that an adapted directory comes from."""
    folder = directory / part
    return Path(AdaptDir(folder).content["model"]) if (folder / INDEX).is_file() else None
