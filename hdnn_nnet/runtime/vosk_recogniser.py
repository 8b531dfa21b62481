"""Words from audio by Vosk, which is Kaldi in one library, and an exported model."""

import json
import os
from collections.abc import Iterable, Iterator

import numpy as np

from hdnn_nnet.errors import HdnnError
from hdnn_nnet.runtime.recogniser import Piece


class VoskRecogniser:
    """A Vosk model directory. Check it first: Kaldi ends a process that reads damaged files.

    Args:
        rate: samples a second of the audio.
    """

    def __init__(self, directory: str | os.PathLike[str], rate: int) -> None:
        try:
            import vosk
        except ModuleNotFoundError as error:
            raise HdnnError("this needs the package vosk; install requirements.lock") from error
        vosk.SetLogLevel(-1)
        self.rate = rate
        self._class = vosk.KaldiRecognizer
        try:
            self.model = vosk.Model(str(directory))
        except Exception as error:  # vosk raises Exception itself
            raise HdnnError(f"{directory}: Vosk cannot load the model ({error}); export it again") from error

    def utterance(self, samples: np.ndarray) -> list[str]:
        """See Recogniser."""
        recogniser = self._class(self.model, self.rate)
        recogniser.AcceptWaveform(samples.astype("<i2").tobytes())
        return _words(recogniser.FinalResult())

    def pieces(self, chunks: Iterable[np.ndarray]) -> Iterator[Piece]:
        """See Recogniser; cut where Vosk finds ends of utterances."""
        recogniser = self._class(self.model, self.rate)
        start = end = 0
        for chunk in chunks:
            end += len(chunk)
            if recogniser.AcceptWaveform(chunk.astype("<i2").tobytes()):
                if words := _words(recogniser.Result()):
                    yield Piece(start / self.rate, end / self.rate, words)
                start = end
        if words := _words(recogniser.FinalResult()):
            yield Piece(start / self.rate, end / self.rate, words)


def _words(result: str) -> list[str]:
    return json.loads(result)["text"].split()
