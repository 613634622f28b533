"""Sleeping models wake in workers that are forked from the template."""

import asyncio
import re
from collections.abc import Callable

import aiohttp
import psutil
import pytest

from tests.integration.server import Server
from tests.waiting import until, until_awaited

pytestmark = pytest.mark.integration
MODEL = "example"
Token = Callable[[str], dict[str, str]]


@pytest.fixture
async def template(server: Server) -> psutil.Process:
    """The process that workers are forked from, once it is ready."""
    return await asyncio.to_thread(server.wait_forking)


async def scale(http: aiohttp.ClientSession, token: Token, workers: int) -> None:
    path = f"/models/{MODEL}/scale"
    async with http.post(path, json={"workers": workers}, headers=token("admin")) as response:
        response.raise_for_status()


async def predict(http: aiohttp.ClientSession) -> int:
    body = {"model_name": MODEL, "inputs": [1, 2, 3], "timeout": 200}
    async with http.post("/predict", json=body) as response:
        return response.status


def workers_of(template: psutil.Process) -> set[psutil.Process]:
    """Return the workers that run; one that has ended is gone at once."""
    return {each for each in template.children() if each.status() != psutil.STATUS_ZOMBIE}


async def wake(
    http: aiohttp.ClientSession, token: Token, template: psutil.Process
) -> psutil.Process:
    """Put the model to sleep, wake it, and return its worker."""
    await scale(http, token, 0)
    before = await asyncio.to_thread(workers_of, template)
    assert await predict(http) == 200
    (worker,) = await asyncio.to_thread(workers_of, template) - before
    return worker


async def launcher_of(http: aiohttp.ClientSession, server: Server) -> psutil.Process:
    """Return what TorchServe takes for the model's worker."""
    async with http.get(f"/models/{MODEL}") as response:
        (worker,) = (await response.json())["workers"]
    return next(
        each
        for each in await asyncio.to_thread(server.children)
        if each.name() == "worker-launcher"
        and any(word.endswith(f".ts.sock.{worker['id']}") for word in each.cmdline())
    )


async def test_a_sleeping_model_wakes_in_a_worker_that_was_forked(
    http: aiohttp.ClientSession, token: Token, template: psutil.Process
) -> None:
    worker = await wake(http, token, template)
    assert worker.name() == "forked-worker"


async def test_a_forked_worker_is_gone_when_its_model_sleeps(
    http: aiohttp.ClientSession, server: Server, token: Token, template: psutil.Process
) -> None:
    worker = await wake(http, token, template)
    launcher = await launcher_of(http, server)
    await scale(http, token, 0)
    await until(lambda: not worker.is_running() and not launcher.is_running())
    assert await predict(http) == 200


async def test_a_forked_worker_holds_less_by_what_it_shares(
    http: aiohttp.ClientSession, token: Token, template: psutil.Process
) -> None:
    worker = await wake(http, token, template)
    async with http.get(f"/models/{MODEL}") as response:
        (told,) = (await response.json())["workers"]
    resident_mb = worker.memory_info().rss / 2**20
    assert 0 < told["memory_mb"] < resident_mb / 2


async def test_what_forked_workers_share_has_a_metric(
    http: aiohttp.ClientSession, template: psutil.Process
) -> None:
    memory = await asyncio.to_thread(template.memory_info)
    own = memory.rss - memory.shared

    async def told() -> float:
        async with http.get("/metrics") as response:
            page = await response.text()
        found = re.search(r"^sidecar_worker_template_bytes (.+)$", page, re.MULTILINE)
        return float(found[1]) if found else 0.0

    await until_awaited(told, lambda bytes_: 0.9 * own < bytes_ < 1.1 * own)


async def test_a_forked_worker_that_is_killed_is_noticed_and_replaced(
    http: aiohttp.ClientSession, server: Server, token: Token, template: psutil.Process
) -> None:
    worker = await wake(http, token, template)
    launcher = await launcher_of(http, server)
    worker.kill()
    await until(lambda: not launcher.is_running())
    await until_awaited(lambda: predict(http), lambda status: status == 200)


async def test_a_launcher_that_is_killed_leaves_no_worker_behind(
    http: aiohttp.ClientSession, server: Server, token: Token, template: psutil.Process
) -> None:
    worker = await wake(http, token, template)
    (await launcher_of(http, server)).kill()
    await until(lambda: not worker.is_running())
    await until_awaited(lambda: predict(http), lambda status: status == 200)
