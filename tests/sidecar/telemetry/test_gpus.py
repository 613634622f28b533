"""NVML's figures, or none.  The stand-in has NVML's functions; scripts run on a real GPU too."""

from types import SimpleNamespace
from typing import Any

import pytest

from sidecar.telemetry.gpus import GpuFigures, Gpus


class FakeNvml:
    class NVMLError(Exception):
        pass

    def __init__(self, *, driver: bool = True, memory: int | None = 3 * 2**20) -> None:
        self.driver = driver
        self.memory = memory

    def nvmlInit(self) -> None:  # noqa: N802
        if not self.driver:
            raise self.NVMLError

    def nvmlDeviceGetCount(self) -> int:  # noqa: N802
        return 2

    def nvmlDeviceGetHandleByIndex(self, index: int) -> int:  # noqa: N802
        return index

    def nvmlDeviceGetHandleByUUID(self, name: str) -> int:  # noqa: N802
        if not name.startswith("GPU-"):
            raise self.NVMLError
        return int(name[-1])

    def nvmlDeviceGetComputeRunningProcesses(self, handle: int) -> list[Any]:  # noqa: N802
        if self.memory is not None and self.memory < 0:
            raise self.NVMLError
        return [
            SimpleNamespace(pid=10 + handle, usedGpuMemory=self.memory),
            SimpleNamespace(pid=99, usedGpuMemory=2**30),
        ]

    def nvmlDeviceGetMemoryInfo(self, handle: int) -> Any:  # noqa: N802
        return SimpleNamespace(free=2**30, total=2**32)

    def nvmlDeviceGetUtilizationRates(self, handle: int) -> Any:  # noqa: N802
        return SimpleNamespace(gpu=[50, 100][handle])


def test_memory_is_that_of_the_workers_summed_and_utilization_the_mean() -> None:
    assert Gpus(FakeNvml()).read({10, 11}) == GpuFigures(2, 6.0, 75.0, 2048.0, 75.0)


def test_memory_that_the_driver_hides_counts_as_none() -> None:
    assert Gpus(FakeNvml(memory=None)).read({10}) == GpuFigures(2, 0.0, 75.0, 2048.0, 75.0)


def test_what_processes_hold_is_told_by_gpu() -> None:
    gpus = Gpus(FakeNvml())
    assert gpus.held_mb({10}) == {0: 3.0}
    assert gpus.held_mb({10, 11}) == {0: 3.0, 1: 3.0}
    assert gpus.sizes_mb() == [4096.0, 4096.0]
    assert Gpus(FakeNvml(memory=-1)).held_mb({10}) == {}


@pytest.mark.parametrize(
    ("visible", "held"),
    [
        ("1", {0: 3.0}),
        ("1,0", {0: 3.0, 1: 3.0}),
        ("GPU-0, GPU-1", {0: 3.0, 1: 3.0}),
        ("0", {}),
        ("", {}),
        ("-1", {}),
    ],
)
def test_gpus_are_counted_as_cuda_counts_them(
    visible: str, held: dict[int, float], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    pids = {11} if len(held) < 2 else {10, 11}
    assert Gpus(FakeNvml()).held_mb(pids) == held


def test_without_a_driver_there_are_no_gpus() -> None:
    gpus = Gpus(FakeNvml(driver=False))
    assert gpus.count == 0
    assert gpus.read({10}) == GpuFigures(0, None, None)


def test_a_reading_that_fails_is_null_and_not_an_error() -> None:
    assert Gpus(FakeNvml(memory=-1)).read({10}) == GpuFigures(2, None, None)
