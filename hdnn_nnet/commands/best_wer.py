"""Show the best WER of decode directories; with `--dev`, choose weight and penalty there and report it on `--eval`."""

from dataclasses import dataclass

from hdnn_nnet.options import Options as Base
from hdnn_nnet.options import argument, group, option
from hdnn_nnet.score.options import BootstrapOptions


@dataclass(frozen=True, kw_only=True)
class Options(Base):
    """Results."""

    directories: tuple[str, ...] = argument("decode directories, each shown with its own best", nargs="*", default=())
    dev: str = option("", "decode directory to choose LM weight and penalty on")
    eval: str = option("", "decode directory to report that choice on")
    smooth: int = option(0, "choose by the mean of a WER and those of this many LM weights on both sides", at_least=0)
    bootstrap: BootstrapOptions = group(BootstrapOptions)


EXAMPLE = "hdnn best-wer --dev exp/hdnn/decode_dev --eval exp/hdnn/decode_eval"


def main(options: Options) -> None:
    import sys
    from pathlib import Path

    from hdnn_nnet.errors import HdnnError
    from hdnn_nnet.score.best import choose, read_wer_file, read_wer_files
    from hdnn_nnet.score.noise import toss

    if options.eval and not options.dev:
        raise HdnnError("--eval needs --dev: weight and penalty are never chosen on the evaluation set")
    if not options.dev and not options.directories:
        raise HdnnError("give decode directories, or --dev and --eval")
    chosen = [choose(read_wer_files(directory), options.smooth) for directory in options.directories]
    if options.dev:
        on_dev = choose(read_wer_files(options.dev), options.smooth)
        chosen.append(on_dev)
        if options.eval:
            chosen.append(read_wer_file(Path(options.eval) / f"wer_{on_dev.lmwt}_{on_dev.penalty}"))
    for item in chosen:
        print(f"{item.line} {item.path}")
    if options.eval:
        tossed = toss(Path(options.dev), Path(options.eval), on_dev, options.bootstrap)
        if tossed is not None and tossed.by_chance:
            print(tossed.sentence(), file=sys.stderr)
