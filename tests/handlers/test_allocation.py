"""What the C library does with freed memory."""

import platform
import subprocess
import sys

import pytest

import handler_kit

PROGRAM = """
import resource
import sys

import numpy as np

sys.path.insert(0, sys.argv[1])
from handler_kit.allocation import keep_freed_memory


def pages_cleared():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(10):
        blocks = [np.ones(1 << 20, np.float32) for _ in range(3)]
        del blocks
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before


freshly = pages_cleared()
keep_freed_memory()
pages_cleared()  # what is kept must first be there
print(freshly, pages_cleared())
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="not glibc's allocator")
def test_memory_that_was_freed_is_used_again_without_the_kernel() -> None:
    folder = handler_kit.__path__[0].removesuffix("handler_kit")
    command = [sys.executable, "-c", PROGRAM, folder]
    printed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    freshly, kept = map(int, printed.split())
    assert freshly > 1000
    assert kept < 100
