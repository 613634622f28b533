"""What memory a worker keeps: freed blocks for the next pass, and compiled operations of oneDNN."""

import ctypes
import os
from contextlib import suppress

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3  # from glibc's malloc.h
LARGEST_POOLED_BYTES = 32 << 20  # the largest value that glibc accepts
KEPT_BYTES = 128 << 20
# How many compiled operations torch keeps for each thread, and oneDNN for the process: 1024 each,
# unless these variables say otherwise.
KEPT_OPERATIONS = {"LRU_CACHE_CAPACITY": "128", "ONEDNN_PRIMITIVE_CACHE_CAPACITY": "256"}


def keep_freed_memory() -> None:
    """Make this process keep up to KEPT_BYTES of freed memory for later allocations.

    By default glibc returns large blocks to the kernel at once, which then clears every page again
    for the next pass.  That took half the time of hibari's vocoder, and a tenth of a whole pass of
    Whisper or MiniLM.  Other C libraries are left as they are.
    """
    with suppress(OSError, AttributeError):
        mallopt = ctypes.CDLL(None).mallopt
        mallopt(M_MMAP_THRESHOLD, LARGEST_POOLED_BYTES)
        mallopt(M_TRIM_THRESHOLD, KEPT_BYTES)


def bound_kept_operations() -> None:
    """Make torch keep fewer compiled operations of oneDNN, unless the environment says how many.

    One is compiled for each shape of a tensor, and a text or a sentence of another length has
    another shape.  Within some hundred jobs of texts in bf16 a worker grew by 600 MB, and went on.
    Both variables are read when the first such operation runs.
    """
    for name, count in KEPT_OPERATIONS.items():
        os.environ.setdefault(name, count)  # noqa: TID251 - read by these libraries, not by us
