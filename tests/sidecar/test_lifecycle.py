"""The drain: accepted requests are answered within its time, unless it is cut short."""

import asyncio
import socket
from typing import Any

import pytest
from aiohttp import ClientConnectorError, ClientSession, TCPConnector

from sidecar.lifecycle import drain
from sidecar.program import PROGRAM, Program
from sidecar.web.acceptor import Acceptor
from sidecar.web.connections import Connections
from tests.fake_torchserve import FakeTorchServe
from tests.sidecar.conftest import Client, StartSidecar
from tests.sidecar.web.test_refusals_by_limits import bearer
from tests.waiting import LIMIT_SECONDS, let_the_loop_turn, until

DRAIN_SECONDS = 10 * LIMIT_SECONDS  # what waits until it is over fails its test
BODY = {"model_name": "echo", "inputs": [1, 2, 3], "timeout": 30}


def services_of(client: Client) -> Program:
    assert client.app is not None
    services: Program = client.app[PROGRAM]
    return services


def connections_of(client: Client) -> Connections:
    server = client.server.runner.server  # type: ignore[union-attr]
    assert isinstance(server, Connections)
    return server


async def leave(client: Client, at_once: asyncio.Event | None = None, **times: float) -> None:
    """Drain as `python -m sidecar` does."""

    async def stop_listening() -> None:
        for site in client.server.runner.sites:  # type: ignore[union-attr]
            await site.stop()

    at_once = at_once or asyncio.Event()
    await drain(services_of(client), connections_of(client), stop_listening, at_once, **times)


async def ask(client: Client) -> int:
    return (await client.post("/predict", json=BODY)).status


async def some_in_flight(client: Client, torchserve: FakeTorchServe) -> list[asyncio.Task[int]]:
    torchserve.hold()
    asked = [asyncio.create_task(ask(client)) for _ in range(12)]
    await until(lambda: services_of(client).statistics.active >= len(asked))
    return asked


async def test_a_drain_answers_queued_requests_and_refuses_new_ones(
    start: StartSidecar, torchserve: FakeTorchServe
) -> None:
    client = await start(drain_seconds=DRAIN_SECONDS)
    asked = await some_in_flight(client, torchserve)
    draining = asyncio.create_task(leave(client))
    while not services_of(client).draining.is_set():
        await asyncio.sleep(0)
    refused = await client.post("/predict", json=BODY)
    assert (refused.status, refused.headers["Retry-After"]) == (503, "5")
    assert (await client.get("/readyz")).status == 503
    assert not draining.done()
    torchserve.release()
    assert await asyncio.gather(*asked) == [200] * len(asked)
    await draining


@pytest.mark.parametrize("at_once", [False, True])
async def test_a_drain_refuses_the_rest_at_its_deadline_or_second_signal(
    start: StartSidecar, torchserve: FakeTorchServe, at_once: bool
) -> None:
    client = await start(drain_seconds=DRAIN_SECONDS if at_once else 0.2)
    asked = await some_in_flight(client, torchserve)
    hurry = asyncio.Event()
    if at_once:
        asyncio.get_running_loop().call_later(0.1, hurry.set)
    async with asyncio.timeout(LIMIT_SECONDS):
        await leave(client, hurry)
    assert await asyncio.gather(*asked) == [503] * len(asked)


async def connect(port: int | None, sent: bytes) -> tuple[asyncio.StreamReader, Any]:
    """Return a connection over which *sent* was sent."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(sent)
    return reader, writer


async def read_head(reader: asyncio.StreamReader) -> bytes:
    """Return the head of the answer, after which the connection is closed."""
    async with asyncio.timeout(LIMIT_SECONDS):
        head = await reader.readuntil(b"\r\n\r\n")
        await reader.read()
    return head


@pytest.mark.parametrize("kept", [False, True])
async def test_a_stop_with_nothing_to_do_is_immediate(start: StartSidecar, kept: bool) -> None:
    client = await start(drain_seconds=DRAIN_SECONDS)
    if kept:
        assert (await client.get("/livez")).status == 200
        assert len(connections_of(client)) == 1
    async with asyncio.timeout(LIMIT_SECONDS):
        await leave(client, unfinished_seconds=DRAIN_SECONDS)
    assert not connections_of(client)


async def test_a_request_of_any_route_is_answered_before_it_leaves(
    start: StartSidecar, torchserve: FakeTorchServe
) -> None:
    client = await start(drain_seconds=DRAIN_SECONDS)
    torchserve.workers_status = "LOADING"
    loading = asyncio.create_task(client.post("/models/other/load", headers=bearer("me", "admin")))
    await until(connections_of(client).unanswered)
    leaving = asyncio.create_task(leave(client))
    await let_the_loop_turn()
    assert not loading.done()
    assert not leaving.done()
    torchserve.workers_status = "READY"
    answer = await loading
    assert answer.status == 200
    assert answer.headers["Connection"] == "close"
    await leaving


async def test_a_request_of_any_route_that_takes_too_long_gets_503(
    start: StartSidecar, torchserve: FakeTorchServe
) -> None:
    client = await start(drain_seconds=0.3)
    torchserve.workers_status = "LOADING"
    loading = asyncio.create_task(client.post("/models/other/load", headers=bearer("me", "admin")))
    await until(connections_of(client).unanswered)
    await leave(client)
    answer = await loading
    assert (answer.status, answer.headers["Connection"]) == (503, "close")
    assert (await answer.json())["error"] == "The server is shutting down"


@pytest.mark.parametrize(
    "half",
    [
        b"GET /livez HTTP/1.1\r\nHost: loc",
        b"POST /predict HTTP/1.1\r\nHost: localhost\r\nContent-Length: 20\r\n\r\n{",
        b"POST /nowhere HTTP/1.1\r\nHost: localhost\r\nContent-Length: 20\r\n\r\n{",
    ],
)
async def test_a_request_that_does_not_come_whole_holds_up_no_stop(
    start: StartSidecar, half: bytes
) -> None:
    client = await start(drain_seconds=DRAIN_SECONDS)
    reader, writer = await connect(client.port, half)
    await until(lambda: len(connections_of(client)) == 1)
    await let_the_loop_turn()  # what was sent is read
    async with asyncio.timeout(LIMIT_SECONDS):
        await leave(client, unfinished_seconds=0.3)
    assert (await read_head(reader)).startswith((b"HTTP/1.0 503", b"HTTP/1.1 503", b"HTTP/1.1 404"))
    writer.close()


@pytest.mark.parametrize("path", ["/livez", "/predict"])
async def test_no_request_is_cut_at_the_closing_instant(start: StartSidecar, path: str) -> None:
    """Clients with a new connection for each request, and clients that keep theirs."""
    client = await start(drain_seconds=DRAIN_SECONDS)
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    acceptor = Acceptor(listener, connections_of(client))
    acceptor.start()
    url = f"http://127.0.0.1:{listener.getsockname()[1]}{path}"
    answered: list[int] = []

    async def hammer(*, keep: bool) -> None:
        """Ask until nobody listens any more; any other failure fails the test."""
        async with ClientSession(connector=TCPConnector(force_close=not keep)) as session:
            while True:
                try:
                    async with session.request(
                        "POST" if path == "/predict" else "GET", url, json=BODY
                    ) as answer:
                        answered.append(answer.status)
                        await answer.read()
                except ClientConnectorError:
                    return

    clients = [asyncio.create_task(hammer(keep=number % 2 == 0)) for number in range(16)]
    await until(lambda: len(answered) >= 100)
    nothing = asyncio.Event()
    await drain(services_of(client), connections_of(client), acceptor.stop, nothing)
    async with asyncio.timeout(LIMIT_SECONDS):
        await asyncio.gather(*clients)
    assert set(answered) <= {200, 503}
