"""Decode log-likelihoods to lattices, with the calling convention of Kaldi's latgen-faster-mapped."""

from hdnn_nnet.decode.options import LatgenOptions

Options = LatgenOptions
EXAMPLE = "hdnn latgen --beam 13 --lattice-beam 8 exp/hdnn/final.mdl graph/HCLG.fst ark:- 'ark:|gzip -c > lat.1.gz'"


def main(options: LatgenOptions) -> int:
    """The status is 0 when at least one utterance was decoded, as latgen-faster-mapped's."""
    import torch

    from hdnn_nnet.decode.latgen import latgen

    torch.set_num_threads(1)
    return 0 if latgen(options) else 1
