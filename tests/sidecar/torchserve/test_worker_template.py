"""What keeps the template running; it imports less here than for real workers."""

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import psutil
import pytest

from sidecar.torchserve.worker_template import OUTPUT, WorkerTemplate
from tests.waiting import LIMIT_SECONDS, until


def template_of(folder: Path, *modules: str, **variables: str) -> WorkerTemplate:
    environment = {"PATH": os.environ["PATH"]} | variables
    return WorkerTemplate(folder / "template.sock", lambda: environment, folder, modules)


@asynccontextmanager
async def kept_running(template: WorkerTemplate) -> AsyncIterator[None]:
    task = asyncio.create_task(template.run())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait([task])


async def test_a_template_that_dies_is_started_again(tmp_path: Path) -> None:
    template = template_of(tmp_path)
    async with kept_running(template):
        await until(template.address.exists)
        first = template.pid
        assert first is not None
        psutil.Process(first).kill()
        assert await until(lambda: template.pid not in (None, first))


async def test_a_template_ends_with_the_task_that_keeps_it(tmp_path: Path) -> None:
    template = template_of(tmp_path)
    async with kept_running(template):
        await until(template.address.exists)
        pid = template.pid
    assert pid is not None
    assert template.pid is None
    assert not psutil.pid_exists(pid)


async def test_a_template_that_cannot_fork_is_not_started_again(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    module = (
        "import threading\nthreading.Thread(target=threading.Event().wait, daemon=True).start()"
    )
    (tmp_path / "threaded.py").write_text(module)
    template = template_of(tmp_path, "threaded", PYTHONPATH=str(tmp_path))
    async with asyncio.timeout(LIMIT_SECONDS):
        await template.run()
    assert f"workers are not forked, but started by Python: see {tmp_path / OUTPUT}" in caplog.text
