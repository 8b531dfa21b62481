"""Features of a GMM system written out as a data directory, for networks to train on (Kaldi's make_fmllr_feats.sh)."""

import logging
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from hdnn_nnet.atomic import write_text
from hdnn_nnet.errors import HdnnError
from hdnn_nnet.feats.collect import speaker_stats
from hdnn_nnet.feats.reader import FeatureReader
from hdnn_nnet.gmm.features import GmmFeatures
from hdnn_nnet.kaldi.data_dir import ALIGNED_FRAMES, FEAT_OPTS, FEATS_OF, FRAME_SHIFT, DataDir
from hdnn_nnet.kaldi.matrix_writer import write_matrices
from hdnn_nnet.kaldi.script_table import read_scp

log = logging.getLogger(__name__)


def dump_features(features: GmmFeatures, utterances: Sequence[str], prefix: str, job: int, compress: bool) -> None:
    """Write the features of one job to `prefix`.JOB.ark, .scp and .utt2num_frames."""
    stem = Path(f"{prefix}.{job}")
    num_frames: dict[str, int] = {}

    def matrices() -> Iterator[tuple[str, np.ndarray]]:
        for utterance in utterances:
            matrix = features[utterance]
            num_frames[utterance] = len(matrix)
            yield utterance, matrix

    done = write_matrices(f"{stem}.ark", f"{stem}.scp", matrices(), compress)
    write_text(f"{stem}.utt2num_frames", "".join(f"{utterance} {count}\n" for utterance, count in num_frames.items()))
    log.info("%d utterances, %d frames, %d dimensions", done, sum(num_frames.values()), features.dim)


def collect_dump(source: Path, target: Path, prefix: str, num_jobs: int) -> None:
    """Complete the data directory `target`: the tables of `source`, the features of all jobs, statistics by speaker.

    Raises:
        HdnnError: a job failed, or an utterance is missing.
    """
    data = DataDir(source)
    lines: dict[str, str] = {}
    frames: dict[str, str] = {}
    for job in range(1, num_jobs + 1):
        for kind, table in (("scp", lines), ("utt2num_frames", frames)):
            part = Path(f"{prefix}.{job}.{kind}")
            if not part.exists():
                raise HdnnError(f"{part} does not exist; its job failed, see its log")
            table.update(read_scp(part))
    missing = [utterance for utterance in data.tables.get("feats.scp", data.utt2spk) if utterance not in lines]
    if missing:
        raise HdnnError(
            f"{target}: {len(missing)} utterances have no features, such as {missing[0]}; see the jobs' logs"
        )
    data.write_subset(lines, target)
    for name in (FEAT_OPTS, FRAME_SHIFT, ALIGNED_FRAMES):  # they describe other features
        (target / name).unlink(missing_ok=True)
    write_text(target / FEATS_OF, f"speaker-adapted features of {source}\n")
    order = [utterance for utterance in data.utt2spk if utterance in lines]
    write_text(target / "feats.scp", "".join(f"{utterance} {lines[utterance]}\n" for utterance in order))
    write_text(target / "utt2num_frames", "".join(f"{utterance} {frames[utterance]}\n" for utterance in order))
    reader = FeatureReader(target)
    count = write_matrices(
        f"{prefix}_cmvn.ark", target / "cmvn.scp", speaker_stats(reader, read_scp(target / "spk2utt"))
    )
    log.info(
        "%s: %d utterances, %d frames, %d dimensions, statistics of %d speakers",
        target, len(reader), sum(reader.num_frames.values()), reader.dim, count,
    )  # fmt: skip
