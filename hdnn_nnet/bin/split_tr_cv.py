"""Split a data directory into a training and a cross-validation part without common speakers.

The counterpart of Kaldi's utils/subset_data_dir_tr_cv.sh, or of subset_data_dir.sh --utt-list where lists are given.
"""

import logging
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from hdnn_nnet.cli import OptionParser, run
from hdnn_nnet.errors import HdnnError
from hdnn_nnet.kaldi.data_dir import DataDir

log = logging.getLogger(__name__)
PROGRAM = "hdnn-split-tr-cv"


def choose_speakers(spk2utts: dict[str, list[str]], percent: float, seed: int) -> set[str]:
    """Random speakers with about `percent` of all utterances; at least one, never all."""
    total = sum(map(len, spk2utts.values()))
    chosen: set[str] = set()
    taken = 0
    for speaker in np.random.default_rng(seed).permutation(sorted(spk2utts)):
        size = len(spk2utts[speaker])
        # Stop where one more speaker would lead further away from the wanted share.
        if chosen and abs(taken + size - total * percent / 100) >= abs(taken - total * percent / 100):
            continue
        if len(chosen) + 1 < len(spk2utts):
            chosen.add(str(speaker))
            taken += size
    return chosen


def main(argv: Sequence[str] | None = None) -> int:
    parser = OptionParser(PROGRAM, __doc__ or "")
    parser.add_argument("data", help="data directory to split")
    parser.add_argument("train", help="training part to write")
    parser.add_argument("cv", help="cross-validation part to write")
    parser.add_argument("--cv-percent", type=float, default=10.0, help="share of utterances for cross-validation")
    parser.add_argument("--cv-list", default="", help="file of utterance ids to take for cross-validation instead")
    parser.add_argument("--seed", type=int, default=777, help="of the choice of speakers")
    args = parser.parse_args(argv)
    data = DataDir(args.data)
    if len(data.spk2utts) < 2:
        raise HdnnError(f"{args.data} has one speaker only; a split by speaker needs two")
    if args.cv_list:
        cv = set(Path(args.cv_list).read_text(encoding="utf-8").split())
    else:
        cv = {u for s in choose_speakers(data.spk2utts, args.cv_percent, args.seed) for u in data.spk2utts[s]}
    train = [u for u in data.utt2spk if u not in cv]
    if not train or not cv:
        raise HdnnError(f"{args.data}: one part of the split is empty; change --cv-percent or --cv-list")
    data.write_subset(train, args.train)
    data.write_subset(cv, args.cv)
    log.info(
        "%d utterances for training in %s, %d for cross-validation in %s", len(train), args.train, len(cv), args.cv
    )
    return 0


if __name__ == "__main__":
    run(main, PROGRAM)
