"""Split a data directory into a training and a cross-validation part without common speakers.

The counterpart of Kaldi's utils/subset_data_dir_tr_cv.sh, or of subset_data_dir.sh --utt-list where lists are given. Copies
of an utterance (utt2uniq) are trained on if it is; none of them is taken for cross-validation.
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
    from hdnn_nnet.kaldi.copies import apart_from, originals_by_speaker
    from hdnn_nnet.kaldi.data_dir import DataDir
    from hdnn_nnet.kaldi.split import hold_out
    from hdnn_nnet.kaldi.text_file import read_lines
    from hdnn_nnet.text import words

    log = logging.getLogger(__name__)
    data = DataDir(options.data)
    alone = len(originals_by_speaker(data.utt2spk, data.originals)) < 2
    if alone and not options.one_speaker:
        raise HdnnError(f"{options.data} has one speaker only; a split by speaker needs two (or --one-speaker true)")
    if alone:
        log.warning("%s has one speaker only: cross-validation is on other utterances of theirs", options.data)
    if options.cv_list:
        cv = [word for line in read_lines(options.cv_list) for word in words(line)]
        if unknown := set(cv) - data.utt2spk.keys():
            raise HdnnError(
                f"{options.cv_list}: {options.data} has no utterance {min(unknown)} ({len(unknown)} unknown)"
            )
        train = apart_from(cv, data.utt2spk, data.originals)
        both = {data.utt2spk[utt] for utt in train} & {data.utt2spk[utt] for utt in cv}
        if both and not alone:
            log.warning("%s: %d speakers are in both parts, such as %s", options.cv_list, len(both), min(both))
    else:
        train, cv = hold_out(data.utt2spk, data.originals, options.cv_percent, options.seed)
    if not train or not cv:
        raise HdnnError(f"{options.data}: one part of the split is empty; change --cv-percent or --cv-list")
    data.write_subset(train, options.train)
    data.write_subset(cv, options.cv)
    text = "%d utterances for training in %s, %d for cross-validation in %s"
    log.info(text, len(train), options.train, len(cv), options.cv)
    copies = len(data.utt2spk) - len(train) - len(set(cv))
    if copies:
        log.info("%d copies of utterances for cross-validation are in neither", copies)
