"""torchrun that also works with torch 1.13 on Python 3.11: `python3 -m hdnn_nnet.bin.torchrun --nproc_per_node=2 -m MODULE ...`.

There the enumeration of output redirections lost its zero member when Python stopped iterating over it, so torchrun's own
default ("0", no redirection) is not understood. Nothing else is changed.
"""

from torch.distributed.elastic.multiprocessing.api import Std
from torch.distributed.run import main

_from_str = Std.from_str


def _with_zero(text: str) -> object:
    return Std.NONE if text == "0" else _from_str(text)


if __name__ == "__main__":
    Std.from_str = staticmethod(_with_zero)  # type: ignore[method-assign, assignment]
    main()
