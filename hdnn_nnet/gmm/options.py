"""Options of GMM training, with the defaults of Kaldi's steps/train_mono.sh, train_deltas.sh, train_lda_mllt.sh, train_sat.sh."""

from dataclasses import dataclass

from hdnn_nnet.align.options import AlignJobOptions, AlignOptions
from hdnn_nnet.errors import HdnnError
from hdnn_nnet.options import Options, argument, group, option

#: what Kaldi's scripts do with delta features when the options are empty or missing
DEFAULT_CMVN = "--norm-means=true --norm-vars=false"
DEFAULT_DELTAS = "--delta-order=2 --delta-window=2"
#: what does not fit is read and compiled anew in every pass
CACHE_BYTES = 2 << 30
_REALIGN = (1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 12, 14, 16, 18, 20, 23, 26, 29, 32, 35, 38)


@dataclass(frozen=True, kw_only=True)
class MonoOptions(Options):
    """Training."""

    num_iters: int = option(40, "training passes", at_least=1)
    max_iter_inc: int = option(30, "last pass that adds Gaussians", at_least=1)
    totgauss: int = option(1000, "Gaussians in the end", at_least=1)
    realign_iters: tuple[int, ...] = option(_REALIGN, "passes that align anew", at_least=1, metavar="N,N,...")
    power: float = option(0.25, "exponent of the occupancy when Gaussians are dealt out", at_least=0)
    boost_silence: float = option(1.0, "factor on silence likelihoods in alignment", above=0)
    initial_beam: float = option(6.0, "beam of the first alignment", above=0)
    align: AlignOptions = group(AlignOptions, "Alignment")
    seed: int = option(0, "of the perturbation when Gaussians are split", at_least=0)
    cache_bytes: int = option(CACHE_BYTES, "memory of all workers for features and training graphs", at_least=0)


@dataclass(frozen=True, kw_only=True)
class TriphoneOptions(Options):
    """Training."""

    num_iters: int = option(35, "training passes", at_least=1)
    max_iter_inc: int = option(25, "last pass that adds Gaussians", at_least=1)
    realign_iters: tuple[int, ...] = option((10, 20, 30), "passes that align anew", at_least=1, metavar="N,N,...")
    power: float = option(0.25, "exponent of the occupancy when Gaussians are dealt out", at_least=0)
    boost_silence: float = option(1.0, "factor on silence likelihoods in alignment", above=0)
    align: AlignOptions = group(AlignOptions, "Alignment")
    cluster_thresh: float = option(
        -1.0, "leaves are merged that lose less log-likelihood; 0: none are; negative: what the weakest split gains"
    )
    context_width: int = option(3, "phones in the window that a state depends on", at_least=1)
    central_position: int = option(1, "place of the state's own phone in the window, from 0", at_least=0)
    seed: int = option(0, "of the perturbation when Gaussians are split", at_least=0)
    cache_bytes: int = option(CACHE_BYTES, "memory of all workers for features and training graphs", at_least=0)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.central_position >= self.context_width:
            raise HdnnError(
                f"--central-position {self.central_position} is outside the window of --context-width {self.context_width}"
            )


#: what the recipes of Kaldi give to train_lda_mllt.sh; without options, splice-feats takes 4 frames on either side
DEFAULT_SPLICE = "--left-context=3 --right-context=3"


@dataclass(frozen=True, kw_only=True)
class LdaMlltOptions(TriphoneOptions):
    """Training."""

    dim: int = option(40, "dimensions that LDA leaves", at_least=1)
    mllt_iters: tuple[int, ...] = option((2, 4, 6, 12), "passes that estimate MLLT", at_least=1, metavar="N,N,...")
    randprune: float = option(4.0, "random pruning of the posteriors for MLLT; 0: all count", at_least=0)


@dataclass(frozen=True, kw_only=True)
class SatOptions(TriphoneOptions):
    """Training."""

    power: float = option(0.2, "exponent of the occupancy when Gaussians are dealt out", at_least=0)
    fmllr_iters: tuple[int, ...] = option(
        (2, 4, 6, 12), "passes that estimate speaker transforms", at_least=1, metavar="N,N,..."
    )
    silence_weight: float = option(0.0, "weight of silence in their estimation", at_least=0)
    fmllr_min_count: float = option(500.0, "speakers with fewer frames keep the identity", at_least=0)


@dataclass(frozen=True, kw_only=True)
class TriphoneCommand(Options):
    """Triphone training."""

    num_leaves: int = argument("leaves of the tree before they are clustered, at most", at_least=1)
    tot_gauss: int = argument("Gaussians in the end, about", at_least=1)
    data_dir: str = argument("data directory with features, CMVN statistics and text")
    lang_dir: str = argument("lang directory")
    ali_dir: str = argument("alignment directory of the same data")
    exp_dir: str = argument("model directory to write")
    nj: int = option(
        0, "processes, and parts of the alignments; 0: as many parts as those in the alignment directory", at_least=0
    )
    max_failed: float = option(0.05, "share of utterances that may fail to align", at_least=0, at_most=1)
    root: str | None = option(None, "where to look for features with relative paths that do not exist from here")


@dataclass(frozen=True, kw_only=True)
class GmmAlignCommand(Options):
    """Alignment."""

    data_dir: str = argument("data directory with features and text")
    lang_dir: str = argument("lang directory")
    src_dir: str = argument("with final.mdl, tree and what its features need: final.mat, option files")
    ali_dir: str = argument("alignment directory to write")
    boost_silence: float = option(1.0, "factor on silence likelihoods", above=0)
    align: AlignJobOptions = group(AlignJobOptions, "Job")
