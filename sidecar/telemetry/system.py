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
    template_mb: float | None  # what forked workers share with their template, and leave out
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
    processes whose memory counts with that of the workers, *template* the one among them that
    workers are forked from.
    """

    def __init__(
        self,
        worker_pids: Callable[[], Iterable[int]],
        gpus: Gpus,
        clock: Callable[[], float] = time.monotonic,
        folders: Mapping[str, Path] = NO_FOLDERS,
        others: Callable[[], Iterable[int]] = tuple,
        template: Callable[[], int | None] = lambda: None,
    ) -> None:
        self._others = others
        self._template = template
        self._folders = folders
        self._worker_pids = worker_pids
        self._gpus = gpus
        self._clock = clock
        self._workers: dict[int, _Worker] = {}  # by process id
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
        workers = self._find_workers(pids)
        memory = psutil.virtual_memory()
        first = self._read_at is None
        return SystemFigures(
            worker_cores=self._busy_cores(workers),
            cpu_percent=None if first else psutil.cpu_percent(None),
            memory_percent=memory.percent,
            memory_available_gb=memory.available / 2**30,
            memory_usage_mb=_resident(workers, self._others()) / MB,
            template_mb=_own_mb(self._template()),
            gpus=self._gpus.read(pids),
            each_gpu=self._gpus.read_each(),
            disks=tuple(self._read_disks()),
        )

    def _read_disks(self) -> Iterator[DiskReading]:
        for name, folder in self._folders.items():
            with suppress(OSError):
                usage = shutil.disk_usage(_where(folder))
                yield DiskReading(name, usage.free, usage.total)

    def _find_workers(self, pids: list[int]) -> list["_Worker"]:
        """Return the workers among *pids*; those found before are not looked up again.

        TorchServe has just named them, so none of the numbers is of another process by now.
        """
        new = _processes(pid for pid in pids if pid not in self._workers)
        found = self._workers | {process.pid: _Worker(process, _parent(process)) for process in new}
        self._workers = {pid: found[pid] for pid in pids if pid in found}
        return list(self._workers.values())

    def _busy_cores(self, workers: list["_Worker"]) -> float | None:
        now, before = self._clock(), self._read_at
        seconds: dict[int, float] = {}
        for worker in workers:
            try:
                times = worker.process.cpu_times()
            except psutil.Error:
                continue
            seconds[worker.process.pid] = times.user + times.system
        known = [pid for pid in seconds if pid in self._worker_seconds]
        spent = sum(seconds[pid] - self._worker_seconds[pid] for pid in known)
        self._worker_seconds, self._read_at = seconds, now
        if before is None or now <= before:
            return None
        return spent / (now - before)


class _Worker(NamedTuple):
    """A worker on this machine, and the TorchServe above it."""

    process: psutil.Process
    parent: psutil.Process | None


def _parent(process: psutil.Process) -> psutil.Process | None:
    try:
        return process.parent()
    except psutil.Error:
        return None


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


def _own_mb(pid: int | None) -> float | None:
    """Return the memory of process *pid* that is no file's; None if there is no such process."""
    if pid is None:
        return None
    try:
        memory = psutil.Process(pid).memory_info()
    except psutil.Error:
        return None
    return (memory.rss - memory.shared) / MB


def _resident(workers: list[_Worker], others: Iterable[int]) -> int:
    """Return the resident memory of the sidecar, the workers, their parents and *others*."""
    processes = {process.pid: process for worker in workers for process in worker if process}
    for pid in (os.getpid(), *others):
        with suppress(psutil.Error):
            processes[pid] = psutil.Process(pid)
    total = 0
    for process in processes.values():
        with suppress(psutil.Error):
            total += process.memory_info().rss
    return total
