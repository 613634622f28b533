"""What memory a worker keeps."""

import os
import platform
import subprocess
import sys

import pytest
import torch

import handler_kit
from handler_kit.allocation import KEPT_OPERATIONS, bound_kept_operations

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


MANY_SHAPES = """
import sys

import psutil
import torch

sys.path.insert(0, sys.argv[1])
from handler_kit.allocation import bound_kept_operations

bound_kept_operations()
torch.set_num_threads(1)
layer = torch.nn.Conv1d(64, 64, 5)
resident = []
with torch.inference_mode():
    for length in range(20, 1220):
        layer(torch.ones(1, 64, length))
        resident.append(psutil.Process().memory_info().rss)
print((resident[-1] - resident[len(resident) // 2]) >> 20)
"""


@pytest.mark.skipif("MKL-DNN v" not in torch.__config__.show(), reason="torch without oneDNN")
def test_inputs_of_many_shapes_do_not_fill_the_memory() -> None:
    """With torch's own limits the second half of them takes about 80 MiB."""
    folder = handler_kit.__path__[0].removesuffix("handler_kit")
    command = [sys.executable, "-c", MANY_SHAPES, folder]
    printed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert int(printed) < 50


def test_the_operators_own_limits_of_kept_operations_stand(monkeypatch: pytest.MonkeyPatch) -> None:
    first, second = KEPT_OPERATIONS
    monkeypatch.setattr(os, "environ", {first: "7"})
    bound_kept_operations()
    assert os.environ == {first: "7", second: KEPT_OPERATIONS[second]}
