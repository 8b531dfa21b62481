"""Score the lattices of a decode directory over LM weights and word insertion penalties."""

from hdnn_nnet.score.options import ScoreOptions

Options = ScoreOptions
EXAMPLE = "hdnn score data/dev exp/tri4a/graph exp/hdnn/decode_dev"
WRITES = "directory"


def main(options: ScoreOptions) -> None:
    from pathlib import Path

    from hdnn_nnet.score.intervals import BEST
    from hdnn_nnet.score.scoring import score

    chosen = score(options)
    print(f"{chosen.line} {chosen.path}")
    sentence = Path(options.directory) / "scoring_kaldi" / BEST
    if sentence.is_file():
        print(sentence.read_text(encoding="utf-8"), end="")
