"""Options of networks: their architecture, and how they are forwarded."""

from dataclasses import dataclass

from hdnn_nnet.device.options import ForwardDevice
from hdnn_nnet.nn.config import ACTIVATIONS, GATES, parse_name
from hdnn_nnet.options import Options, group, option

WEIGHTS = "final.safetensors"


@dataclass(frozen=True, kw_only=True)
class NetworkOptions(Options):
    """Network."""

    network: str = option("hdnn-h128l10", "architecture, width and depth: [h]dnn-hHlL")
    splice: int = option(5, "frames of context on either side", at_least=0)
    activation: str = option("sigmoid", "hidden non-linearity", choices=ACTIVATIONS)
    gates: str = option("both", "gates of the highway layers", choices=GATES)
    tied_gates: bool = option(True, "share the gates among layers")
    init: str = option("", "weights file to start from instead of random weights")

    def __post_init__(self) -> None:
        super().__post_init__()
        parse_name(self.network)  # a wrong name is an error at once, not in the middle of a job


@dataclass(frozen=True, kw_only=True)
class ForwardOptions(Options):
    """Forward pass."""

    class_frame_counts: str = option("", "counts for the prior; default: the model's own")
    prior_scale: float = option(1.0, "factor of the log-prior", at_least=0)
    weights: str = option(WEIGHTS, "weights file in the model directory")
    batch_frames: int = option(1024, "frames computed at a time", at_least=1)
    compute: ForwardDevice = group(ForwardDevice)
