"""Train a student network on a teacher's soft labels, alone or with hard labels (Lu, Guo, Renals 2017, section 3).

The teacher is a model directory (ours or of Kaldi's nnet1) that is run on the fly, several of them in quotes (averaged), a
directory of stored soft labels, or a table of posteriors: Kaldi's Posterior type, or matrices of posteriors or log-posteriors.
"""

from hdnn_nnet.train.options import DistillationOptions

Options = DistillationOptions
EXAMPLE = "hdnn train kd exp/dnn_h2048l6/soft data/tr90 data/cv10 exp/tri4a_ali exp/tri4a_ali exp/hdnn_h128l10_kd"
WRITES = "dir"


def main(options: DistillationOptions) -> None:
    from hdnn_nnet.train.kd import train_kd

    train_kd(options)
