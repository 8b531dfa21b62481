"""Words from audio by Vosk, which is Kaldi in one library, and an exported model."""

import json
import os
from collections.abc import Iterable, Iterator

import numpy as np

from hdnn_nnet.errors import HdnnError
from hdnn_nnet.runtime.recogniser import Piece, Word, is_sound

#: that Vosk takes one step of the network for
_FRAMES = 3


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
        if not is_sound(samples).any():
            return []
        recogniser = self._class(self.model, self.rate)
        recogniser.AcceptWaveform(samples.astype("<i2").tobytes())
        return _words(recogniser.FinalResult())

    def pieces(self, chunks: Iterable[np.ndarray], confidences: bool = False) -> Iterator[Piece]:
        """See Recogniser; cut where Vosk finds ends of utterances. Vosk always gives confidences."""
        recogniser = self._class(self.model, self.rate)
        recogniser.SetWords(True)
        start = end = 0
        sound = False
        for chunk in chunks:
            end += len(chunk)
            sound = sound or bool(is_sound(chunk).any())
            if recogniser.AcceptWaveform(chunk.astype("<i2").tobytes()):
                words = _timed(recogniser.Result())
                if words and sound:
                    yield Piece(start / self.rate, end / self.rate, words)
                start, sound = end, False
        words = _timed(recogniser.FinalResult())
        if words and sound:
            yield Piece(start / self.rate, end / self.rate, words)


def _words(result: str) -> list[str]:
    return json.loads(result)["text"].split()


def _timed(result: str) -> list[Word]:
    """Vosk takes every output for three frames; of ours each is one."""
    return [
        Word(word["word"], word["start"] / _FRAMES, word["end"] / _FRAMES, min(1.0, word["conf"]))
        for word in json.loads(result).get("result", [])
    ]
