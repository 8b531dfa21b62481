"""One job of features of a speech encoder: a part of a data directory's utterances to a compressed archive."""

import json
import logging
import time
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import torch

from hdnn_nnet.atomic import write_text
from hdnn_nnet.device.precision import choose_device
from hdnn_nnet.feats.audio import Segment, read_audio, read_segments
from hdnn_nnet.feats.description import FeatureDescription
from hdnn_nnet.feats.encoder_files import EncoderFiles
from hdnn_nnet.feats.frame_rate import SHIFT, require_fit
from hdnn_nnet.feats.options import EncoderExtraction
from hdnn_nnet.feats.sound_file import state
from hdnn_nnet.kaldi.data_dir import ALIGNED_FRAMES
from hdnn_nnet.kaldi.matrix_writer import write_matrices
from hdnn_nnet.kaldi.script_table import read_scp

log = logging.getLogger(__name__)

#: of Kaldi's windows, in seconds; those that begin before the end of the audio minus this are frames (snip-edges)
_KALDI_WINDOW = 0.025
_TABLES = ("utt2num_frames", "utt2dur", ALIGNED_FRAMES)


def kaldi_frames(samples: int, rate: int) -> int:
    """Frames that Kaldi's features of 25 ms windows have every 10 ms."""
    return max(0, (samples - int(_KALDI_WINDOW * rate)) // round(SHIFT * rate) + 1)


def make_encoder_feats(options: EncoderExtraction) -> None:
    """Encode the utterances of one job; one that was done before, of the same audio by the same encoder, is left as it is.

    Utterances too short for a frame or outside their recording are left out with a warning.

    Raises:
        HdnnError: audio or an encoder that cannot be read, or that do not fit.
    """
    files = EncoderFiles.open(options.encoder.model)
    description = files.describe(options.encoder)
    segments = options.job.part_of(read_segments(options.data_dir))
    stem = Path(f"{options.prefix}.{options.job.job}")
    signature = _signature(options, description, segments)
    if _is_done(stem, signature):
        log.info("%s.ark is there already, of the same audio by the same encoder", stem)
    else:
        Path(f"{stem}.done").unlink(missing_ok=True)
        _encode(options, files, description, segments, stem)
        write_text(f"{stem}.done", signature)
    if options.job.job == 1:
        description.write(options.data_dir)


def _signature(options: EncoderExtraction, description: FeatureDescription, segments: Sequence[Segment]) -> str:
    recordings = read_scp(Path(options.data_dir) / "wav.scp")
    states = {segment.recording: state(recordings[segment.recording].strip()) for segment in segments}
    audio = zlib.crc32(repr([(s, recordings[s.recording], states[s.recording]) for s in segments]).encode())
    job = [options.job.job, options.job.num_jobs, options.compress, options.compute.device]
    return json.dumps([description.line(), audio, *job]) + "\n"


def _is_done(stem: Path, signature: str) -> bool:
    done = Path(f"{stem}.done")
    parts = (Path(f"{stem}.{kind}") for kind in ("ark", "scp", *_TABLES))
    return done.is_file() and done.read_text(encoding="utf-8") == signature and all(part.is_file() for part in parts)


def _encode(
    options: EncoderExtraction,
    files: EncoderFiles,
    description: FeatureDescription,
    segments: Sequence[Segment],
    stem: Path,
) -> None:
    from hdnn_nnet.feats.encoder import SpeechEncoder

    if options.compute.num_threads:
        torch.set_num_threads(options.compute.num_threads)
    encoder = SpeechEncoder(files, options.encoder, choose_device(options.compute.device))
    tables: dict[str, dict[str, str]] = {name: {} for name in _TABLES}
    outside: list[str] = []
    short: list[str] = []
    started, seconds = time.monotonic(), 0.0

    def features() -> Iterator[tuple[str, np.ndarray]]:
        nonlocal seconds
        for segment, rate, samples in read_audio(options.data_dir, segments, outside):
            utt, frames = segment.utterance, kaldi_frames(len(samples), rate)
            if frames == 0 or encoder.num_rows(len(samples)) == 0:
                log.warning("utterance %s is too short for one frame: left out", utt)
                short.append(utt)
                continue
            matrix = encoder(samples, rate, utt)
            require_fit(description.rate, len(matrix), frames, options.data_dir, utt, "Kaldi's windows of its audio")
            for name, value in zip(_TABLES, (len(matrix), f"{len(samples) / rate:.3f}", frames), strict=True):
                tables[name][utt] = str(value)
            seconds += len(samples) / rate
            yield utt, matrix

    done = write_matrices(f"{stem}.ark", f"{stem}.scp", features(), options.compress)
    for name, table in tables.items():
        write_text(f"{stem}.{name}", "".join(f"{utt} {value}\n" for utt, value in table.items()))
    log.info(
        "%d utterances, %.0f s of audio in %.0f s; %d too short, %d outside their recording",
        done, seconds, time.monotonic() - started, len(short), len(outside),
    )  # fmt: skip
