"""Readings of the machine and of the workers, with real processes in the place of workers."""

import asyncio
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from sidecar.settings import MB
from sidecar.telemetry.gpus import Gpus
from sidecar.telemetry.system import SystemSampler

WORKER = [sys.executable, "-c", "print(flush=True); input()", "model_service_worker"]


@pytest.fixture
def worker() -> Iterator[subprocess.Popen[bytes]]:
    with subprocess.Popen(WORKER, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()  # it has started: from now on its memory stays as it is
        yield process
        process.kill()


class OpenedFiles:
    """The files that Python opens inside the `with` block."""

    def __init__(self) -> None:
        self.paths: list[str] = []
        self._watching = False
        sys.addaudithook(self._hear)

    def __enter__(self) -> "OpenedFiles":
        self._watching = True
        return self

    def __exit__(self, *_: object) -> None:
        self._watching = False

    def _hear(self, event: str, args: tuple[Any, ...]) -> None:
        if self._watching and event == "open":
            self.paths.append(str(args[0]))


def test_a_worker_is_looked_up_once_and_measured_each_time(
    worker: subprocess.Popen[bytes],
) -> None:
    pids = [worker.pid]
    sampler = SystemSampler(lambda: pids, Gpus())
    asyncio.run(sampler.sample())
    with OpenedFiles() as opened:
        asyncio.run(sampler.sample())
    of_worker = [path for path in opened.paths if path.startswith(f"/proc/{worker.pid}/")]
    assert {Path(path).name for path in of_worker} == {"stat", "statm"}
    held = psutil.Process(worker.pid).memory_info().rss
    assert sampler.figures.memory_usage_mb is not None
    assert sampler.figures.memory_usage_mb > held / MB
    assert sampler.figures.worker_cores is not None
    worker.kill()
    worker.wait()
    asyncio.run(sampler.sample())
    pids.clear()
    asyncio.run(sampler.sample())
    assert sampler.figures.worker_cores == 0


def test_what_workers_share_with_their_template_is_told_while_it_runs(
    worker: subprocess.Popen[bytes],
) -> None:
    found: list[int | None] = [None]
    sampler = SystemSampler(list, Gpus(), template=lambda: found[0])
    assert sampler.figures.template_mb is None
    found[0] = worker.pid
    asyncio.run(sampler.sample())
    memory = psutil.Process(worker.pid).memory_full_info()
    assert sampler.figures.template_mb == pytest.approx((memory.rss - memory.shared) / MB, rel=0.2)
    worker.kill()
    worker.wait()
    asyncio.run(sampler.sample())
    assert sampler.figures.template_mb is None
