"""One job of feature extraction: a part of a data directory's utterances to a compressed archive."""

import logging
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from hdnn_nnet.atomic import write_text
from hdnn_nnet.feats.audio import read_audio, read_segments
from hdnn_nnet.feats.description import FeatureDescription
from hdnn_nnet.feats.extract import FeatureExtractor
from hdnn_nnet.feats.options import Extraction
from hdnn_nnet.kaldi.matrix_writer import write_matrices
from hdnn_nnet.options import flatten

log = logging.getLogger(__name__)


def make_feats(options: Extraction) -> None:
    """Extract the features of one job; utterances too short for a frame or outside their recording are left
    out with a warning.

    Raises:
        HdnnError: audio that cannot be read, or an option that this kind of features does not have.
    """
    kind = options.type
    given = {name.replace("_", "-"): value for name, value in flatten(options.kaldi).items() if value is not None}
    extractor = FeatureExtractor(kind, given)
    segments = options.job.part_of(read_segments(options.data_dir))
    if options.job.job == 1:
        FeatureDescription.make(kind, given).write(options.data_dir)
    num_frames: dict[str, int] = {}
    durations: dict[str, float] = {}
    short: list[str] = []
    outside: list[str] = []

    def features() -> Iterator[tuple[str, np.ndarray]]:
        for segment, rate, samples in read_audio(options.data_dir, segments, outside):
            matrix = extractor(samples, rate, segment.utterance)
            if len(matrix) == 0:
                log.warning("utterance %s is too short for one frame: left out", segment.utterance)
                short.append(segment.utterance)
                continue
            num_frames[segment.utterance] = len(matrix)
            durations[segment.utterance] = len(samples) / rate
            yield segment.utterance, matrix

    stem = Path(f"{options.prefix}.{options.job.job}")
    done = write_matrices(f"{stem}.ark", f"{stem}.scp", features(), options.compress)
    write_text(f"{stem}.utt2num_frames", "".join(f"{utt} {count}\n" for utt, count in num_frames.items()))
    write_text(f"{stem}.utt2dur", "".join(f"{utt} {seconds:.3f}\n" for utt, seconds in durations.items()))
    frames, far = sum(num_frames.values()), len(outside)
    log.info("%d utterances, %d frames; %d too short, %d outside their recording", done, frames, len(short), far)
