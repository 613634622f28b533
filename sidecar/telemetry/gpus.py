"""NVIDIA GPUs, read with NVML.  Without the driver there are none; that is not an error.

They are numbered as CUDA numbers them: those of CUDA_VISIBLE_DEVICES in its order, else all in
the order of their bus ids (CUDA_DEVICE_ORDER makes TorchServe do the same).
"""

import os
from collections.abc import Callable, Collection
from contextlib import suppress
from typing import Any, NamedTuple

import msgspec

from sidecar.settings import MB
from sidecar.telemetry.visible_gpus import visible_indices


class GpuFigures(msgspec.Struct, frozen=True):
    """All GPUs together: memory in MB (2^20 bytes), utilization 0-100.

    *memory_allocated_mb* is used by the given processes, *memory_available_mb* is free, and
    *memory_percent* is the share of the fullest GPU that all processes use.
    """

    count: int = 0
    memory_allocated_mb: float | None = None
    utilization: float | None = None
    memory_available_mb: float | None = None
    memory_percent: float | None = None


class GpuReading(NamedTuple):
    """One GPU.  *utilization* is a share of time, 0-1; None if the driver does not report it."""

    used_bytes: int | None
    total_bytes: int | None
    utilization: float | None


class Gpus:
    """Queries NVML.  *nvml* is the module `pynvml`, or a substitute in tests."""

    def __init__(self, nvml: Any = None) -> None:
        self._nvml = nvml or _load_nvml()
        self._handles = self._open()

    @property
    def count(self) -> int:
        """The number of GPUs."""
        return len(self._handles)

    def visible_indices(self) -> list[int] | None:
        """Return the indices that CUDA_VISIBLE_DEVICES stands for; None if it is not set.

        Raises UnusableGpuName.
        """
        names = os.environ.get("CUDA_VISIBLE_DEVICES")
        return None if names is None else visible_indices(names, self._uuids())

    def sizes_mb(self) -> list[float]:
        """Return the memory size of each GPU, in 2^20 bytes."""
        try:
            memory = [self._nvml.nvmlDeviceGetMemoryInfo(each) for each in self._handles]
        except self._nvml.NVMLError:
            return []
        return [each.total / MB for each in memory]

    def held_mb(self, pids: Collection[int]) -> dict[int, float]:
        """Return the memory that *pids* use of each GPU, in 2^20 bytes, where it is known."""
        try:
            held = {gpu: self._memory(each, pids) for gpu, each in enumerate(self._handles)}
        except self._nvml.NVMLError:
            return {}
        return {gpu: memory / MB for gpu, memory in held.items() if memory}

    def read(self, pids: Collection[int]) -> GpuFigures:
        """Return the current figures.  The allocated memory is that of the processes *pids*."""
        if not self._handles:
            return GpuFigures()
        memory = self._ask(self._nvml.nvmlDeviceGetMemoryInfo)
        rates = self._ask(self._nvml.nvmlDeviceGetUtilizationRates)
        return GpuFigures(
            len(self._handles),
            self._held_by(pids),
            sum(each.gpu for each in rates) / len(rates) if rates else None,
            sum(each.free for each in memory) / MB if memory else None,
            max((100 * (1 - each.free / each.total) for each in memory), default=None),
        )

    def read_each(self) -> tuple[GpuReading, ...]:
        """Return a reading of each GPU, for all processes, in CUDA's order."""
        return tuple(self._read_one(handle) for handle in self._handles)

    def _read_one(self, handle: Any) -> GpuReading:
        used = total = utilization = None
        with suppress(self._nvml.NVMLError):
            memory = self._nvml.nvmlDeviceGetMemoryInfo(handle)
            used, total = memory.total - memory.free, memory.total
        with suppress(self._nvml.NVMLError):  # a MIG instance has none
            utilization = self._nvml.nvmlDeviceGetUtilizationRates(handle).gpu / 100
        return GpuReading(used, total, utilization)

    def _ask(self, question: Callable[[Any], Any]) -> list[Any]:
        """Return the answers of the GPUs that have one: a MIG instance has no utilization."""
        answers = []
        for handle in self._handles:
            with suppress(self._nvml.NVMLError):
                answers.append(question(handle))
        return answers

    def _held_by(self, pids: Collection[int]) -> float | None:
        """Return the memory that *pids* use on all GPUs, in 2^20 bytes; None if it is not known.

        In a container the driver may know the processes by other ids or not at all, so that not
        finding them does not mean that they use no memory.
        """
        if not pids:
            return 0.0
        listed = self._ask(self._nvml.nvmlDeviceGetComputeRunningProcesses)
        ours = [each.usedGpuMemory for one in listed for each in one if each.pid in pids]
        known = [used for used in ours if used is not None]
        return sum(known) / MB if known else None

    def _open(self) -> list[Any]:
        if self._nvml is None:
            return []
        try:
            self._nvml.nvmlInit()
            return [self._handle(name) for name in self._visible()]
        except self._nvml.NVMLError:
            return []

    def _visible(self) -> list[str]:
        names = os.environ.get("CUDA_VISIBLE_DEVICES")
        if names is None:
            return [str(index) for index in range(self._nvml.nvmlDeviceGetCount())]
        return [name for name in names.replace(" ", "").split(",") if name]

    def _handle(self, name: str) -> Any:
        if name.isdigit():
            return self._nvml.nvmlDeviceGetHandleByIndex(int(name))
        return self._nvml.nvmlDeviceGetHandleByUUID(name)

    def _uuids(self) -> list[str] | None:
        """Return the UUIDs of all GPUs, visible or not; None if the driver does not report them."""
        if self._nvml is None:
            return None
        try:
            count = self._nvml.nvmlDeviceGetCount()
            handles = [self._nvml.nvmlDeviceGetHandleByIndex(index) for index in range(count)]
            return [self._nvml.nvmlDeviceGetUUID(each) for each in handles]
        except self._nvml.NVMLError:
            return None

    def _memory(self, handle: Any, pids: Collection[int]) -> int:
        processes = self._nvml.nvmlDeviceGetComputeRunningProcesses(handle)
        return sum(each.usedGpuMemory or 0 for each in processes if each.pid in pids)


def _load_nvml() -> Any:
    try:
        import pynvml  # noqa: PLC0415 - it exists only for Linux and Windows
    except ImportError:
        return None
    return pynvml
