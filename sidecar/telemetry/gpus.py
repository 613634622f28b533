"""NVIDIA's GPUs, by NVML.  Without the driver there are none, and nothing fails."""

from collections.abc import Collection
from typing import Any

import msgspec


class GpuFigures(msgspec.Struct, frozen=True):
    """All GPUs together: memory in mb (2^20 bytes), utilization 0-100.

    *memory_allocated_mb* is what given processes hold, *memory_available_mb* what is free,
    *memory_percent* what all processes hold of the fullest GPU.
    """

    count: int = 0
    memory_allocated_mb: float | None = None
    utilization: float | None = None
    memory_available_mb: float | None = None
    memory_percent: float | None = None


class Gpus:
    """Asks NVML; *nvml* is the module `pynvml`, or what stands for it in a test."""

    def __init__(self, nvml: Any = None) -> None:
        self._nvml = nvml or _load_nvml()
        self._handles = self._open()

    @property
    def count(self) -> int:
        """How many GPUs there are."""
        return len(self._handles)

    def read(self, pids: Collection[int]) -> GpuFigures:
        """The figures now; memory is that of the processes *pids*."""
        if not self._handles:
            return GpuFigures()
        try:
            used = sum(self._memory(handle, pids) for handle in self._handles)
            memory = [self._nvml.nvmlDeviceGetMemoryInfo(each) for each in self._handles]
            rates = [self._nvml.nvmlDeviceGetUtilizationRates(each).gpu for each in self._handles]
        except self._nvml.NVMLError:
            return GpuFigures(len(self._handles))
        mean = sum(rates) / len(rates)
        return GpuFigures(
            len(self._handles),
            used / 2**20,
            mean,
            sum(each.free for each in memory) / 2**20,
            max(100 * (1 - each.free / each.total) for each in memory),
        )

    def _open(self) -> list[Any]:
        if self._nvml is None:
            return []
        try:
            self._nvml.nvmlInit()
            count = self._nvml.nvmlDeviceGetCount()
            return [self._nvml.nvmlDeviceGetHandleByIndex(index) for index in range(count)]
        except self._nvml.NVMLError:
            return []

    def _memory(self, handle: Any, pids: Collection[int]) -> int:
        processes = self._nvml.nvmlDeviceGetComputeRunningProcesses(handle)
        return sum(each.usedGpuMemory or 0 for each in processes if each.pid in pids)


def _load_nvml() -> Any:
    try:
        import pynvml  # noqa: PLC0415 - only Linux and Windows have it
    except ImportError:
        return None
    return pynvml
