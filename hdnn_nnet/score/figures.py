"""Figures as PNG files or as bytes, drawn without a display."""

import io
import os
from typing import Any

from hdnn_nnet.atomic import atomic_path


def pyplot() -> Any:
    """matplotlib.pyplot; imported when a figure is drawn, as it takes a second."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    return pyplot


def save(figure: Any, path: str | os.PathLike[str]) -> None:
    """Write a figure as PNG, and forget it."""
    with atomic_path(path) as temporary:
        figure.savefig(temporary, dpi=120)
    pyplot().close(figure)


def png(figure: Any) -> bytes:
    """A figure as the bytes of a PNG file; the figure is forgotten."""
    stream = io.BytesIO()
    figure.savefig(stream, dpi=110, format="png")
    pyplot().close(figure)
    return stream.getvalue()
