"""Sound files, or what comes through stdin, to words on stdout."""

import logging
import time
from collections.abc import Iterable, Iterator

import numpy as np

from hdnn_nnet.errors import HdnnError
from hdnn_nnet.runtime.audio import file_chunks, stdin_chunks
from hdnn_nnet.runtime.formats import as_ctm, as_json, as_srt
from hdnn_nnet.runtime.load import load_recogniser
from hdnn_nnet.runtime.options import Transcription
from hdnn_nnet.runtime.recogniser import LatticeRecogniser, Piece, Recogniser

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
        HdnnError: no model, no sound file, or no audio in one; of several files the others are transcribed all the same.
    """
    if options.format == "srt" and len(options.audio) > 1:
        raise HdnnError("--format srt numbers the subtitles of one recording; give one file at a time")
    began = time.monotonic()
    recogniser = load_recogniser(options.model_dir, options.recogniser)
    log.info(
        "%s is ready after %.1f s; %d samples a second", options.model_dir, time.monotonic() - began, recogniser.rate
    )
    if "-" in options.audio and isinstance(recogniser, LatticeRecogniser) and recogniser.prepare is not None:
        raise HdnnError(
            f"{options.model_dir} normalises its features by speaker (or adds deltas), which takes a whole recording: "
            "give files, or a model for on-line use (docs/deployment.md)"
        )
    failed = 0
    for name in options.audio:
        try:
            _one(recogniser, name, options)
        except HdnnError as error:
            if len(options.audio) == 1:
                raise
            log.error("%s", error)
            failed += 1
    if failed:
        raise HdnnError(f"{failed} of {len(options.audio)} files could not be transcribed (see above)")


def _one(recogniser: Recogniser, name: str, options: Transcription) -> None:
    """Transcribe one file, or stdin."""
    rate, live = recogniser.rate, options.format == "txt" and len(options.audio) == 1
    clock = _Clock(stdin_chunks(rate, options.chunk) if name == "-" else file_chunks(name, rate, options.chunk), rate)
    began, processor = time.monotonic(), time.process_time()
    pieces: list[Piece] = []
    for piece in recogniser.pieces(clock, confidences=options.format in ("json", "ctm")):
        pieces.append(piece)
        log.info("%s: %.2f to %.2f s, %d words", name, piece.start, piece.end, len(piece.words))
        if live and piece.words:
            print(" ".join(piece.words), flush=True)
    if not clock.seconds:
        raise HdnnError(f"{name} holds no audio")
    words = [word for piece in pieces for word in piece.words]
    text = {
        "txt": lambda: "" if live else " ".join([name, *words]),
        "json": lambda: as_json(name, clock.seconds, pieces),
        "ctm": lambda: as_ctm(name, pieces),
        "srt": lambda: as_srt(pieces),
    }[options.format]()
    if text:
        print(text, flush=True)
    log.info(
        "%s: %d words in %.2f s of audio; real-time factor %.3f by processor time, %.3f by the clock",
        name,
        len(words),
        clock.seconds,
        (time.process_time() - processor) / clock.seconds,
        (time.monotonic() - began) / clock.seconds,
    )
