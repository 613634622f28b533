"""NVML's figures, or none.  The stand-in has NVML's functions; scripts run on a real GPU too."""

from types import SimpleNamespace
from typing import Any

import pytest

from sidecar.telemetry.gpus import GpuFigures, GpuReading, Gpus
from sidecar.telemetry.visible_gpus import UnusableGpuName, visible_indices


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
        if not self.driver:
            raise self.NVMLError
        return 2

    def nvmlDeviceGetHandleByIndex(self, index: int) -> int:  # noqa: N802
        return index

    def nvmlDeviceGetHandleByUUID(self, name: str) -> int:  # noqa: N802
        if not name.startswith("GPU-"):
            raise self.NVMLError
        return int(name[-1])

    def nvmlDeviceGetUUID(self, handle: int) -> str:  # noqa: N802
        return f"GPU-{handle}"

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


@pytest.fixture(autouse=True)
def all_gpus_visible(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the suite hides from torch is to be seen here: the GPUs are stand-ins."""
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES")


def test_memory_is_summed_over_workers_and_utilization_averaged() -> None:
    assert Gpus(FakeNvml()).read({10, 11}) == GpuFigures(2, 6.0, 75.0, 2048.0, 75.0)


def test_memory_that_the_driver_hides_is_null_and_not_zero() -> None:
    assert Gpus(FakeNvml(memory=None)).read({10}) == GpuFigures(2, None, 75.0, 2048.0, 75.0)


def test_in_a_container_where_process_ids_do_not_match_memory_is_null() -> None:
    assert Gpus(FakeNvml()).read({7}) == GpuFigures(2, None, 75.0, 2048.0, 75.0)
    assert Gpus(FakeNvml()).read(set()) == GpuFigures(2, 0.0, 75.0, 2048.0, 75.0)


class PartOfAGpu(FakeNvml):
    """MIG: NVML knows no utilization of a part."""

    def nvmlDeviceGetUtilizationRates(self, handle: int) -> Any:  # noqa: N802
        raise self.NVMLError


def test_a_call_that_is_not_supported_leaves_the_other_figures() -> None:
    assert Gpus(PartOfAGpu()).read({10, 11}) == GpuFigures(2, 6.0, None, 2048.0, 75.0)


def test_each_gpu_is_read_whoever_uses_it() -> None:
    used, total = 2**32 - 2**30, 2**32
    assert Gpus(FakeNvml()).read_each() == (
        GpuReading(used, total, 0.5),
        GpuReading(used, total, 1.0),
    )
    assert Gpus(PartOfAGpu()).read_each() == (GpuReading(used, total, None),) * 2
    assert Gpus(FakeNvml(driver=False)).read_each() == ()


def test_memory_of_processes_is_told_by_gpu() -> None:
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


UUIDS = ["GPU-8f2c-11", "GPU-8f2c-22", "GPU-0a"]


@pytest.mark.parametrize(
    ("names", "indices"),
    [
        ("0, 1", [0, 1]),
        ("2,0", [2, 0]),
        ("GPU-8f2c-22", [1]),
        ("GPU-0A, gpu-8f2c-1", [2, 0]),
        ("0,-1,1", [0]),  # as CUDA does: what is behind a name of no GPU is not seen
        ("0,7,1", [0]),
        ("", []),
        ("-1", []),
        ("NoDevFiles", []),
    ],
)
def test_names_of_gpus_become_the_indices_that_torchserve_can_read(
    names: str, indices: list[int]
) -> None:
    assert visible_indices(names, UUIDS) == indices


@pytest.mark.parametrize(
    ("names", "sentence"),
    [
        ("MIG-3f51", "MIG-3f51 is part of a GPU"),
        ("GPU-8f2c", "must name one GPU, but it matches 2 of this machine's"),
        ("0,GPU-77", "must name one GPU, but it matches 0 of this machine's"),
    ],
)
def test_a_name_that_is_no_index_is_refused_in_a_sentence(names: str, sentence: str) -> None:
    with pytest.raises(UnusableGpuName, match=sentence):
        visible_indices(names, UUIDS)


def test_without_nvml_indices_are_believed_and_uuids_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0, 3")
    assert Gpus(FakeNvml(driver=False)).visible_indices() == [0, 3]
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "GPU-1")
    assert Gpus(FakeNvml()).visible_indices() == [1]
    with pytest.raises(UnusableGpuName):
        Gpus(FakeNvml(driver=False)).visible_indices()
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES")
    assert Gpus(FakeNvml()).visible_indices() is None


def test_without_a_driver_there_are_no_gpus() -> None:
    gpus = Gpus(FakeNvml(driver=False))
    assert gpus.count == 0
    assert gpus.read({10}) == GpuFigures(0, None, None)


def test_a_reading_that_fails_is_null_and_not_an_error() -> None:
    assert Gpus(FakeNvml(memory=-1)).read({10}) == GpuFigures(2, None, 75.0, 2048.0, 75.0)
