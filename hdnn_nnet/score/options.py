"""Options of scoring."""

from dataclasses import dataclass

from hdnn_nnet.options import Options, argument, option


@dataclass(frozen=True, kw_only=True)
class BootstrapOptions(Options):
    """Intervals."""

    by: str = option("utterance", "units that are drawn", choices=("utterance", "speaker"))
    replications: int = option(10000, "sets that are drawn; 0: no intervals", at_least=0)
    bootstrap_seed: int = option(0, "of the draws", at_least=0)


@dataclass(frozen=True, kw_only=True)
class ScoreOptions(Options):
    """Scoring."""

    data: str = argument("data directory with text and utt2spk")
    lang: str = argument("lang or graph directory with words.txt")
    directory: str = argument("decode directory with num_jobs and lat.N.gz")
    min_lmwt: int = option(4, "lowest language model weight", at_least=1)
    max_lmwt: int = option(15, "highest language model weight", at_least=1)
    word_ins_penalty: str = option("0.0,0.5,1.0", "word insertion penalties, with commas")
    filter: str = option("", "file of words to leave out or replace, such as local/wer_filter")
    allow_missing: bool = option(False, "score although utterances have no lattice; the WER is marked PARTIAL")
    replications: int = option(10000, "sets that are drawn for the intervals; 0: none", at_least=0)


@dataclass(frozen=True, kw_only=True)
class CtmOptions(Options):
    """Words with times."""

    data: str = argument("data directory; segments and reco2file_and_channel are used where they exist")
    lang: str = argument("lang or graph directory with words.txt and phones/word_boundary.int")
    model: str = argument("transition model (final.mdl)")
    directory: str = argument("decode directory with num_jobs and lat.N.gz")
    min_lmwt: int = option(4, "lowest language model weight", at_least=1)
    max_lmwt: int = option(15, "highest language model weight", at_least=1)
    word_ins_penalty: float = option(0.0, "word insertion penalty")
    frame_shift: float = option(0.01, "seconds a frame", above=0)


@dataclass(frozen=True, kw_only=True)
class ResultOptions(Options):
    """Where results are, and how LM weight and penalty are chosen."""

    dev: str = option("decode_dev", "decode directory of the development set in each model")
    eval: str = option("decode_eval", "the same of the evaluation set; empty: none")
    smooth: int = option(0, "choose by the mean of a WER and those of this many LM weights on both sides", at_least=0)
