"""Train a network on lattices by sMBR, MPFE or (boosted) MMI (the counterpart of steps/nnet/train_mpe.sh and train_mmi.sh).

Lattices are those of make_denlats.sh (`lat.scp`), or are decoded during the training on a denominator graph.
"""

from hdnn_nnet.sequence.options import SequenceTraining

Options = SequenceTraining
EXAMPLE = "hdnn train smbr --smooth-ce 0.2 data/train data/lang exp/hdnn exp/hdnn_ali exp/hdnn_denlats exp/hdnn_smbr"
WRITES = "dir"


def main(options: SequenceTraining) -> None:
    from hdnn_nnet.sequence.program import train_sequence

    train_sequence(options)
