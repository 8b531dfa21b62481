"""Show the best WER of decode directories; with `--dev`, choose weight and penalty there and report it on `--eval`."""

from collections.abc import Sequence
from pathlib import Path

from hdnn_nnet.cli import OptionParser, run
from hdnn_nnet.errors import HdnnError
from hdnn_nnet.score.best import best, read_wer_file, read_wer_files


def main(argv: Sequence[str] | None = None) -> int:
    """Print lines `%WER ... [ errors / words, ... ] FILE`, as Kaldi's utils/best_wer.sh."""
    parser = OptionParser("hdnn-best-wer", __doc__ or "")
    parser.add_argument("--dev", default="", help="decode directory to choose LM weight and penalty on")
    parser.add_argument("--eval", default="", help="decode directory to report that choice on")
    parser.add_argument("directories", nargs="*", help="decode directories, each shown with its own best")
    options = parser.parse_args(argv)
    if options.eval and not options.dev:
        raise HdnnError("--eval needs --dev: weight and penalty are never chosen on the evaluation set")
    if not options.dev and not options.directories:
        parser.error("give decode directories, or --dev and --eval")
    chosen = [best(read_wer_files(directory)) for directory in options.directories]
    if options.dev:
        on_dev = best(read_wer_files(options.dev))
        chosen.append(on_dev)
        if options.eval:
            chosen.append(read_wer_file(Path(options.eval) / f"wer_{on_dev.lmwt}_{on_dev.penalty}"))
    for item in chosen:
        print(f"{item.line} {item.path}")
    return 0


if __name__ == "__main__":
    run(main, "hdnn-best-wer")
