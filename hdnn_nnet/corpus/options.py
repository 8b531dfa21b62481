"""Options of preparing one's own recordings."""

from dataclasses import dataclass

from hdnn_nnet.options import Options, option


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
