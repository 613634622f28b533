"""The real TorchServe's process, stopped before it could begin."""

import asyncio
import os
import signal
import time
from pathlib import Path

import pytest

from sidecar.settings import Settings
from sidecar.torchserve.java import find_java_home
from sidecar.torchserve.process import STOP_SECONDS, TorchServeProcess
from tests.integration.server import ROOT


@pytest.fixture
def process(tmp_path: Path) -> TorchServeProcess:
    (tmp_path / "store").mkdir()
    settings = Settings(
        state_dir=tmp_path,
        model_store=tmp_path / "store",
        torchserve_config=ROOT / "config.properties",
    )
    return TorchServeProcess(settings, find_java_home())


async def test_one_that_has_hardly_begun_is_stopped_at_once(process: TorchServeProcess) -> None:
    await process.start()
    group = process.pid
    assert group is not None
    began = time.monotonic()
    await process.stop()
    assert time.monotonic() - began < STOP_SECONDS / 3
    assert not await asyncio.to_thread(process.folder.exists)
    assert not _group_lives(group)


async def test_one_that_cannot_be_recorded_is_not_left_running(
    process: TorchServeProcess, tmp_path: Path
) -> None:
    record = tmp_path / f"torchserve-{Settings().port}.json"
    await asyncio.to_thread(record.mkdir)  # no file can be written there
    with pytest.raises(IsADirectoryError):
        await process.start()
    assert await process.wait() == -signal.SIGKILL


def _group_lives(leader: int) -> bool:
    try:
        os.killpg(leader, 0)
    except ProcessLookupError:
        return False
    return True
