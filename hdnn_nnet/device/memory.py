"""Keep freed memory in the process."""

import ctypes
import os

# Names and numbers of glibc's mallopt(3).
M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3
MMAP_THRESHOLD = 32 << 20  # the most that glibc takes
TRIM_THRESHOLD = 256 << 20


def keep_freed_memory() -> bool:
    """Let glibc reuse blocks of up to 32 MiB instead of returning them; False where there is no glibc or the user has set it.

    A matrix of 1000 frames by 3927 pdfs has 16 MB. Fetched anew from the system every time, its pages cost as much as the
    network that fills it (RESULTS, "Speed"). At most 256 MiB more than is in use stay with the process.
    """
    if "MALLOC_MMAP_THRESHOLD_" in os.environ or "MALLOC_TRIM_THRESHOLD_" in os.environ:
        return False
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError):
        return False
    return bool(mallopt(M_MMAP_THRESHOLD, MMAP_THRESHOLD) and mallopt(M_TRIM_THRESHOLD, TRIM_THRESHOLD))
