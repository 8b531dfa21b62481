"""Turn an ARPA language model into G.fst and put it, with a copy of the lang directory, where decoding looks for it."""

from dataclasses import dataclass
from pathlib import Path

from hdnn_nnet.options import Options as Base
from hdnn_nnet.options import argument


@dataclass(frozen=True, kw_only=True)
class Options(Base):
    """Grammar."""

    lang_dir: Path = argument("lang directory")
    arpa: Path = argument(".arpa or .arpa.gz")
    out_lang_dir: Path = argument("lang directory to write; may be the same")


EXAMPLE = "hdnn lang format-lm data/lang data/lm/lm_pruned.arpa.gz data/lang_test"
WRITES = "out_lang_dir"


def main(options: Options) -> None:
    from hdnn_nnet.lang.grammar import format_lm

    format_lm(options.lang_dir, options.arpa, options.out_lang_dir)
