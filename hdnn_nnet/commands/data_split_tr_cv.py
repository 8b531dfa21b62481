"""Split a data directory into a training and a cross-validation part without common speakers.

The counterpart of Kaldi's utils/subset_data_dir_tr_cv.sh, or of subset_data_dir.sh --utt-list where lists are given.
"""

from dataclasses import dataclass

from hdnn_nnet.options import Options as Base
from hdnn_nnet.options import argument, option


@dataclass(frozen=True, kw_only=True)
class Options(Base):
    """Split."""

    data: str = argument("data directory to split")
    train: str = argument("training part to write")
    cv: str = argument("cross-validation part to write")
    cv_percent: float = option(10.0, "share of utterances for cross-validation", above=0, below=100)
    cv_list: str = option("", "file of utterance ids to take for cross-validation instead")
    seed: int = option(777, "of the choice of speakers", at_least=0)
    one_speaker: bool = option(False, "of a single speaker, take other utterances for cross-validation")


EXAMPLE = "hdnn data split-tr-cv data/train data/train_tr90 data/train_cv10"
WRITES = "train cv"


def main(options: Options) -> None:
    import logging

    from hdnn_nnet.errors import HdnnError
    from hdnn_nnet.kaldi.data_dir import DataDir
    from hdnn_nnet.kaldi.split import choose_speakers
    from hdnn_nnet.kaldi.text_file import read_lines
    from hdnn_nnet.text import words

    log = logging.getLogger(__name__)
    data = DataDir(options.data)
    if len(data.spk2utts) < 2 and not options.one_speaker:
        raise HdnnError(f"{options.data} has one speaker only; a split by speaker needs two (or --one-speaker true)")
    if len(data.spk2utts) < 2:
        log.warning("%s has one speaker only: cross-validation is on other utterances of theirs", options.data)
        every = max(2, round(100 / options.cv_percent))
        cv = set(list(data.utt2spk)[::every])
    elif options.cv_list:
        cv = {word for line in read_lines(options.cv_list) for word in words(line)}
    else:
        chosen = choose_speakers(data.spk2utts, options.cv_percent, options.seed)
        cv = {u for speaker in chosen for u in data.spk2utts[speaker]}
    train = [u for u in data.utt2spk if u not in cv]
    if not train or not cv:
        raise HdnnError(f"{options.data}: one part of the split is empty; change --cv-percent or --cv-list")
    data.write_subset(train, options.train)
    data.write_subset(cv, options.cv)
    text = "%d utterances for training in %s, %d for cross-validation in %s"
    log.info(text, len(train), options.train, len(cv), options.cv)
