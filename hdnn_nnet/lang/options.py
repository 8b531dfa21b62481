"""Options of dictionaries, lang directories and language models."""

from dataclasses import dataclass

from hdnn_nnet.errors import HdnnError
from hdnn_nnet.options import Options, argument, option

OOV = "<unk>"


@dataclass(frozen=True, kw_only=True)
class DictOptions(Options):
    """Dictionary."""

    text: str = argument("training text; Kaldi form (utterance ids) if the file's name is text")
    dict_dir: str = argument("dictionary directory to write")
    units: str = option("phones", "what words are made of", choices=("phones", "bpe"))
    vocab_size: int = option(500, "pieces of the BPE model; 0: 500, or as many as the words have", at_least=0)
    lexicon: str = option("", "pronunciations, lines `WORD phones`, instead of CMUdict's; other words are unknown")
    bpe_model: str = option("", "use this model instead of training one on <text>")
    unknown: str = option("guess", "words that CMUdict lacks", choices=("guess", "oov"))
    min_count: int = option(1, "leave out words of <text> that occur less often", at_least=1)
    extra_words: str = option("", "more words: files, comma-separated, or cmudict for all of it")
    oov: str = option(OOV, "the unknown word")


@dataclass(frozen=True, kw_only=True)
class LangOptions(Options):
    """Lang directory."""

    dict_dir: str = argument("dictionary directory")
    oov: str = argument("the word that stands for unknown ones, such as '<unk>'")
    lang_dir: str = argument("lang directory to write")
    position_dependent_phones: bool = option(True, "phones differ at the begin, end and inside of a word")
    share_silence_phones: bool = option(False, "all silence phones share their pdfs")
    num_sil_states: int = option(5, "HMM states of a silence phone", at_least=1)
    num_nonsil_states: int = option(3, "HMM states of any other phone", at_least=1)
    sil_prob: float = option(0.5, "probability of silence between words", at_least=0, below=1)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.num_sil_states == 2:
            raise HdnnError("--num-sil-states must be 1, or 3 and more")


@dataclass(frozen=True, kw_only=True)
class LmOptions(Options):
    """Language model."""

    dev: str = argument("text that tunes the mixture weights and is measured")
    out_dir: str = argument("directory to write lm.arpa.gz and perplexity.txt to")
    texts: tuple[str, ...] = argument("training texts", nargs="+")
    order: int = option(3, "1 gives a unigram model", at_least=1, at_most=5)
    prune: float = option(0.0, "relative change of perplexity; 0: do not prune", at_least=0)
    max_graph_mb: float = option(
        0.0, "prune until HCLG.fst will be no larger than this (--vocab must be a lexicon)", at_least=0
    )
    vocab: str = option("", "close the vocabulary over this word list, lexicon or words.txt")
    oov: str = option(OOV, "stands for words outside the vocabulary")
    test: tuple[str, ...] = option((), "another text to measure; may repeat", nargs="*")
