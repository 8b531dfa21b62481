"""Options that several lattice commands have."""

from dataclasses import dataclass

from hdnn_nnet.options import Options, option


@dataclass(frozen=True, kw_only=True)
class ScaleOptions(Options):
    """Scales: a path costs lm-scale * graph + acoustic-scale * acoustic."""

    acoustic_scale: float = option(1.0, "as in Kaldi; 1 / LMWT is usual, such as 0.1", above=0)
    lm_scale: float = option(1.0, "of graph costs", above=0)
