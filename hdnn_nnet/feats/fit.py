"""The numbers of frames of a data directory whose features come at another rate, from other features of the same audio."""

import logging
import os
from pathlib import Path

from hdnn_nnet.atomic import write_text
from hdnn_nnet.errors import HdnnError
from hdnn_nnet.feats.frame_rate import require_fit
from hdnn_nnet.feats.reader import FeatureReader
from hdnn_nnet.kaldi.data_dir import ALIGNED_FRAMES

log = logging.getLogger(__name__)


def fit_frames(data_dir: str | os.PathLike[str], like: str | os.PathLike[str]) -> None:
    """Write `utt2aligned_frames` of `data_dir` with the lengths of the features in `like`.

    Raises:
        HdnnError: an utterance is missing there, or its length is beyond the tolerance; nothing is written.
    """
    reader, other = FeatureReader(data_dir), FeatureReader(like)
    missing = [utt for utt in reader.utts if utt not in other]
    if missing:
        raise HdnnError(
            f"{like} has no features of {len(missing)} utterances of {data_dir}, such as {missing[0]}; extract them"
        )
    lengths = {utt: other.num_frames[utt] for utt in reader.utts}
    ends = {utt: frames - reader.num_rows[utt] * reader.rate.factor for utt, frames in lengths.items()}
    worst = max(ends, key=lambda utt: abs(ends[utt]))
    require_fit(reader.rate, reader.num_rows[worst], lengths[worst], data_dir, worst, str(like))
    write_text(Path(data_dir) / ALIGNED_FRAMES, "".join(f"{utt} {frames}\n" for utt, frames in lengths.items()))
    log.info(
        "%s: %d utterances, %d rows, %d frames; the end cut in %d, repeated in %d, by %d frames at most",
        data_dir, len(lengths), sum(reader.num_rows.values()), sum(lengths.values()),
        sum(end < 0 for end in ends.values()), sum(end > 0 for end in ends.values()), abs(ends[worst]),
    )  # fmt: skip
