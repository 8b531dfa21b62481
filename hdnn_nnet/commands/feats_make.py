"""One job of feature extraction: a part of a data directory's utterances to a compressed archive."""

from hdnn_nnet.feats.options import Extraction

Options = Extraction
EXAMPLE = "hdnn feats make --type fbank --config conf/fbank.conf --num-jobs 4 --job 1 data/train fbank/raw_fbank_train"
WRITES = "prefix"


def main(options: Extraction) -> None:
    from hdnn_nnet.feats.job import make_feats

    make_feats(options)
