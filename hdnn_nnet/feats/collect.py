"""Archives of all feature jobs as one data directory."""

import logging
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from hdnn_nnet.atomic import write_text
from hdnn_nnet.errors import HdnnError
from hdnn_nnet.feats.audio import read_segments
from hdnn_nnet.feats.reader import FeatureReader
from hdnn_nnet.feats.stats import accumulate_cmvn
from hdnn_nnet.kaldi.data_dir import ALIGNED_FRAMES, DataDir
from hdnn_nnet.kaldi.matrix_writer import write_matrices
from hdnn_nnet.kaldi.script_table import read_scp
from hdnn_nnet.text import words

log = logging.getLogger(__name__)


def speaker_stats(reader: FeatureReader, spk2utt: dict[str, str]) -> Iterator[tuple[str, np.ndarray]]:
    """Yield `(speaker, statistics)` in the order of `spk2utt`; speakers without features are left out."""
    for speaker, utterances in spk2utt.items():
        stats = None
        for utterance in words(utterances):
            if utterance in reader:
                stats = accumulate_cmvn(stats, reader[utterance])
        if stats is None:
            log.warning("speaker %s has no features", speaker)
        else:
            yield speaker, stats


def collect_feats(data: Path, prefix: str, num_jobs: int, max_missing: float, cmvn: str) -> None:
    """Write feats.scp, utt2num_frames and utt2dur, and with `cmvn` the statistics of speakers and cmvn.scp.

    Jobs of another frame rate left utt2aligned_frames too; else one of earlier features goes.

    Raises:
        HdnnError: a job failed, or more than the share `max_missing` of the utterances is missing.
    """
    wanted = [segment.utterance for segment in read_segments(data)]
    kinds = {"scp": "feats.scp", "utt2num_frames": "utt2num_frames", "utt2dur": "utt2dur"}
    if Path(f"{prefix}.1.{ALIGNED_FRAMES}").exists():
        kinds[ALIGNED_FRAMES] = ALIGNED_FRAMES
    else:
        (data / ALIGNED_FRAMES).unlink(missing_ok=True)
    for kind, name in kinds.items():
        table: dict[str, str] = {}
        for job in range(1, num_jobs + 1):
            part = Path(f"{prefix}.{job}.{kind}")
            if not part.exists():
                raise HdnnError(f"{part} does not exist; its job failed, see its log")
            table.update(read_scp(part))
        missing = [utterance for utterance in wanted if utterance not in table]
        # One is always allowed, or every set of fewer than 200 utterances would fail by it.
        if len(missing) > max(1, max_missing * len(wanted)) or not table or len(missing) == len(wanted):
            raise HdnnError(
                f"{data}: {len(missing)} of {len(wanted)} utterances have no features ({' '.join(missing[:3])} ...): too "
                f"short for a frame or outside their recording, as the logs of {prefix}.* tell; correct segments, or allow "
                f"more by --max-missing (now {max_missing:g})"
            )
        write_text(data / name, "".join(f"{utt} {table[utt]}\n" for utt in wanted if utt in table))
    if missing:
        log.warning(
            "%d utterances too short for a frame or outside their recording are left out of %s: %s",
            len(missing),
            data,
            " ".join(missing[:20]),
        )
        # Later steps want every utterance of utt2spk to have features.
        DataDir(data).write_subset([utterance for utterance in wanted if utterance in table], data)
    reader = FeatureReader(data)
    frames = sum(reader.num_frames.values())
    summary = f"{len(reader)} of {len(wanted)} utterances, {frames} frames, {reader.dim} dimensions"
    if cmvn:
        count = write_matrices(f"{cmvn}.ark", data / "cmvn.scp", speaker_stats(reader, read_scp(data / "spk2utt")))
        summary += f", statistics of {count} speakers"
    log.info("%s: %s", data, summary)
