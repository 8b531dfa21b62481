"""A table of models: parameters, cross-validation loss, and WER with weight and penalty chosen on dev.

Directories whose names differ in `_s<seed>` at the end share a row: mean ± standard deviation over the seeds.
"""

from collections.abc import Sequence

from hdnn_nnet.score.summary import Result, mean_and_spread, systems


def row(name: str, results: Sequence[Result], sclite: bool) -> list[str]:
    """Cells of one system; `sclite` adds one with its WERs of both sets."""
    first = results[0]
    shown = first.config.name if name.lower() == first.config.name.lower() else name
    cells = [shown, first.criterion, str(len(results)), f"{first.parameters / 1e6:.2f}"]
    cells.append(mean_and_spread([r.cv_loss for r in results if r.cv_loss is not None], 3))
    cells.append(mean_and_spread([100 * r.cv_accuracy for r in results if r.cv_accuracy is not None], 1))
    cells.append("; ".join(f"{r.dev.lmwt}, {r.dev.penalty}" for r in results))
    cells.append(mean_and_spread([r.dev.wer for r in results]))
    if first.evaluation is not None:
        cells.append(mean_and_spread([r.evaluation for r in results if r.evaluation is not None]))
    if sclite:
        scores = [r.sclite for r in results if r.sclite is not None]
        both = (
            mean_and_spread([s[0] for s in scores], 1),
            mean_and_spread([s[1] for s in scores if s[1] is not None], 1),
        )
        cells.append(", ".join(both))
    return cells


def table(results: Sequence[Result], with_eval: bool) -> list[list[str]]:
    """The header and a row for every system."""
    header = ["model", "criterion", "seeds", "M params", "CV loss", "CV frame acc. %", "LMWT, WIP", "dev WER %"]
    if with_eval:
        header.append("eval WER %")
    sclite = any(result.sclite is not None for result in results)
    if sclite:
        header.append("sclite dev, eval %")
    return [header, *(row(name, group, sclite) for name, group in systems(results).items())]


def as_text(rows: Sequence[Sequence[str]]) -> str:
    """A table in Markdown; the first row is the header."""
    widths = [max(len(r[i]) for r in rows) for i in range(len(rows[0]))]
    lines = [rows[0], ["-" * w for w in widths], *rows[1:]]
    return "".join(
        "| " + " | ".join(c.ljust(w) for c, w in zip(cells, widths, strict=True)) + " |\n" for cells in lines
    )
