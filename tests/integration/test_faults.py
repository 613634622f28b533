"""Workers and TorchServe killed under load: every request gets an answer, service comes back."""

import asyncio
import os
import signal
from collections import Counter
from typing import Any

import aiohttp
import pytest

from tests.integration.server import Server, wait_for

pytestmark = pytest.mark.integration
ANSWERS = {200, 503}


class Crowd:
    """Clients that ask on and on until told to stop; their statuses are counted."""

    def __init__(self, url: str, clients: int = 16) -> None:
        self._url = url
        self.clients = clients
        self._stop = asyncio.Event()
        self.statuses: Counter[int] = Counter()
        self.successes = asyncio.Event()
        self._tasks = [asyncio.create_task(self._ask()) for _ in range(clients)]

    async def _ask(self) -> None:
        body = {"model_name": "example", "inputs": [1, 2, 3], "timeout": 30}
        async with aiohttp.ClientSession(self._url) as session:
            while not self._stop.is_set():
                async with session.post("/predict", json=body) as response:
                    answer: dict[str, Any] = await response.json()
                self.statuses[response.status] += 1
                if response.status == 200:
                    assert 0 < answer["result"] < 1
                    self.successes.set()
                else:
                    assert response.headers["Retry-After"]
                    await asyncio.sleep(0.05)

    async def next_success(self) -> None:
        self.successes.clear()
        async with asyncio.timeout(60):
            await self.successes.wait()

    async def stop(self) -> None:
        self._stop.set()
        await asyncio.gather(*self._tasks)


async def test_a_killed_worker_costs_nobody_an_answer(own_server: Server) -> None:
    crowd = Crowd(own_server.url)
    await crowd.next_success()
    for worker in own_server.workers():
        os.kill(worker.pid, signal.SIGKILL)
    await asyncio.sleep(0.2)
    await crowd.next_success()
    await crowd.stop()
    assert set(crowd.statuses) <= ANSWERS
    assert crowd.statuses[200] > crowd.clients


async def test_a_killed_torchserve_is_started_again_and_every_request_is_answered(
    own_server: Server,
) -> None:
    crowd = Crowd(own_server.url)
    await crowd.next_success()
    killed = own_server.java()
    os.kill(killed.pid, signal.SIGKILL)
    await asyncio.sleep(1.0)
    assert own_server.status("/livez") == 200
    await crowd.next_success()
    await crowd.stop()
    assert set(crowd.statuses) == ANSWERS
    await asyncio.to_thread(own_server.wait_ready)
    assert own_server.java().pid != killed.pid


async def test_a_sidecar_that_was_killed_leaves_nothing_for_the_next(own_server: Server) -> None:
    folder = own_server.torchserve_folder()
    left = own_server.children()
    await asyncio.to_thread(own_server.stop, signal.SIGKILL)
    own_server.start()
    await asyncio.to_thread(own_server.wait_ready)
    assert not folder.exists()
    await asyncio.to_thread(
        wait_for, lambda: not any(each.is_running() for each in left), own_server.log
    )
