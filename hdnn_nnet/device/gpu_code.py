"""Has this torch code for this machine's GPUs?"""

import re
import shutil
import subprocess
from collections.abc import Iterable, Iterator

from hdnn_nnet.device.gaps import Gap

_REMEDY = "make env STACK=torch2, or a torch built for this GPU (docs/install.md)"


def supports(architectures: Iterable[str], capability: tuple[int, int]) -> bool:
    """Whether code for `architectures` runs on a GPU of this compute capability.

    Machine code (`sm_86`) runs on GPUs of the same major version and the same or a later minor one; with the suffix `a` on
    that very one, with `f` on its family. Intermediate code (`compute_90`) runs on all later ones.

    Args:
        architectures: as `torch.cuda.get_arch_list()` gives them.
    """
    for name in architectures:
        match = re.fullmatch(r"(sm|compute)_(\d+)(\d)([af]?)", name)
        if match is None:
            continue
        built = int(match[2]), int(match[3])
        if match[4] == "a":
            good = built == capability
        elif match[1] == "compute" and not match[4]:
            good = built <= capability
        else:
            good = built[0] == capability[0] and built[1] <= capability[1]
        if good:
            return True
    return False


def listed_gpus() -> list[str]:
    """A line for each GPU that nvidia-smi lists; none where it does not run."""
    if shutil.which("nvidia-smi") is None:
        return []
    done = subprocess.run(["nvidia-smi", "-L"], capture_output=True, text=True, check=False)
    return [line for line in done.stdout.splitlines() if line.startswith("GPU")] if done.returncode == 0 else []


def gpu_code_gaps(fatal: bool) -> Iterator[Gap]:
    """GPUs that are there and that this torch cannot use.

    Args:
        fatal: a GPU was asked for.
    """
    listed = listed_gpus()
    if not listed:
        return
    import torch

    if not torch.cuda.is_available():
        yield Gap(f"nvidia-smi shows a GPU, but torch {torch.__version__} cannot use it", _REMEDY, fatal)
        return
    architectures = torch.cuda.get_arch_list()
    for index in range(torch.cuda.device_count()):
        capability = torch.cuda.get_device_capability(index)
        if not supports(architectures, capability):
            what = f"{torch.cuda.get_device_name(index)} is sm_{capability[0]}{capability[1]}"
            # It would be chosen and fail at its first kernel, whatever --device says but cpu.
            yield Gap(f"{what}, torch {torch.__version__} has code for {' '.join(architectures)} only", _REMEDY)
