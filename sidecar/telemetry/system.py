"""Processors, memory and processes, read every few seconds in a thread.

The routes report the latest reading.  Processor use is the mean since the previous one.
"""

import asyncio
import os
import shutil
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

import msgspec
import psutil

from sidecar.settings import MB
from sidecar.telemetry.gpus import GpuFigures, GpuReading, Gpus

SAMPLE_SECONDS = 2.0


NO_FOLDERS: Mapping[str, Path] = MappingProxyType({})


class DiskReading(NamedTuple):
    """The disk that holds a folder.  *folder* is the folder's purpose."""

    folder: str
    free_bytes: int  # available to processes other than root's
    size_bytes: int


class SystemFigures(msgspec.Struct, frozen=True):
    """One reading.  Percents are 0-100, MB and GB are 2^20 and 2^30 bytes; null: not measured."""

    cpu_percent: float | None
    memory_percent: float
    memory_available_gb: float
    memory_usage_mb: float | None  # RSS of the sidecar, TorchServe, its workers and their template
    worker_cores: float | None  # processors that the workers kept busy, on average
    gpus: GpuFigures
    each_gpu: tuple[GpuReading, ...] = ()
    disks: tuple[DiskReading, ...] = ()

    def device_utilization(self) -> float | None:
        """Return the utilization, 0-1: of the GPUs, else of the processors by the workers."""
        if self.gpus.utilization is not None:
            return self.gpus.utilization / 100
        if self.worker_cores is None:
            return None
        return min(self.worker_cores / usable_cores(), 1.0)


class SystemSampler:
    """Reads the figures.  *worker_pids* returns the process ids of the current workers.

    *folders* has the folders whose disks are watched, by their purpose; *others* returns further
    processes whose memory counts with that of the workers.
    """

    def __init__(
        self,
        worker_pids: Callable[[], Iterable[int]],
        gpus: Gpus,
        clock: Callable[[], float] = time.monotonic,
        folders: Mapping[str, Path] = NO_FOLDERS,
        others: Callable[[], Iterable[int]] = tuple,
    ) -> None:
        self._others = others
        self._folders = folders
        self._worker_pids = worker_pids
        self._gpus = gpus
        self._clock = clock
        self._worker_seconds: dict[int, float] = {}
        self._read_at: float | None = None
        psutil.cpu_percent(None)  # begins the first interval
        self.figures = self._read([])

    async def run(self) -> None:
        """Take a reading every few seconds until cancelled."""
        while True:
            await asyncio.sleep(SAMPLE_SECONDS)
            await self.sample()

    async def sample(self) -> None:
        """Take one reading in a thread."""
        self.figures = await asyncio.to_thread(self._read, list(self._worker_pids()))

    def _read(self, pids: list[int]) -> SystemFigures:
        workers = list(_processes(pids))
        memory = psutil.virtual_memory()
        first = self._read_at is None
        return SystemFigures(
            worker_cores=self._busy_cores(workers),
            cpu_percent=None if first else psutil.cpu_percent(None),
            memory_percent=memory.percent,
            memory_available_gb=memory.available / 2**30,
            memory_usage_mb=_resident(workers, self._others()) / MB,
            gpus=self._gpus.read(pids),
            each_gpu=self._gpus.read_each(),
            disks=tuple(self._read_disks()),
        )

    def _read_disks(self) -> Iterator[DiskReading]:
        for name, folder in self._folders.items():
            with suppress(OSError):
                usage = shutil.disk_usage(_where(folder))
                yield DiskReading(name, usage.free, usage.total)

    def _busy_cores(self, workers: list[psutil.Process]) -> float | None:
        now, before = self._clock(), self._read_at
        seconds: dict[int, float] = {}
        for worker in workers:
            try:
                times = worker.cpu_times()
            except psutil.Error:
                continue
            seconds[worker.pid] = times.user + times.system
        known = [pid for pid in seconds if pid in self._worker_seconds]
        spent = sum(seconds[pid] - self._worker_seconds[pid] for pid in known)
        self._worker_seconds, self._read_at = seconds, now
        if before is None or now <= before:
            return None
        return spent / (now - before)


def usable_cores() -> int:
    """Return the number of processors that this process may use."""
    return len(os.sched_getaffinity(0))


def resident_bytes(pids: Iterable[int]) -> dict[int, int]:
    """Return the resident memory of the workers among *pids* that run on this machine, in bytes."""
    held: dict[int, int] = {}
    with suppress(OSError):  # out of file descriptors: the rest is unknown for now
        for process in _processes(pids):
            with suppress(psutil.Error):
                held[process.pid] = process.memory_info().rss
    return held


def _where(folder: Path) -> Path:
    """Return *folder*, or its nearest ancestor that exists."""
    here = folder.absolute()
    return next((each for each in (here, *here.parents) if each.exists()), here)


def _processes(pids: Iterable[int]) -> Iterable[psutil.Process]:
    """Yield the workers among *pids* on this machine.  A pid may belong to another container."""
    for pid in pids:
        try:
            process = psutil.Process(pid)
            if any("model_service_worker" in word for word in process.cmdline()):
                yield process
        except psutil.Error:
            continue


def _resident(workers: list[psutil.Process], others: Iterable[int]) -> int:
    """Return the resident memory of the sidecar, the workers, their parents and *others*."""
    processes = {psutil.Process(), *workers}
    for pid in others:
        with suppress(psutil.Error):
            processes.add(psutil.Process(pid))
    for worker in workers:
        try:
            processes.add(worker.parent() or worker)
        except psutil.Error:
            continue
    total = 0
    for process in processes:
        try:
            total += process.memory_info().rss
        except psutil.Error:
            continue
    return total
