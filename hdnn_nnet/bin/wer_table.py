"""Print a table of models: parameters, cross-validation loss, and WER with weight and penalty chosen on dev."""

from collections.abc import Sequence
from pathlib import Path

from hdnn_nnet.cli import OptionParser, run
from hdnn_nnet.model_dir import load_config
from hdnn_nnet.nn.config import read_json
from hdnn_nnet.score.best import best, read_wer_file, read_wer_files

PROGRAM = "hdnn-wer-table"


def row(directory: Path, dev: str, evaluation: str) -> list[str]:
    """Cells of one model directory."""
    config = load_config(directory)
    history = [epoch for epoch in read_json(directory / "history.json") if epoch["accepted"]]
    on_dev = best(read_wer_files(directory / dev))
    choice = f"{on_dev.lmwt}, {on_dev.penalty}"
    name = directory.name if directory.name.lower() != config.name.lower() else config.name
    cells = [name, f"{read_json(directory / 'model.json')['num_parameters'] / 1e6:.2f}"]
    cells += [f"{history[-1]['cv_loss']:.3f}", f"{100 * history[-1]['cv_accuracy']:.1f}", choice, f"{on_dev.wer:.2f}"]
    if evaluation:
        cells.append(f"{read_wer_file(directory / evaluation / f'wer_{on_dev.lmwt}_{on_dev.penalty}').wer:.2f}")
    return cells


def main(argv: Sequence[str] | None = None) -> int:
    parser = OptionParser(PROGRAM, __doc__ or "")
    parser.add_argument("--dev", default="decode_dev", help="decode directory of the development set in each model")
    parser.add_argument("--eval", default="decode_eval", help="the same of the evaluation set; empty: none")
    parser.add_argument("directories", nargs="+", help="model directories")
    options = parser.parse_args(argv)
    header = ["model", "M params", "CV loss", "CV frame acc. %", "LMWT, WIP", "dev WER %"]
    if options.eval:
        header.append("eval WER %")
    rows = [header, *(row(Path(d), options.dev, options.eval) for d in options.directories)]
    widths = [max(len(r[i]) for r in rows) for i in range(len(header))]
    rows.insert(1, ["-" * w for w in widths])
    for cells in rows:
        print("| " + " | ".join(c.ljust(w) for c, w in zip(cells, widths, strict=True)) + " |")
    return 0


if __name__ == "__main__":
    run(main, PROGRAM)
