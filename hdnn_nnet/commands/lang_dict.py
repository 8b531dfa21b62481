"""Kaldi dictionary directory: CMUdict phones, or subword pieces that give any word of any text a pronunciation."""

from hdnn_nnet.lang.options import DictOptions

Options = DictOptions
EXAMPLE = "hdnn lang dict data/train/text data/dict"
WRITES = "dict_dir"


def main(options: DictOptions) -> None:
    from hdnn_nnet.lang.lexicon import prepare_dict

    prepare_dict(options)
