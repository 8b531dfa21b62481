"""Options of where and in which number format a program computes."""

import re
from dataclasses import dataclass

from hdnn_nnet.errors import HdnnError
from hdnn_nnet.options import Options, option

PRECISIONS = ("auto", "fp32", "bf16")
_DEVICE, _PRECISION = "auto, cpu, cuda or cuda:N", "of the matrix products; auto: bf16 where it is fast"


class _DeviceOptions(Options):
    """A name of a device that is none is an error at once, not in the middle of a job, and never means the CPU."""

    device: str

    def __post_init__(self) -> None:
        super().__post_init__()
        if not re.fullmatch(r"auto|cpu|cuda(:\d+)?", self.device):
            raise HdnnError(f"--device must be {_DEVICE}, not {self.device!r}")


@dataclass(frozen=True, kw_only=True)
class TrainingDevice(_DeviceOptions):
    """Processor options."""

    num_threads: int = option(0, "CPU threads; 0: one for widths under 256, else all", at_least=0, free=True)
    device: str = option("auto", _DEVICE, free=True)
    precision: str = option("auto", _PRECISION, choices=PRECISIONS)


@dataclass(frozen=True, kw_only=True)
class AdaptationDevice(_DeviceOptions):
    """Processor options. Speakers are small: jobs, not threads, are what makes it fast."""

    num_threads: int = option(1, "CPU threads; 0: torch's choice", at_least=0)
    device: str = option("cpu", _DEVICE)
    precision: str = option("auto", _PRECISION, choices=PRECISIONS)


@dataclass(frozen=True, kw_only=True)
class ForwardDevice(_DeviceOptions):
    """Processor options.

    Of programs whose numbers leave the package (log-likelihoods, alignments, priors, soft labels). These must not depend on
    the processor: float32 unless asked otherwise. Training takes `auto`.
    """

    num_threads: int = option(1, "CPU threads; 0: torch's choice", at_least=0)
    device: str = option("cpu", _DEVICE)
    precision: str = option("fp32", _PRECISION, choices=PRECISIONS)
