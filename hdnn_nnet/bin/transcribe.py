"""Transcribe speech: sound files, or what comes through stdin, to words on stdout.

With one file, or `-` for stdin, every piece of speech gives a line as soon as it is over; with several files each gives a line
that begins with its name. Progress and timing go to stderr.
"""

import logging
import time
from argparse import Namespace
from collections.abc import Iterable, Iterator, Sequence

import numpy as np
import torch

from hdnn_nnet.cli import OptionParser, run
from hdnn_nnet.errors import HdnnError
from hdnn_nnet.export.source import add_feature_options
from hdnn_nnet.recognise.audio import file_chunks, stdin_chunks
from hdnn_nnet.recognise.load import RUNTIMES, Choices, load_recogniser
from hdnn_nnet.recognise.recogniser import K2Recogniser, Pauses, Recogniser

log = logging.getLogger(__name__)
PROGRAM = "hdnn-transcribe"


def parser() -> OptionParser:
    options = OptionParser(PROGRAM, __doc__ or "")
    options.add_argument("model_dir", help="a trained model, or an export")
    options.add_argument("audio", nargs="+", help="sound files; -: stdin, WAV or raw 16-bit samples of one channel")
    options.add_argument("--runtime", choices=("", *RUNTIMES), default="", help="default: what the directory is for")
    options.add_argument(
        "--graph-dir", default="", help="decoding graph; default: the model's own, or the one beside it"
    )
    options.add_argument("--weights", default="final.safetensors", help="weights file of a trained model")
    options.add_argument("--params", default="", help="tensors that replace the model's, such as one speaker's gates")
    add_feature_options(options)
    options.add_argument("--lm-weight", type=float, help="default: the best of decode_dev, else 10")
    options.add_argument("--word-ins-penalty", type=float, help="default: the best of decode_dev, else 0")
    options.add_argument("--beam", type=float, help="search beam; default 11")
    options.add_argument("--lattice-beam", type=float, help="lattice beam; default 6")
    options.add_argument("--max-active", type=int, help="limit of active states; default 2000")
    options.add_argument("--pause", type=float, default=0.4, help="seconds of silence that end a piece")
    options.add_argument("--longest", type=float, default=20.0, help="seconds after which a piece ends without a pause")
    options.add_argument("--chunk", type=float, default=0.2, help="seconds of audio that are taken at a time")
    options.add_argument("--num-threads", type=int, default=1, help="CPU threads of the network")
    return options


def load(args: Namespace) -> Recogniser:
    """The recogniser that the options ask for."""
    given = {"beam": args.beam, "lattice_beam": args.lattice_beam, "max_active": args.max_active}
    choices = Choices(
        runtime=args.runtime,
        graph_dir=args.graph_dir,
        weights=args.weights,
        params=args.params,
        feat_type=args.feat_type,
        feat_config=args.feat_config,
        lm_weight=args.lm_weight,
        penalty=args.word_ins_penalty,
        pauses=Pauses(pause=args.pause, longest=args.longest),
        search={name: value for name, value in given.items() if value is not None},
        num_threads=args.num_threads,
    )
    return load_recogniser(args.model_dir, choices)


class _Clock:
    """Counts the audio that goes by."""

    def __init__(self, chunks: Iterable[np.ndarray], rate: int) -> None:
        self.chunks, self.rate = chunks, rate
        self.seconds = 0.0

    def __iter__(self) -> Iterator[np.ndarray]:
        for chunk in self.chunks:
            self.seconds += len(chunk) / self.rate
            yield chunk


def main(argv: Sequence[str] | None = None) -> int:
    args = parser().parse_args(argv)
    if not (args.chunk > 0 and args.pause > 0 and args.longest > args.pause):
        raise HdnnError("--chunk and --pause must be positive, --longest more than --pause")
    torch.set_num_threads(args.num_threads)
    began = time.monotonic()
    recogniser = load(args)
    log.info("%s is ready after %.1f s; %d samples a second", args.model_dir, time.monotonic() - began, recogniser.rate)
    if "-" in args.audio and isinstance(recogniser, K2Recogniser) and recogniser.prepare is not None:
        raise HdnnError(
            f"{args.model_dir} normalises its features by speaker (or adds deltas), which takes a whole recording: "
            "give files, or a model for on-line use (docs/deployment.md)"
        )
    for name in args.audio:
        source = (
            stdin_chunks(recogniser.rate, args.chunk) if name == "-" else file_chunks(name, recogniser.rate, args.chunk)
        )
        clock = _Clock(source, recogniser.rate)
        began, processor = time.monotonic(), time.process_time()
        words: list[str] = []
        for piece in recogniser.pieces(clock):
            words += piece.words
            log.info("%s: %.2f to %.2f s, %d words", name, piece.start, piece.end, len(piece.words))
            if len(args.audio) == 1 and piece.words:
                print(" ".join(piece.words), flush=True)
        if len(args.audio) > 1:
            print(" ".join([name, *words]), flush=True)
        if not clock.seconds:
            raise HdnnError(f"{name} holds no audio")
        log.info(
            "%s: %d words in %.2f s of audio; %.2f s by the clock, real-time factor %.3f",
            name,
            len(words),
            clock.seconds,
            time.monotonic() - began,
            (time.process_time() - processor) / clock.seconds,
        )
    return 0


def program() -> None:
    """The console script."""
    run(main, PROGRAM)


if __name__ == "__main__":
    program()
