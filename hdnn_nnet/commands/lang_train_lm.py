"""N-gram language model in ARPA format: Kneser-Ney on one or several texts, mixed by weights tuned on dev, pruned.

A text is Kaldi's `text` (its first column is dropped) if its file is named so, else one sentence a line, `.gz` or not.
"""

from hdnn_nnet.lang.options import LmOptions

Options = LmOptions
EXAMPLE = (
    "hdnn lang train-lm --prune 1e-7 --vocab data/dict/lexicon.txt data/dev/text data/lm data/train/text more.txt.gz"
)
WRITES = "out_dir"


def main(options: LmOptions) -> None:
    from hdnn_nnet.lang.train_lm import train_lm

    print(train_lm(options), end="")
