"""A Kaldi lang directory from a dictionary directory, as Kaldi's utils/prepare_lang.sh makes it."""

from hdnn_nnet.lang.options import LangOptions

Options = LangOptions
EXAMPLE = "hdnn lang prepare data/dict '<unk>' data/lang"
WRITES = "lang_dir"


def main(options: LangOptions) -> None:
    from hdnn_nnet.lang.lang_dir import prepare_lang

    prepare_lang(options)
