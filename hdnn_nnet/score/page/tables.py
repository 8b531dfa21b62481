"""Tables that can be sorted, and that become cards where the window is narrow."""

import html
from collections.abc import Sequence

from hdnn_nnet.score.page.terms import explained

Cell = str


def html_table(rows: Sequence[Sequence[Cell]], kind: str = "cards-when-narrow") -> str:
    """The first row is the header; what looks like a number stands at the right."""
    head, *body = rows
    titles = "".join(f'<th scope="col"><button type="button">{explained(cell)}</button></th>' for cell in head)
    lines = []
    for cells in body:
        columns = zip(head, cells, strict=True)
        lines.append(
            "<tr data-search>"
            + "".join(
                f'<td data-label="{html.escape(name)}"{_class(cell)}>{html.escape(cell)}</td>' for name, cell in columns
            )
            + "</tr>"
        )
    return (
        f'<table class="{kind}"><thead><tr>{titles}</tr></thead><tbody>\n' + "\n".join(lines) + "\n</tbody></table>\n"
    )


def _class(cell: str) -> str:
    return ' class="number"' if cell[:1].isdigit() or cell in ("-", "") else ""
