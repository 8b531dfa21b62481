"""Write the words of a decode directory with their times (CTM files), for every LM weight, for scoring by sclite."""

from hdnn_nnet.score.options import CtmOptions

Options = CtmOptions
EXAMPLE = "hdnn ctm data/dev exp/tri4a/graph exp/hdnn/final.mdl exp/hdnn/decode_dev"
WRITES = "directory"


def main(options: CtmOptions) -> None:
    from hdnn_nnet.score.ctm_files import write_ctm_files

    write_ctm_files(options)
