"""Word error rate and speed of a recogniser on a data directory with audio."""

import resource
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from hdnn_nnet.errors import HdnnError
from hdnn_nnet.feats.audio import read_audio, read_segments
from hdnn_nnet.runtime.recogniser import Recogniser
from hdnn_nnet.score.text import read_text
from hdnn_nnet.score.wer import WerStats, compute_wer


@dataclass(frozen=True)
class Measured:
    """What was found.

    Attributes:
        hypotheses: utterance to its words.
        seconds: of audio; processor: seconds of processor time for all of it; peak_bytes: most memory the process had so far.
    """

    hypotheses: dict[str, list[str]]
    wer: WerStats
    seconds: float
    processor: float
    peak_bytes: int

    @property
    def rtf(self) -> float:
        return self.processor / self.seconds


def measure(recogniser: Recogniser, data_dir: str | Path, limit: int = 0) -> Measured:
    """Recognise the utterances of a data directory (the first `limit`; 0: all) from its audio, each as a whole.

    Raises:
        HdnnError: no utterances, another sample rate, or one without a text.
    """
    reference = read_text(Path(data_dir) / "text")
    segments = read_segments(data_dir)
    segments = segments[:limit] if limit else segments
    hypotheses: dict[str, list[str]] = {}
    seconds = processor = 0.0
    for segment, rate, samples in read_audio(data_dir, segments):
        if rate != recogniser.rate:
            raise HdnnError(
                f"{data_dir}: {segment.recording} has {rate} samples a second, the model wants {recogniser.rate}"
            )
        if segment.utterance not in reference:
            raise HdnnError(f"{data_dir}/text has no utterance {segment.utterance}; run fix_data_dir.sh")
        began = time.process_time()
        hypotheses[segment.utterance] = recogniser.utterance(samples.astype(np.int16))
        processor += time.process_time() - began
        seconds += len(samples) / rate
    if not seconds:
        raise HdnnError(f"{data_dir} holds no audio")
    stats = compute_wer({key: reference[key] for key in hypotheses}, hypotheses)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    return Measured(hypotheses, stats, seconds, processor, peak)
