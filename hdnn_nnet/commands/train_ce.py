"""Train a highway or plain deep neural network by frame-level cross-entropy on a Kaldi alignment."""

from hdnn_nnet.train.options import FrameTraining

Options = FrameTraining
EXAMPLE = "hdnn train ce --network hdnn-h128l10 data/tr90 data/cv10 exp/tri4a_ali exp/tri4a_ali exp/hdnn_h128l10"
WRITES = "dir"


def main(options: FrameTraining) -> None:
    from hdnn_nnet.train.criteria import CrossEntropy, pdf_targets
    from hdnn_nnet.train.program import Training

    Training(options).run(CrossEntropy(), pdf_targets, "CE")
