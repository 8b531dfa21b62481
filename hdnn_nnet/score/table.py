"""A table of models: parameters, cross-validation loss, and WER with weight and penalty chosen on dev.

Directories whose names differ in `_s<seed>` at the end share a row: mean ± standard deviation over the seeds.
"""

from collections.abc import Mapping, Sequence

from hdnn_nnet.score.noise import DEV, EVAL, MARK, Estimate, estimates
from hdnn_nnet.score.options import BootstrapOptions
from hdnn_nnet.score.summary import Result, mean_and_spread, systems

Sets = Mapping[str, Mapping[str, Estimate]]  # DEV or EVAL -> system -> estimate


def interval_cell(estimate: Estimate | None) -> str:
    """`11.4-16.5 ≈`; `-` where it is not known."""
    if estimate is None or estimate.interval is None:
        return "-"
    return f"{estimate.interval}{' ' + MARK if estimate.tied else ''}"


def set_estimates(results: Sequence[Result], with_eval: bool, options: BootstrapOptions) -> Sets:
    """Estimates of dev, and of eval where it is shown."""
    return {part: estimates(results, part, options) for part in ([DEV, EVAL] if with_eval else [DEV])}


def row(name: str, results: Sequence[Result], sclite: bool, sets: Sets) -> list[str]:
    """Cells of one system; `sclite` adds one with its WERs of both sets, every one of `sets` one with its interval."""
    first = results[0]
    cells = [name, first.criterion, str(len(results)), f"{first.parameters / 1e6:.2f}"]
    cells.append(mean_and_spread([r.cv_loss for r in results if r.cv_loss is not None], 3))
    cells.append(mean_and_spread([100 * r.cv_accuracy for r in results if r.cv_accuracy is not None], 1))
    cells.append("; ".join(f"{r.dev.lmwt}, {r.dev.penalty}" for r in results))
    cells += [interval_cell(found.get(name)) for found in sets.values()]
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


def table(results: Sequence[Result], with_eval: bool, sets: Sets | None = None) -> list[list[str]]:
    """The header and a row for every system; `sets` (of `set_estimates`) are looked up where they are not given."""
    if sets is None:
        sets = set_estimates(results, with_eval, BootstrapOptions())
    shown = {part: found for part, found in sets.items() if any(e.interval for e in found.values())}
    header = ["model", "criterion", "seeds", "M params", "CV loss", "CV frame acc. %", "LMWT, WIP"]
    header += [f"{part} 95 %" for part in shown] + ["dev WER %"]
    if with_eval:
        header.append("eval WER %")
    sclite = any(result.sclite is not None for result in results)
    if sclite:
        header.append("sclite dev, eval %")
    return [header, *(row(name, group, sclite, shown) for name, group in systems(results).items())]


def as_text(rows: Sequence[Sequence[str]]) -> str:
    """A table in Markdown; the first row is the header."""
    widths = [max(len(r[i]) for r in rows) for i in range(len(rows[0]))]
    lines = [rows[0], ["-" * w for w in widths], *rows[1:]]
    return "".join(
        "| " + " | ".join(c.ljust(w) for c, w in zip(cells, widths, strict=True)) + " |\n" for cells in lines
    )
