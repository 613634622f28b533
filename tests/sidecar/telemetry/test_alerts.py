"""A real Prometheus scrapes a sidecar, and our alerts fire.

How soon they do is measured by `scripts/check_alerts`, for all of them.
"""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from tests.fake_torchserve import FakeTorchServe, Refuse
from tests.prometheus_server import PrometheusServer
from tests.sidecar.conftest import CATALOG, Client, StartSidecar
from tests.waiting import until_awaited


@pytest.fixture
async def client(start: StartSidecar) -> Client:
    return await start(catalog={"echo": CATALOG["echo"]})


@pytest.fixture
async def prometheus(client: Client, tmp_path: Path) -> AsyncIterator[PrometheusServer]:
    """One that has scraped the sidecar while all was well."""
    folder = tmp_path / "prometheus"
    await asyncio.to_thread(folder.mkdir)
    server = PrometheusServer(folder)
    port = client.port
    assert port is not None
    await asyncio.to_thread(server.aim_at, [port])
    running = server.running()
    await asyncio.to_thread(running.__enter__)
    try:
        await until_awaited(lambda: asyncio.to_thread(server.query, "sidecar_ready == 1"))
        yield server
    finally:
        await asyncio.to_thread(running.__exit__, None, None, None)


async def test_a_fault_raises_its_alert(
    client: Client, prometheus: PrometheusServer, torchserve: FakeTorchServe
) -> None:
    def fail(_: Any) -> Any:
        raise Refuse(500, "as it was told")

    assert await asyncio.to_thread(prometheus.firing) == set()
    torchserve.answer = fail
    async with client.post("/predict", json={"model_name": "echo", "inputs": [1]}) as response:
        assert response.status == 500
    torchserve.away = True
    await until_awaited(
        lambda: asyncio.to_thread(prometheus.firing),
        lambda firing: firing >= {"InputsFail", "TorchServeDown"},
    )
