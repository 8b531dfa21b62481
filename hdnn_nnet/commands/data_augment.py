"""Copies of training data: of other speeds (as Kaldi's utils/data/perturb_data_dir_speed.sh), with noise, in simulated rooms.

Copies are called sp0.9-, noise1- or reverb1- and the utterance; utt2uniq names the original, by which splits keep copies on
one side and trainings find the alignment and soft labels of copies that are as long as their originals.
"""

from dataclasses import dataclass
from pathlib import Path

from hdnn_nnet.corpus.options import AugmentOptions
from hdnn_nnet.options import Options as Base
from hdnn_nnet.options import argument, group


@dataclass(frozen=True, kw_only=True)
class Options(Base):
    """Data."""

    data: Path = argument("data directory with audio")
    target: Path = argument("data directory to write, with the audio of the copies")
    copies: AugmentOptions = group(AugmentOptions)


EXAMPLE = "hdnn data augment --speeds 0.9,1.0,1.1 data/train data/train_sp"
WRITES = "target"


def main(options: Options) -> None:
    from hdnn_nnet.corpus.augment import augment

    augment(options.data, options.target, options.copies)
