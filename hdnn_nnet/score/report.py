"""Results of model directories as one HTML page that opens offline: tables, curves, gains of speakers, size and speed."""

import base64
import html
import re
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from hdnn_nnet.adapt.store import INDEX, AdaptDir
from hdnn_nnet.nn.model_dir import load_model
from hdnn_nnet.score import plot_training, plot_wer
from hdnn_nnet.score.figures import png, pyplot
from hdnn_nnet.score.noise import legend, notes
from hdnn_nnet.score.options import BootstrapOptions, ResultOptions
from hdnn_nnet.score.speakers import read_per_speaker
from hdnn_nnet.score.summary import read_result
from hdnn_nnet.score.table import set_estimates, table

_FACTOR = re.compile(r"real-time factor (?:assuming \S+ frames/sec is )?([0-9.]+)")
_SPEEDS = "<p>Forward pass: one thread of the machine that wrote this page. Real-time factor: of the decoder.</p>\n"
_STYLE = """
body { font: 15px/1.5 sans-serif; max-width: 75em; margin: 2em auto; padding: 0 1em; color: #222 }
table { border-collapse: collapse; margin: 1em 0 }
th, td { border-bottom: 1px solid #ccc; padding: .25em .8em; text-align: left; white-space: nowrap }
td + td { font-variant-numeric: tabular-nums }
img { max-width: 100%; height: auto }
p { max-width: 50em }
"""


def html_table(rows: Sequence[Sequence[str]]) -> str:
    """The first row is the header."""
    lines = []
    for number, cells in enumerate(rows):
        kind = "th" if number == 0 else "td"
        lines.append("<tr>" + "".join(f"<{kind}>{html.escape(cell)}</{kind}>" for cell in cells) + "</tr>")
    return "<table>\n" + "\n".join(lines) + "\n</table>\n"


def html_image(figure: Any, text: str) -> str:
    """A figure inside the page."""
    data = base64.b64encode(png(figure)).decode("ascii")
    return f'<img alt="{html.escape(text)}" src="data:image/png;base64,{data}">\n'


def forward_speed(model_dir: Path, seconds: float) -> float:
    """Frames a second of the forward pass on random frames, one thread, batches of 1024."""
    model = load_model(model_dir)
    windows = torch.randn(1024, model.config.input_dim)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with torch.no_grad():
            model.logits(windows)
            started, frames = time.perf_counter(), 0
            while time.perf_counter() - started < seconds:
                torch.log_softmax(model.logits(windows), 1)
                frames += len(windows)
        return frames / (time.perf_counter() - started)
    finally:
        torch.set_num_threads(threads)


def real_time_factor(decode_dir: Path) -> str:
    """Mean over the decoder's logs; `-` where they tell none."""
    found = [
        m
        for path in sorted(decode_dir.glob("log/decode.*.log"))
        for m in _FACTOR.findall(path.read_text("utf-8", "replace"))
    ]
    return f"{sum(map(float, found)) / len(found):.3f}" if found else "-"


def adaptation(directory: Path, part: str) -> AdaptDir | None:
    """The adapted parameters of a set, if the directory is an adapted one."""
    return AdaptDir(directory / part) if (directory / part / INDEX).is_file() else None


def size_and_speed(directories: Sequence[Path], dev: str, seconds: float) -> list[list[str]]:
    header = [
        "model",
        "M params",
        "MB",
        "forward frames/s",
        "decoding real-time factor",
        "kB a speaker",
        "adaptation s a speaker",
    ]
    rows = [header]
    for directory in directories:
        store = adaptation(directory, "dev")
        source = Path(store.content["model"]) if store else directory
        weights = source / "final.safetensors"
        result = read_result(directory, dev, "")
        cells = [directory.name, f"{result.parameters / 1e6:.3f}", f"{weights.stat().st_size / 1e6:.2f}"]
        cells += [f"{forward_speed(source, seconds):.0f}" if not store else "-", real_time_factor(directory / dev)]
        if store:
            sizes = [(store.path / e["file"]).stat().st_size for e in store.speakers.values() if "file" in e]
            times = [e["seconds"] for e in store.speakers.values()]
            cells += [f"{max(sizes, default=0) / 1000:.0f}", f"{sum(times) / max(len(times), 1):.1f}"]
        rows.append([*cells, *["-"] * (len(header) - len(cells))])
    return rows


def draw_gains(directories: Sequence[Path], parts: Sequence[tuple[str, str]]) -> Any | None:
    """WER of every speaker before and after adaptation, one panel for each set; None where nothing was adapted.

    Args:
        parts: (name of the set, its decode directory).
    """
    adapted = [
        (d, part, decode, store) for part, decode in parts for d in directories if (store := adaptation(d, part))
    ]
    if not adapted:
        return None
    sets = list(dict.fromkeys(part for _, part, *_ in adapted))
    figure, axes = pyplot().subplots(1, len(sets), figsize=(6.2 * len(sets), 5.2), layout="constrained", squeeze=False)
    for column, part in enumerate(sets):
        panel = axes[0][column]
        highest = 1.0
        shown = [(d, decode, store) for d, name, decode, store in adapted if name == part]
        for number, (directory, decode, store) in enumerate(shown):
            before = read_per_speaker(Path(store.content["model"]) / decode)
            after = read_per_speaker(directory / decode)
            points = [(before[s].wer, after[s].wer) for s in before if s in after and before[s].words]
            better = sum(b > a for b, a in points)
            panel.scatter(*zip(*points, strict=True), color=f"C{number}", s=22, alpha=0.8,
                          label=f"{directory.name}: {better} of {len(points)} better")  # fmt: skip
            highest = max(highest, *(value for point in points for value in point))
        panel.plot([0, highest], [0, highest], color="0.6", linewidth=1)
        panel.set(xlabel="WER % before", ylabel="WER % after", title=f"{part}: below the line adaptation helps")
        panel.grid(alpha=0.3)
        panel.legend(fontsize="small")
    return figure


def page(
    directories: Sequence[Path],
    sets: ResultOptions,
    title: str,
    note: str,
    seconds: float,
    bootstrap: BootstrapOptions | None = None,
) -> str:
    """The page of some model directories, adapted ones among them.

    Args:
        seconds: time to measure each network's forward pass.
    """
    results = [read_result(d, sets.dev, sets.eval, sets.smooth) for d in directories]
    bootstrap = bootstrap or BootstrapOptions()
    found = set_estimates(results, bool(sets.eval), bootstrap)
    parts = [("dev", sets.dev), *([("eval", sets.eval)] if sets.eval else [])]
    body = [f"<h1>{html.escape(title)}</h1>\n"]
    if note:
        body.append(f"<p>{html.escape(note)}</p>\n")
    body.append("<h2>Word error rates</h2>\n" + html_table(table(results, bool(sets.eval), found)))
    said = [
        "Weight and penalty are chosen on dev; eval is given at dev's choice.",
        legend(list(found.values()), bootstrap),
    ]
    body += [f"<p>{html.escape(line)}</p>\n" for line in [*said, *notes(results, bootstrap)] if line]
    body.append(
        "<h2>WER against parameters</h2>\n" + html_image(plot_wer.draw(results, bool(sets.eval), sets=found), "WER")
    )
    body.append("<h2>Training</h2>\n" + html_image(plot_training.draw(directories), "training curves"))
    gains = draw_gains(directories, parts)
    if gains is not None:
        body.append("<h2>Gain of adaptation by speaker</h2>\n" + html_image(gains, "WER before and after adaptation"))
        body.append("<p>One point a speaker, before and after at the set's own best weight and penalty each.</p>\n")
    body.append("<h2>Size and speed</h2>\n" + html_table(size_and_speed(directories, sets.dev, seconds)))
    body.append(_SPEEDS)
    return (
        f'<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n<title>{html.escape(title)}</title>\n'
        f"<style>{_STYLE}</style>\n</head>\n<body>\n{''.join(body)}</body>\n</html>\n"
    )
