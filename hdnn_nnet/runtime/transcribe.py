"""Sound files, or what comes through stdin, to words on stdout."""

import logging
import time
from collections.abc import Iterable, Iterator

import numpy as np
import torch

from hdnn_nnet.errors import HdnnError
from hdnn_nnet.runtime.audio import file_chunks, stdin_chunks
from hdnn_nnet.runtime.load import load_recogniser
from hdnn_nnet.runtime.options import Transcription
from hdnn_nnet.runtime.recogniser import K2Recogniser

log = logging.getLogger(__name__)


class _Clock:
    """Counts the audio that goes by."""

    def __init__(self, chunks: Iterable[np.ndarray], rate: int) -> None:
        self.chunks, self.rate = chunks, rate
        self.seconds = 0.0

    def __iter__(self) -> Iterator[np.ndarray]:
        for chunk in self.chunks:
            self.seconds += len(chunk) / self.rate
            yield chunk


def transcribe(options: Transcription) -> None:
    """Print the words of each piece, or of each file where there are several.

    Raises:
        HdnnError: no model, no sound file, or no audio in one.
    """
    torch.set_num_threads(options.recogniser.num_threads)
    began = time.monotonic()
    recogniser = load_recogniser(options.model_dir, options.recogniser)
    log.info(
        "%s is ready after %.1f s; %d samples a second", options.model_dir, time.monotonic() - began, recogniser.rate
    )
    if "-" in options.audio and isinstance(recogniser, K2Recogniser) and recogniser.prepare is not None:
        raise HdnnError(
            f"{options.model_dir} normalises its features by speaker (or adds deltas), which takes a whole recording: "
            "give files, or a model for on-line use (docs/deployment.md)"
        )
    for name in options.audio:
        source = (
            stdin_chunks(recogniser.rate, options.chunk)
            if name == "-"
            else file_chunks(name, recogniser.rate, options.chunk)
        )
        clock = _Clock(source, recogniser.rate)
        began, processor = time.monotonic(), time.process_time()
        words: list[str] = []
        for piece in recogniser.pieces(clock):
            words += piece.words
            log.info("%s: %.2f to %.2f s, %d words", name, piece.start, piece.end, len(piece.words))
            if len(options.audio) == 1 and piece.words:
                print(" ".join(piece.words), flush=True)
        if len(options.audio) > 1:
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
