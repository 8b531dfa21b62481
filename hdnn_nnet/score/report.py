"""Results of model directories as one HTML page that opens offline: tables, curves, gains of speakers, size and speed."""

import html
import re
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

import torch

from hdnn_nnet.adapt.store import INDEX, AdaptDir
from hdnn_nnet.nn.model_dir import load_model
from hdnn_nnet.score.noise import DEV, EVAL, legend, notes
from hdnn_nnet.score.options import BootstrapOptions, ResultOptions
from hdnn_nnet.score.page import charts, curves, errors
from hdnn_nnet.score.page.tables import html_table
from hdnn_nnet.score.page.terms import explained
from hdnn_nnet.score.summary import Result, read_result, systems
from hdnn_nnet.score.table import Sets, set_estimates, table

_FACTOR = re.compile(r"real-time factor (?:assuming \S+ frames/sec is )?([0-9.]+)")
_SPEEDS = '<p class="note">Forward pass: one thread of the machine that wrote this page. Real-time factor: of the decoder.</p>\n'


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


@dataclass
class Material:
    """What the sections of a page are made from.

    Attributes:
        results: systems by name, in the order of the command line.
        sets: DEV or EVAL -> system -> estimate.
        last: name of the set that headline, waterfall, speakers and errors are about: eval where there is one.
        steps: the chain from a student by cross-entropy to what became of it.
    """

    directories: Sequence[Path]
    results: Mapping[str, Sequence[Result]]
    sets: Sets
    decode: Mapping[str, str]
    last: str
    steps: Sequence[str]


def headline(material: Material) -> str:
    """Student, size, WER, and how far from the teacher: the largest network of the page."""
    results, found = material.results, material.sets[material.last]
    student = material.steps[-1]
    first, estimate = results[student][0], found[student]
    largest = max(results, key=lambda n: (results[n][0].parameters, -found[n].value))
    spread = f"95 %: {estimate.interval}" if estimate.interval else "no interval"
    cards = [
        ("name", student, "the student at the end of its chain"),
        ("", f"{estimate.value:.2f} %", f"WER on {material.last} ({spread})"),
        ("", f"{first.parameters / 1e6:.2f} M", "parameters"),
    ]
    if largest != student and results[largest][0].parameters > first.parameters:
        gap, times = estimate.value - found[largest].value, results[largest][0].parameters / first.parameters
        text = f"points from {largest}, {times:.1f} times as large ({found[largest].value:.2f} %)"
        cards.append(("", f"{gap:+.2f}", text))
    shown = "".join(
        f'<div class="card"><b class="{k}">{html.escape(v)}</b><span>{explained(s)}</span></div>' for k, v, s in cards
    )
    return f'<div class="cards">{shown}</div>\n'


def error_rates(material: Material, remarks: Sequence[str]) -> str:
    flat = [result for group in material.results.values() for result in group]
    lines = "".join(f'<p class="note">{explained(line)}</p>\n' for line in remarks if line)
    return html_table(table(flat, EVAL in material.sets, material.sets)) + lines


def size_chart(material: Material) -> str:
    kinds = (("ce", "CE"), ("kd", "KD"), ("smbr", "sMBR"), ("adapted", "adapted to speakers"))
    key = "".join(f'<i class="{kind}">{explained(text)}</i>' for kind, text in kinds)
    shapes = "circles: highway networks, squares: plain ones; bars: 95 % intervals"
    drawn = charts.wer_by_size(material.results, material.sets)
    return f'<p class="note key">{key} {shapes}</p>\n<div class="charts">{drawn}</div>\n'


def gains(material: Material) -> str:
    """The waterfall of the chain, and its speakers; empty where the chain has one system only."""
    if len(material.steps) < 2:
        return ""
    drawn = [
        charts.waterfall(material.steps, material.results, found, part)
        for part, found in material.sets.items() if all(name in found for name in material.steps)
    ]  # fmt: skip
    last = material.results[material.steps[-1]][0].directory
    for part, decode in material.decode.items():
        source = charts.adapted_from(last, part)
        before = source if source else material.results[material.steps[0]][0].directory
        names = (before.name, last.name)
        drawn.append(charts.speakers(before / decode, last / decode, names, part))
    note = "Each speaker before (ring) and after (dot), at the set's own best weight and penalty."
    return f'<div class="charts">{"".join(drawn)}</div>\n<p class="note">{note}</p>\n'


def training(directories: Sequence[Path]) -> str:
    groups = curves.frame_level(directories)
    sequence = curves.sequence_level(directories)
    if sequence:
        groups["objective of sequence training"] = sequence
    if not groups:
        return ""
    note = "Solid: held-out speakers, dashed: training, crosses: epochs that were taken back. Only the charts of one row compare."
    rows = [
        f'<h3>{explained(kind)}</h3>\n<div class="charts smaller">{"".join(c)}</div>\n' for kind, c in groups.items()
    ]
    return f'<p class="note">{note}</p>\n' + "".join(rows)


def mistakes(material: Material, audio: Path | None) -> str:
    """Confusions and worst utterances of the student; empty where hypotheses were not kept."""
    result = material.results[material.steps[-1]][0]
    file = result.eval_file if material.last == EVAL else result.dev
    items = errors.alignments(file) if file else []
    if not items:
        return ""
    keys = [item.key for item in errors.worst(items)]
    sounds = errors.clips(audio, keys) if audio else {}
    key = '<b class="sub">heard as another</b><b class="del">missed</b><b class="ins">invented</b>'
    return (
        f'<p class="note">{html.escape(result.directory.name)} on {material.last}.</p>\n'
        '<p><input type="search" placeholder="find words or speakers" aria-label="find words or speakers"></p>\n'
        f"<h3>Most frequent errors</h3>\n{errors.confusions(items)}"
        f'<h3>Utterances with most errors</h3>\n<p class="note key">{key}</p>\n{errors.utterances(items, sounds)}'
    )


def page(
    directories: Sequence[Path],
    sets: ResultOptions,
    title: str,
    note: str,
    seconds: float,
    bootstrap: BootstrapOptions | None = None,
    audio: Path | None = None,
) -> str:
    """The page of some model directories, adapted ones among them.

    Args:
        seconds: time to measure each network's forward pass.
        audio: data directory of the set whose worst utterances are shown, for players.
    """
    results = [read_result(d, sets.dev, sets.eval, sets.smooth) for d in directories]
    bootstrap = bootstrap or BootstrapOptions()
    found = set_estimates(results, bool(sets.eval), bootstrap)
    grouped = systems(results)
    last = EVAL if sets.eval else DEV
    decode = {DEV: sets.dev, **({EVAL: sets.eval} if sets.eval else {})}
    material = Material(directories, grouped, found, decode, last, charts.chain(grouped))
    remarks = [
        "Weight and penalty are chosen on dev; eval is given at dev's choice.",
        legend(list(found.values()), bootstrap),
        *notes(results, bootstrap),
    ]
    sections = {
        "Word error rates": error_rates(material, remarks),
        "Size": size_chart(material),
        "What each step wins": gains(material),
        "Training": training(directories),
        "Errors": mistakes(material, audio),
        "Size and speed": html_table(size_and_speed(directories, sets.dev, seconds)) + _SPEEDS,
    }
    shown = {name: content for name, content in sections.items() if content}
    links = "".join(f'<a href="#s{n}">{html.escape(name)}</a>' for n, name in enumerate(shown))
    body = "".join(
        f'<section id="s{n}"><h2>{html.escape(name)}</h2>\n{content}</section>\n'
        for n, (name, content) in enumerate(shown.items())
    )
    files = resources.files("hdnn_nnet.score.page")
    style, script = ((files / name).read_text(encoding="utf-8") for name in ("style.css", "script.js"))
    intro = f'<p class="note">{explained(note)}</p>\n' if note else ""
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{html.escape(title)}</title>\n<style>\n{style}</style>\n</head>\n<body>\n<main>\n"
        f"<h1>{html.escape(title)}</h1>\n{intro}{headline(material)}<nav>{links}</nav>\n{body}</main>\n"
        f"<script>\n{script}</script>\n</body>\n</html>\n"
    )
