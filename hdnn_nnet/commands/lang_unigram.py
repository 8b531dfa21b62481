"""Copy a lang directory and give it a unigram grammar of transcripts, for denominator lattices.

The grammar is that of Kaldi's make_unigram_grammar.pl: one state, an arc for every word of the transcripts, and the end of
an utterance as one more event. Unknown words count as the word of oov.int. Files that are right already are left alone,
so that a graph made of them stays up to date.
"""

from dataclasses import dataclass

from hdnn_nnet.options import Options as Base
from hdnn_nnet.options import argument


@dataclass(frozen=True, kw_only=True)
class Options(Base):
    """Grammar."""

    data_dir: str = argument("with text")
    lang_dir: str = argument("lexicon and phones; any G.fst in it is not used")
    src_dir: str = argument("model directory; its phones.txt must fit")
    target: str = argument("lang directory to write")


EXAMPLE = "hdnn lang unigram data/train data/lang exp/hdnn exp/hdnn_denlats/lang"
WRITES = "target"


def main(options: Options) -> None:
    from pathlib import Path

    from hdnn_nnet.kaldi.script_table import read_scp
    from hdnn_nnet.kaldi.symbols import check_phones
    from hdnn_nnet.lang.transcripts import Transcripts
    from hdnn_nnet.lang.unigram import unigram_grammar, write_lang

    lang = Path(options.lang_dir)
    check_phones(lang, options.src_dir)
    transcripts = Transcripts(lang)
    texts = read_scp(Path(options.data_dir) / "text")
    grammar = unigram_grammar(transcripts.numbers(text) for text in texts.values())
    write_lang(lang, Path(options.target), grammar)
    print(
        f"{options.target}/G.fst: unigram grammar of {grammar.num_arcs} words from {len(texts)} transcripts, "
        f"{transcripts.unknown} words unknown"
    )
