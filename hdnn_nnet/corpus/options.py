"""Options of preparing one's own recordings."""

from dataclasses import dataclass
from pathlib import Path

from hdnn_nnet.errors import HdnnError
from hdnn_nnet.options import Options, option

NOISES = ("babble", "pink", "white")


@dataclass(frozen=True, kw_only=True)
class PrepareOptions(Options):
    """Preparation."""

    rate: int = option(
        0, "samples a second that all audio gets; 0: 16000, or 8000 where most of it has less", at_least=0
    )
    texts: str = option(
        "normalise", "texts by the one rule, or as they are, because they have been normalised already",
        choices=("normalise", "as-is"),
    )  # fmt: skip
    digits: str = option(
        "refuse", "texts with digits or signs such as &: refuse all, leave them out, or spell (by num2words)",
        choices=("refuse", "leave-out", "spell"),
    )  # fmt: skip
    language: str = option("en", "of --digits spell")
    max_left_out: float = option(0.1, "share of utterances that may be left out", at_least=0, below=1)
    measure: int = option(200, "utterances whose audio is measured; 0: none", at_least=0)
    nj: int = option(2, "parallel readers of sound files", at_least=1)


@dataclass(frozen=True, kw_only=True)
class AugmentOptions(Options):
    """Copies."""

    speeds: tuple[float, ...] = option(
        (), "factors, a copy for each but 1: 0.9,1.0,1.1 are usual", at_least=0.5, at_most=2, metavar="X,..."
    )
    noise_copies: int = option(0, "copies with noise", at_least=0)
    reverb_copies: int = option(0, "copies with reverberation", at_least=0)
    originals: bool = option(True, "take the utterances themselves as well")
    noise: tuple[str, ...] = option(NOISES, "what noise is drawn from", metavar="WORD,...")
    noise_dir: Path | None = option(None, "instead, noise recordings: data directory or folder", metavar="DIR")
    snrs: tuple[float, ...] = option((20.0, 15.0, 10.0, 5.0), "dB, one is drawn for each recording", metavar="X,...")
    rooms: int = option(100, "simulated rooms, one is drawn for each recording", at_least=1)
    max_t60: float = option(0.5, "longest reverberation time of these, in seconds", above=0, at_most=2)
    seed: int = option(777, "of what is drawn", at_least=0)
    nj: int = option(2, "recordings at a time", at_least=1, free=True)

    def __post_init__(self) -> None:
        super().__post_init__()
        if unknown := set(self.noise) - set(NOISES):
            raise HdnnError(f"--noise must be of {', '.join(NOISES)}, not {min(unknown)}")
        for name, values in (("noise", self.noise), ("snrs", self.snrs)):
            if self.noise_copies and not values:
                raise HdnnError(f"--noise-copies needs --{name}")
        if not (self.noise_copies or self.reverb_copies or set(self.speeds) - {1.0}):
            raise HdnnError("no copies are asked for; give --speeds, --noise-copies or --reverb-copies")
