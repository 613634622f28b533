"""How much memory a worker holds, measured by itself.

Nobody else can measure it: TorchServe's own figures need its system metrics, which are off, and in
a container the driver knows processes by other ids than we do.
"""

import time
from collections.abc import Callable

import msgspec
import psutil
import torch

EVERY_SECONDS = 1.0


class MemoryUse(msgspec.Struct, frozen=True, kw_only=True):
    """The bytes that this process holds; *gpu* is the index of its GPU, None where it uses none.

    *gpu_reserved_bytes* is what torch has taken from the driver, *gpu_allocated_bytes* what of it
    is in use.  CUDA's context, some hundred megabytes, is in neither.
    """

    rss_bytes: int
    gpu: int | None = None
    gpu_allocated_bytes: int = 0
    gpu_reserved_bytes: int = 0


class MemoryGauge:
    """Measures this process and its share of *device*."""

    def __init__(self, device: torch.device, clock: Callable[[], float] = time.monotonic) -> None:
        self._device = device
        self._clock = clock
        self._process = psutil.Process()
        self._told_at = float("-inf")

    def read(self) -> MemoryUse:
        """Return the current figures."""
        rss = self._process.memory_info().rss
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
