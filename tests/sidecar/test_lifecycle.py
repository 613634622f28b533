"""The drain: what was asked is answered, within its time, unless it is to be at once."""

import asyncio
import time

import pytest

from sidecar.lifecycle import drain
from sidecar.services import SERVICES, Services
from tests.fake_torchserve import FakeTorchServe
from tests.sidecar.conftest import Client, StartSidecar

BODY = {"model_name": "echo", "inputs": [1, 2, 3], "timeout": 30}


def services_of(client: Client) -> Services:
    assert client.app is not None
    services: Services = client.app[SERVICES]
    return services


async def ask(client: Client) -> int:
    return (await client.post("/predict", json=BODY)).status


async def some_in_flight(client: Client, torchserve: FakeTorchServe) -> list[asyncio.Task[int]]:
    torchserve.hold()
    asked = [asyncio.create_task(ask(client)) for _ in range(12)]
    while services_of(client).statistics.active < len(asked):
        await asyncio.sleep(0.01)
    return asked


async def test_what_is_queued_and_in_flight_is_answered_and_new_requests_are_not_taken(
    start: StartSidecar, torchserve: FakeTorchServe
) -> None:
    client = await start(drain_seconds=20.0)
    asked = await some_in_flight(client, torchserve)
    draining = asyncio.create_task(drain(services_of(client), asyncio.Event()))
    await asyncio.sleep(0.05)
    refused = await client.post("/predict", json=BODY)
    assert (refused.status, refused.headers["Retry-After"]) == (503, "5")
    assert (await client.get("/readyz")).status == 503
    assert not draining.done()
    torchserve.release()
    assert await asyncio.gather(*asked) == [200] * len(asked)
    await draining


@pytest.mark.parametrize("at_once", [False, True])
async def test_when_time_is_up_or_it_is_to_be_at_once_the_rest_is_refused(
    start: StartSidecar, torchserve: FakeTorchServe, at_once: bool
) -> None:
    client = await start(drain_seconds=20.0 if at_once else 0.2)
    asked = await some_in_flight(client, torchserve)
    hurry = asyncio.Event()
    if at_once:
        asyncio.get_running_loop().call_later(0.1, hurry.set)
    began = time.monotonic()
    await drain(services_of(client), hurry)
    assert time.monotonic() - began < 2
    assert await asyncio.gather(*asked) == [503] * len(asked)
