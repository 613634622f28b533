"""How the C library's allocator treats freed memory."""

import ctypes
from contextlib import suppress

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3  # from glibc's malloc.h
LARGEST_POOLED_BYTES = 32 << 20  # the largest value that glibc accepts
KEPT_BYTES = 128 << 20


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
