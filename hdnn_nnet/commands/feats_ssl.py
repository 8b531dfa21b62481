"""One job of features of a speech encoder (wav2vec 2.0, HuBERT, WavLM, Whisper) from a local folder: a compressed archive.

Needs the package transformers, the extra `ssl` of this one. Nothing is downloaded.
"""

from hdnn_nnet.feats.options import EncoderExtraction

Options = EncoderExtraction
EXAMPLE = "hdnn feats ssl --model models/wavlm-base --layer 9 --num-jobs 4 --job 1 data/train_ssl ssl/raw_ssl_train"
WRITES = "prefix"


def main(options: EncoderExtraction) -> None:
    from hdnn_nnet.feats.encoder_job import make_encoder_feats

    make_encoder_feats(options)
