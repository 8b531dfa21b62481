"""What this machine and this installation have, and what is missing for what. A bug report should contain it.

Versions, processor, GPUs, packages, decoders, schedulers, disk; then a line for each gap, with what mends it. The status is 1
if something is broken or nothing would work, not for what is merely absent.
"""

from dataclasses import dataclass

from hdnn_nnet.options import Options as Base


@dataclass(frozen=True, kw_only=True)
class Options(Base):
    """None."""


EXAMPLE = "hdnn doctor"


def main(options: Options) -> int:
    from hdnn_nnet.device.doctor import missing, picture

    del options
    for subject, line in picture():
        print(f"{subject:<12}{line}", flush=True)
    broken = False
    for gap in missing():
        print(f"{'broken' if gap.fatal else 'missing':<12}{gap.what}; {gap.remedy}", flush=True)
        broken |= gap.fatal
    return int(broken)
