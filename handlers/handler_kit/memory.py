"""How much memory a worker uses, measured by the worker itself.

Nothing else can measure it: TorchServe's figures need its system metrics, which are off, and in a
container the GPU's driver knows processes by other ids.
"""

import os
import time
from collections.abc import Callable
from pathlib import Path

import msgspec
import psutil
import torch

EVERY_SECONDS = 1.0
MEMORY_MAP = Path("/proc/self/smaps_rollup")


class MemoryUse(msgspec.Struct, frozen=True, kw_only=True):
    """The memory of this process in bytes, without what it shares with the one it was forked from.

    *gpu* is the index of its GPU, None without one.  *gpu_reserved_bytes* is what torch has
    reserved from the driver, *gpu_allocated_bytes* the part in use.  Neither includes CUDA's
    context of some hundred megabytes.
    """

    rss_bytes: int
    gpu: int | None = None
    gpu_allocated_bytes: int = 0
    gpu_reserved_bytes: int = 0


class MemoryGauge:
    """Measures the memory of this process on the machine and on *device*.

    *parent* returns the number of the process that this one was forked from, or that of another
    once it has ended.
    """

    def __init__(
        self,
        device: torch.device,
        clock: Callable[[], float] = time.monotonic,
        memory_map: Path = MEMORY_MAP,
        parent: Callable[[], int] = os.getppid,
    ) -> None:
        self._device = device
        self._clock = clock
        self._process = psutil.Process()
        self._parent = parent
        self._forked_from = parent()
        self._shared_bytes = parents_bytes(memory_map)
        self._told_at = float("-inf")

    def read(self) -> MemoryUse:
        """Return the current figures."""
        shared = self._shared_bytes if self._parent() == self._forked_from else 0
        rss = self._process.memory_info().rss - shared
        if self._device.type != "cuda":
            return MemoryUse(rss_bytes=rss)
        return MemoryUse(
            rss_bytes=rss,
            gpu=self._device.index or 0,
            gpu_allocated_bytes=torch.cuda.memory_allocated(self._device),
            gpu_reserved_bytes=torch.cuda.memory_reserved(self._device),
        )

    def read_if_due(self) -> MemoryUse | None:
        """Return the current figures, or None if they were read less than EVERY_SECONDS ago."""
        now = self._clock()
        if now - self._told_at < EVERY_SECONDS:
            return None
        self._told_at = now
        return self.read()


def parents_bytes(memory_map: Path) -> int:
    """Return how many bytes are still those of the process that this one was forked from.

    They stay when this one ends, as long as that lives.  0 where it was not forked, or where the
    system does not say.  Looking takes some milliseconds.
    """
    try:
        lines = memory_map.read_text().splitlines()
    except OSError:
        return 0
    shared = (line.split() for line in lines if line.startswith("Shared_Dirty:"))
    return sum(int(words[1]) * 1024 for words in shared)
