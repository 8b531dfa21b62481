"""Draw the figures of README.md, docs/architecture.md and docs/gmm.md, beside this file.

.venv/bin/python docs/figures/make_figures.py
"""

import itertools
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")

from matplotlib import pyplot
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch

HERE = Path(__file__).parent

INK = "#1f2933"
SOFT_INK = "#52606d"
WHITE = "#ffffff"


@dataclass(frozen=True)
class Colour:
    """Of a frame and of the boxes in it."""

    fill: str
    edge: str


CENTRED: dict[str, Any] = {"ha": "center", "va": "center"}
#: title, lines of text, files or commands
Card = tuple[str, str, str]

GREY = Colour("#f1f3f5", "#868e96")
BLUE = Colour("#e7f1fb", "#3b7ab8")
ORANGE = Colour("#fdf0e0", "#c8791b")
GREEN = Colour("#e6f4ea", "#3a8a55")
PURPLE = Colour("#f0eafa", "#7a58b5")


def canvas(width: float, height: float) -> tuple[Any, Any]:
    """A figure of this size in inches; its coordinates are tenths of an inch."""
    figure = pyplot.figure(figsize=(width, height))
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set(xlim=(0, 10 * width), ylim=(0, 10 * height))
    axes.axis("off")
    return figure, axes


def box(axes: Any, x: float, y: float, width: float, height: float, fill: str, edge: str, line: float = 1.1) -> None:
    """A rounded rectangle; x, y is its lower left corner."""
    shape = "round,pad=0,rounding_size=0.9"
    axes.add_patch(
        FancyBboxPatch((x, y), width, height, boxstyle=shape, facecolor=fill, edgecolor=edge, linewidth=line)
    )


def frame(axes: Any, y: float, height: float, title: str, colour: Colour, x: float = 1, width: float = 78) -> None:
    """A coloured area with its title in the upper left corner."""
    box(axes, x, y, width, height, colour.fill, colour.edge)
    axes.text(x + 1.3, y + height - 1, title, va="top", fontsize=9.5, fontweight="bold", color=colour.edge)


def card(
    axes: Any,
    x: float,
    y: float,
    width: float,
    height: float,
    title: str,
    colour: Colour,
    text: str = "",
    code: str = "",
) -> None:
    """A white box: a title, a line or two of text, a line of files or commands."""
    box(axes, x, y, width, height, WHITE, colour.edge)
    middle, top = x + width / 2, y + height - 1.1
    axes.text(middle, top, title, ha="center", va="top", fontsize=9.5, fontweight="bold", color=INK)
    if text:
        axes.text(middle, top - 2.2, text, ha="center", va="top", fontsize=8.6, color=SOFT_INK, linespacing=1.25)
    if code:
        axes.text(middle, y + 0.95, code, ha="center", va="bottom", fontsize=8, family="monospace", color=INK)


def arrow(
    axes: Any, start: tuple[float, float], end: tuple[float, float], colour: str = INK, bend: str = "arc3"
) -> None:
    style = "-|>,head_length=4.5,head_width=2.4"
    axes.add_patch(
        FancyArrowPatch(
            start, end, arrowstyle=style, connectionstyle=bend, color=colour, linewidth=1.3, shrinkA=0, shrinkB=0
        )
    )


def passing(axes: Any, points: list[tuple[float, float]]) -> None:
    """An arrow with corners."""
    for start, end in itertools.pairwise(points[:-1]):
        axes.plot(*zip(start, end, strict=True), color=INK, linewidth=1.3, solid_capstyle="round")
    arrow(axes, points[-2], points[-1])


def label(axes: Any, x: float, y: float, text: str, ha: str = "left", code: bool = False) -> None:
    family = "monospace" if code else "sans-serif"
    size = 8 if code else 8.6
    axes.text(x, y, text, ha=ha, va="center", fontsize=size, family=family, color=SOFT_INK, linespacing=1.25)


def row(
    axes: Any, y: float, height: float, colour: Colour, cards: list[Card], arrows: bool, x: float, width: float
) -> list[float]:
    """Boxes side by side in a frame of this position and width; gives their middles."""
    gap = 3.0
    each = (width - 3 - gap * (len(cards) - 1)) / len(cards)
    middles = []
    for number, (title, text, code) in enumerate(cards):
        left = x + 1.5 + number * (each + gap)
        card(axes, left, y, each, height, title, colour, text, code)
        middles.append(left + each / 2)
        if arrows and number:
            arrow(axes, (left - gap + 0.2, y + height / 2), (left - 0.2, y + height / 2))
    return middles


def save(figure: Any, name: str) -> None:
    figure.savefig(HERE / name, dpi=200)
    pyplot.close(figure)


def data_flow() -> None:
    """From a corpus, or from Kaldi directories, to words."""
    figure, axes = canvas(8, 8.0)
    wide = (1.0, 78.0)  # left edge and width of the frames of directories and devices
    inner = (5.0, 70.0)  # of the two in between; graph and weights pass by at their sides

    text = "audio and transcripts: yours, AMI,\nor the synthetic mini corpus"
    card(axes, 1, 72, 37, 7.2, "A corpus", GREY, text)
    text = "its data, lang, alignments, graph and\nfeatures are used as they are"
    card(axes, 42, 72, 37, 7.2, "A Kaldi recipe that has been run", GREY, text)
    arrow(axes, (19.5, 72), (19.5, 67.2))
    label(axes, 20.5, 69.7, "this package or Kaldi: features, GMM, graph")
    arrow(axes, (60.5, 72), (60.5, 67.2))

    frame(axes, 54.5, 12.5, "Kaldi directories: the interface", BLUE, *wide)
    cards = [
        ("data", "features by utterance", "feats.scp cmvn.scp"),
        ("lang", "phones, words, lexicon", "phones.txt L.fst"),
        ("alignment", "a tied state per frame", "ali.*.gz final.mdl"),
        ("graph", "the space of the search", "HCLG.fst words.txt"),
    ]
    row(axes, 55.8, 7.9, BLUE, cards, False, *wide)

    frame(axes, 35.5, 14.3, "Networks: from a large teacher to a small student", ORANGE, *inner)
    cards = [
        ("teacher", "cross-entropy\n(and sMBR)", "hdnn train ce"),
        ("student", "learns a teacher's\nsoft labels", "hdnn train kd"),
        ("sequence-trained", "sMBR on\nlattices", "hdnn train smbr"),
        ("adapted", "gates tuned to\neach speaker", "hdnn adapt"),
    ]
    row(axes, 36.8, 9.7, ORANGE, cards, True, *inner)
    arrow(axes, (13.5, 54.5), (13.5, 50))
    label(axes, 14.5, 52.3, "features, alignment")

    frame(axes, 16.5, 14.3, "Recognition", GREEN, *inner)
    cards = [
        ("log-likelihoods", "posteriors / priors,\nthrough a pipe", "hdnn forward"),
        ("search", "by k2 or numpy, or\nlatgen-faster-mapped", "hdnn latgen"),
        ("lattices", "the likely word\nsequences", "lat.*.gz"),
        ("word errors", "by LM weight and\ninsertion penalty", "hdnn score"),
    ]
    found = row(axes, 17.8, 9.7, GREEN, cards, True, *inner)
    arrow(axes, (13.5, 35.5), (13.5, 31))
    label(axes, 14.5, 33.3, "weights, priors")
    arrow(axes, (found[2], 27.5), (found[2], 36.6))
    label(axes, found[2] + 1, 33.3, "for sMBR and adaptation")

    frame(axes, 1, 12.5, "Devices", PURPLE, *wide)
    cards = [
        ("Kaldi nnet3", "for Kaldi's decoders and Vosk", "hdnn export nnet3"),
        ("ONNX", "float and 8-bit, streaming too", "hdnn export onnx"),
        ("words", "from files, or as they come in", "hdnn transcribe"),
    ]
    row(axes, 2.3, 7.9, PURPLE, cards, False, *wide)
    passing(axes, [(5, 42), (2.7, 42), (2.7, 13.7)])
    passing(axes, [(77.3, 54.5), (77.3, 13.7)])
    passing(axes, [(77.3, 24), (75.2, 24)])
    label(axes, 76.5, 52.3, "graph", ha="right")
    save(figure, "data_flow.png")


def gmm() -> None:
    """GMM systems, each from the alignment of the one before, and what networks take of the last."""
    figure, axes = canvas(8, 5.8)
    whole = (1.0, 78.0)

    frame(axes, 43.5, 13.5, "Features", GREY, *whole)
    cards = [
        ("MFCC, deltas", "13 numbers and two\nderivatives: 39", "delta_opts"),
        ("the same", "mean of each\nspeaker taken off", "cmvn_opts"),
        ("LDA + MLLT", "7 frames, reduced\nto 40, decorrelated", "final.mat"),
        ("fMLLR", "an affine transform\nfor each speaker", "trans.*"),
    ]
    middles = row(axes, 44.6, 9.2, GREY, cards, False, *whole)

    frame(axes, 22, 14, "GMMs: each begins with the alignment of the one before", BLUE, *whole)
    cards = [
        ("mono", "phones; from\na flat start", "train_mono.sh"),
        ("tri1, tri2a", "phones in context:\ntree, then EM", "train_deltas.sh"),
        ("tri3a", "a new tree;\nLDA and MLLT", "train_lda_mllt.sh"),
        ("tri4a", "a new tree; speaker-\nadaptive training", "train_sat.sh"),
    ]
    row(axes, 23.2, 9.4, BLUE, cards, True, *whole)
    for middle in middles:
        arrow(axes, (middle, 43.5), (middle, 36.2))

    frame(axes, 1, 13.5, "For the networks", ORANGE, *whole)
    cards = [
        ("alignment", "a tied state for each frame,\nby speaker transforms", "align_fmllr.sh"),
        ("features", "transforms of dev and eval\nfrom decoding in two passes", "decode_fmllr.sh"),
        ("graph", "words, pronunciations,\nstates in context", "mkgraph.sh"),
    ]
    for middle in row(axes, 2.1, 9.2, ORANGE, cards, False, *whole):
        arrow(axes, (middle, 22), (middle, 14.7))
    label(axes, 15.5, 18.4, "of tri4a")
    save(figure, "gmm.png")


#: from the top down: rooms of each floor, whether their neighbours import each other, from right to left
FLOORS: list[tuple[list[tuple[str, str, Colour]], bool]] = [
    ([("commands/", "one module per command", GREY), ("cli", "which module is which command", GREY)], True),
    ([("export/", "nnet3, Vosk, ONNX", PURPLE), ("runtime/", "transcribing by torch, Vosk, ONNX", PURPLE)], True),
    ([("adapt/", "parameters of each speaker", ORANGE), ("score/", "WER, CTM, tables, report", GREEN)], True),
    ([("sequence/", "sMBR, MPFE, MMI on lattices", ORANGE)], False),
    ([("train/", "what trainings share; frame loop", ORANGE), ("decode/", "beam search by k2 or numpy", GREEN)], False),
    ([("align/", "forced alignment", GREEN), ("gmm/", "Gaussian mixtures, trees, transforms", GREEN)], True),
    (
        [
            ("nn/", "networks, losses, model dir, prior", ORANGE),
            ("graph/", "HCLG and its checks", GREEN),
            ("corpus/", "recordings to data dirs", BLUE),
        ],
        False,
    ),
    ([("lang/", "lexicon, n-grams, lang dir", BLUE), ("feats/", "extraction, reading, CMVN", BLUE)], False),
    ([("lattice/", "reading and writing, best path, n-best, oracle, determinization", BLUE)], False),
    ([("kaldi/", "formats: tables, alignments, FSTs, transitions, trees, nnet1", BLUE)], False),
    ([("options", "each option is stated once", GREY), ("device/", "GPU, memory, packages", GREY)], True),
    (
        [
            ("text", "lines and words", GREY),
            ("atomic, lock", "whole files, one run", GREY),
            ("ragged", "uneven arrays", GREY),
            ("progress", "bars and lines", GREY),
        ],
        False,
    ),
    ([("errors", "one line each, and the remedy", GREY), ("processes", "at work or ended", GREY)], False),
]


def rooms() -> None:
    """The modules of hdnn_nnet, and the direction of their imports."""
    height, step, base = 5.0, 6.2, 1.2
    figure, axes = canvas(8, (step * len(FLOORS) + base) / 10)
    left, right = 8.0, 79.0
    for number, (floor, joined) in enumerate(reversed(FLOORS)):
        y = base + number * step
        gap = 3.0 if joined else 2.0
        width = (right - left - gap * (len(floor) - 1)) / len(floor)
        for place, (name, text, colour) in enumerate(floor):
            x = left + place * (width + gap)
            box(axes, x, y, width, height, colour.fill, colour.edge)
            axes.text(
                x + width / 2, y + 3.4, name, **CENTRED, fontsize=9.5, fontweight="bold", family="monospace", color=INK
            )
            axes.text(x + width / 2, y + 1.5, text, **CENTRED, fontsize=8.6, color=SOFT_INK)
            if joined and place:
                arrow(axes, (x - 0.1, y + height / 2), (x - gap + 0.2, y + height / 2))
    top = base + step * (len(FLOORS) - 1) + height
    arrow(axes, (4.6, top), (4.6, base))
    axes.text(2.6, (top + base) / 2, "imports", rotation=90, **CENTRED, fontsize=9.5, color=INK)
    save(figure, "rooms.png")


if __name__ == "__main__":
    data_flow()
    gmm()
    rooms()
