"""How the C library's allocator treats memory that was freed."""

import ctypes
from contextlib import suppress

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3  # of glibc's malloc.h
LARGEST_POOLED_BYTES = 32 << 20  # the most that glibc takes
KEPT_BYTES = 128 << 20


def keep_freed_memory() -> None:
    """Have this process keep up to KEPT_BYTES that it freed, for what it allocates next.

    glibc gives larger blocks back to the kernel at once, which then clears each of their pages anew
    for the next pass: of hibari's vocoder that was half the time, of a whole pass of Whisper or
    MiniLM a tenth.  Another C library is left as it is.
    """
    with suppress(OSError, AttributeError):
        mallopt = ctypes.CDLL(None).mallopt
        mallopt(M_MMAP_THRESHOLD, LARGEST_POOLED_BYTES)
        mallopt(M_TRIM_THRESHOLD, KEPT_BYTES)
