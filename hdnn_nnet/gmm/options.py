"""Options of GMM training, with the defaults of Kaldi's steps/train_mono.sh."""

from dataclasses import dataclass

from hdnn_nnet.align.options import AlignOptions
from hdnn_nnet.options import Options, group, option

#: what Kaldi's scripts do with delta features when the options are empty or missing
DEFAULT_CMVN = "--norm-means=true --norm-vars=false"
DEFAULT_DELTAS = "--delta-order=2 --delta-window=2"
_REALIGN = (1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 12, 14, 16, 18, 20, 23, 26, 29, 32, 35, 38)


@dataclass(frozen=True, kw_only=True)
class MonoOptions(Options):
    """Training."""

    num_iters: int = option(40, "training passes", at_least=1)
    max_iter_inc: int = option(30, "last pass that adds Gaussians", at_least=1)
    totgauss: int = option(1000, "Gaussians in the end", at_least=1)
    realign_iters: tuple[int, ...] = option(_REALIGN, "passes that align anew", metavar="N,N,...")
    power: float = option(0.25, "exponent of the occupancy when Gaussians are dealt out", at_least=0)
    boost_silence: float = option(1.0, "factor on silence likelihoods in alignment", above=0)
    initial_beam: float = option(6.0, "beam of the first alignment", above=0)
    align: AlignOptions = group(AlignOptions, "Alignment")
    seed: int = option(0, "of the perturbation when Gaussians are split", at_least=0)
    cache_bytes: int = option(2 << 30, "features are kept in memory up to this size over all workers", at_least=0)
