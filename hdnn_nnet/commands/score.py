"""Score the lattices of a decode directory over LM weights and word insertion penalties."""

from hdnn_nnet.score.options import ScoreOptions

Options = ScoreOptions
EXAMPLE = "hdnn score data/dev exp/tri4a/graph exp/hdnn/decode_dev"
WRITES = "directory"


def main(options: ScoreOptions) -> None:
    from hdnn_nnet.score.scoring import score

    chosen = score(options)
    print(f"{chosen.line} {chosen.path}")
