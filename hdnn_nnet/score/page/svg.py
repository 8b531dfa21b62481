"""A small chart as SVG. Colours come from the page's style sheet, so that light and dark mode share one drawing."""

import html
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise

#: pixels around the plot: left, right, top, bottom
_MARGIN = (54, 14, 14, 38)


def nice_ticks(low: float, high: float, count: int = 5) -> list[float]:
    """Round numbers between two values, about `count` of them."""
    if not high > low:
        return [low]
    rough = (high - low) / count
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(m * power for m in (1, 2, 2.5, 5, 10) if m * power >= rough * 0.999)
    first = math.ceil(low / step - 1e-9)
    return [round(n * step, 10) for n in range(first, math.floor(high / step + 1e-9) + 1)]


def log_ticks(low: float, high: float) -> list[float]:
    """1, 2, 5, 10 and so on between two positive values; at least two of them where the range has room."""
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    ticks = [m * 10.0**p for p in powers for m in (1, 2, 5) if low <= m * 10.0**p <= high]
    return ticks or [low, high]


@dataclass
class Chart:
    """Axes with marks on them, in data coordinates.

    Args:
        x, y: (lowest, highest) of the axes.
        log_x: logarithmic x axis.
    """

    title: str
    x: tuple[float, float]
    y: tuple[float, float]
    log_x: bool = False
    x_label: str = ""
    y_label: str = ""
    x_ticks: Sequence[float] | None = None
    width: int = 420
    height: int = 290
    numbers_on_y: bool = True
    parts: list[str] = field(default_factory=list)

    def px(self, x: float) -> float:
        """Pixels of a value on the x axis."""
        low, high = self.x
        share = math.log(x / low) / math.log(high / low) if self.log_x else (x - low) / ((high - low) or 1)
        return _MARGIN[0] + share * (self.width - _MARGIN[0] - _MARGIN[1])

    def py(self, y: float) -> float:
        low, high = self.y
        return self.height - _MARGIN[3] - (y - low) / ((high - low) or 1) * (self.height - _MARGIN[2] - _MARGIN[3])

    def line(self, points: Sequence[tuple[float, float]], kind: str) -> None:
        path = " ".join(f"{self.px(x):.1f},{self.py(y):.1f}" for x, y in points)
        self.parts.append(f'<polyline class="line {kind}" points="{path}"/>')

    def whisker(self, x: float, low: float, high: float, kind: str) -> None:
        """An interval."""
        at, top, bottom = self.px(x), self.py(high), self.py(low)
        path = f"M{at:.1f} {top:.1f}V{bottom:.1f}M{at - 4:.1f} {top:.1f}h8M{at - 4:.1f} {bottom:.1f}h8"
        self.parts.append(f'<path class="whisker {kind}" d="{path}"/>')

    def point(self, x: float, y: float, kind: str, tip: str, square: bool = False) -> None:
        at, height = self.px(x), self.py(y)
        shape = (
            f'<rect class="dot {kind}" x="{at - 4:.1f}" y="{height - 4:.1f}" width="8" height="8">'
            if square
            else f'<circle class="dot {kind}" cx="{at:.1f}" cy="{height:.1f}" r="4.5">'
        )
        self.parts.append(f"{shape}<title>{html.escape(tip)}</title></{'rect' if square else 'circle'}>")

    def cross(self, x: float, y: float, kind: str) -> None:
        at, height = self.px(x), self.py(y)
        path = f"M{at - 3.5:.1f} {height - 3.5:.1f}l7 7m0 -7l-7 7"
        self.parts.append(f'<path class="cross {kind}" d="{path}"/>')

    def bar(self, left: float, right: float, low: float, high: float, kind: str, tip: str) -> None:
        x, y = self.px(left), self.py(high)
        box = f'x="{x:.1f}" y="{y:.1f}" width="{self.px(right) - x:.1f}" height="{max(self.py(low) - y, 1):.1f}"'
        self.parts.append(f'<rect class="bar {kind}" {box}><title>{html.escape(tip)}</title></rect>')

    def text(self, x: float, y: float, text: str, kind: str = "", dx: float = 0, dy: float = 0) -> None:
        at = f'x="{self.px(x) + dx:.1f}" y="{self.py(y) + dy:.1f}"'
        self.parts.append(f'<text class="label {kind}" {at}>{html.escape(text)}</text>')

    def svg(self) -> str:
        """The drawing as one element."""
        left, right, top, bottom = _MARGIN[0], self.width - _MARGIN[1], _MARGIN[2], self.height - _MARGIN[3]
        axes = []
        for tick in nice_ticks(*self.y) if self.numbers_on_y else []:
            y = self.py(tick)
            axes.append(f'<path class="grid" d="M{left} {y:.1f}H{right}"/>')
            axes.append(f'<text class="tick end" x="{left - 6}" y="{y + 4:.1f}">{tick:g}</text>')
        ticks = self.x_ticks if self.x_ticks is not None else (log_ticks if self.log_x else nice_ticks)(*self.x)
        for tick in ticks:
            x = self.px(tick)
            axes.append(f'<path class="grid" d="M{x:.1f} {top}V{bottom}"/>')
            axes.append(f'<text class="tick middle" x="{x:.1f}" y="{bottom + 15}">{tick:g}</text>')
        axes.append(
            f'<text class="axis middle" x="{(left + right) / 2}" y="{self.height - 4}">{html.escape(self.x_label)}</text>'
        )
        axes.append(
            f'<text class="axis middle" transform="translate(11 {(top + bottom) / 2}) rotate(-90)">'
            f"{html.escape(self.y_label)}</text>"
        )
        drawn = "".join(axes + self.parts)
        return (
            f'<figure><figcaption>{html.escape(self.title)}</figcaption><svg role="img" aria-label="{html.escape(self.title)}" '
            f'viewBox="0 0 {self.width} {self.height}">{drawn}</svg></figure>\n'
        )


def padded(values: Sequence[float], share: float = 0.12, least: float = 1e-3) -> tuple[float, float]:
    """A range that holds the values with some room around them."""
    low, high = min(values), max(values)
    room = max((high - low) * share, abs(high) * 0.02, least)
    return low - room, high + room


def place_labels(heights: Sequence[float], gap: float = 13) -> list[float]:
    """Moves of labels at these pixel heights, so that none covers another."""
    order = sorted(range(len(heights)), key=lambda i: heights[i])
    placed = list(heights)
    for _ in range(50):
        moved = False
        for a, b in pairwise(order):
            lack = gap - (placed[b] - placed[a])
            if lack > 0.1:
                placed[a], placed[b], moved = placed[a] - lack / 2, placed[b] + lack / 2, True
        if not moved:
            break
    return [new - old for new, old in zip(placed, heights, strict=True)]
