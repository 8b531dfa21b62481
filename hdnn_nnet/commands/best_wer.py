"""Show the best WER of decode directories; with `--dev`, choose weight and penalty there and report it on `--eval`."""

from dataclasses import dataclass

from hdnn_nnet.options import Options as Base
from hdnn_nnet.options import argument, option


@dataclass(frozen=True, kw_only=True)
class Options(Base):
    """Results."""

    directories: tuple[str, ...] = argument("decode directories, each shown with its own best", nargs="*", default=())
    dev: str = option("", "decode directory to choose LM weight and penalty on")
    eval: str = option("", "decode directory to report that choice on")


EXAMPLE = "hdnn best-wer --dev exp/hdnn/decode_dev --eval exp/hdnn/decode_eval"


def main(options: Options) -> None:
    from pathlib import Path

    from hdnn_nnet.errors import HdnnError
    from hdnn_nnet.score.best import best, read_wer_file, read_wer_files

    if options.eval and not options.dev:
        raise HdnnError("--eval needs --dev: weight and penalty are never chosen on the evaluation set")
    if not options.dev and not options.directories:
        raise HdnnError("give decode directories, or --dev and --eval")
    chosen = [best(read_wer_files(directory)) for directory in options.directories]
    if options.dev:
        on_dev = best(read_wer_files(options.dev))
        chosen.append(on_dev)
        if options.eval:
            chosen.append(read_wer_file(Path(options.eval) / f"wer_{on_dev.lmwt}_{on_dev.penalty}"))
    for item in chosen:
        print(f"{item.line} {item.path}")
