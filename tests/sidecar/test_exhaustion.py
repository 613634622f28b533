"""A server without descriptors, memory or disk refuses, and recovers when there are some.

A sidecar in a process of its own, in front of the fake TorchServe: its limit is lowered while it
runs, over a connection that is open already.
"""

import asyncio
import errno
import json
import resource
import signal
import threading
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import jwt
import pytest

from sidecar.errors import Exhausted, exhaustion
from sidecar.program import PROGRAM
from tests.fake_torchserve import FakeTorchServe
from tests.integration.server import Server
from tests.sidecar.conftest import CATALOG, SECRET, Client
from tests.waiting import until_awaited

ADMIN = {
    "Authorization": "Bearer "
    + jwt.encode({"sub": "ops", "scope": "admin", "exp": int(time.time()) + 7200}, SECRET, "HS256")
}
PREDICTION = {"model_name": "echo", "inputs": [1, 2, 3]}


@pytest.mark.parametrize(
    "exc",
    [
        OSError(errno.EMFILE, "Too many open files"),
        OSError(errno.ENFILE, "Too many open files in system"),
        OSError(errno.ENOMEM, "Cannot allocate memory"),
        OSError(errno.ENOSPC, "No space left on device"),
        MemoryError(),
    ],
    ids=repr,
)
def test_an_exhausted_machine_is_503_with_retry_after(exc: Exception) -> None:
    refusal = exhaustion(exc)
    assert isinstance(refusal, Exhausted)
    assert (refusal.status, refusal.headers["Retry-After"]) == (503, "5")


def test_a_machine_that_starts_no_more_threads_is_503() -> None:
    before = threading.stack_size(1 << 47)  # more than there are addresses
    try:
        with pytest.raises(RuntimeError) as raised:
            threading.Thread(target=int).start()
    finally:
        threading.stack_size(before)
    assert isinstance(exhaustion(raised.value), Exhausted)


@pytest.mark.parametrize("exc", [OSError("no number"), FileNotFoundError(2, "x"), KeyError(24)])
def test_any_other_error_is_not_taken_for_exhaustion(exc: Exception) -> None:
    assert exhaustion(exc) is None


async def test_a_full_disk_in_a_handler_is_503_with_the_cause(
    client: Client,
) -> None:
    assert client.app is not None
    services = client.app[PROGRAM]

    async def fail(*_: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    services.engine_answers.get = fail
    response = await client.get("/health")
    assert (response.status, response.headers.get("Retry-After")) == (503, "5")
    assert (await response.json())["detail"] == "there is no room left on the disk"


@pytest.fixture
async def server(tmp_path: Path, torchserve: FakeTorchServe) -> AsyncIterator[Server]:
    models = tmp_path / "models.json"
    models.write_text(json.dumps({"models": CATALOG}))
    server = Server(
        tmp_path,
        torchserve="external",
        models_file=str(models),
        jwt_secret=SECRET,
        torchserve_key_file=str(torchserve.key_file),
        poll_seconds="0.05",
        **{f"{api}_url": torchserve.url for api in ("inference", "management", "metrics")},
    )
    server.start()
    process = server.process
    assert process is not None
    yield server
    process.send_signal(signal.SIGTERM)
    assert await asyncio.to_thread(process.wait, 60) == 0


async def becomes(session: aiohttp.ClientSession, status: int) -> None:
    """Wait until /readyz answers with *status*."""

    async def has_status() -> bool:
        try:
            async with session.get("/readyz") as response:
                await response.read()
                return response.status == status
        except aiohttp.ClientConnectionError:  # it does not listen yet
            return False

    await until_awaited(has_status)


async def test_a_server_without_descriptors_refuses_and_recovers_by_itself(server: Server) -> None:
    assert server.process is not None
    pid = server.process.pid
    one_connection = aiohttp.TCPConnector(limit=1)
    async with aiohttp.ClientSession(server.url, connector=one_connection) as session:
        await becomes(session, 200)
        limits = resource.prlimit(pid, resource.RLIMIT_NOFILE)
        resource.prlimit(pid, resource.RLIMIT_NOFILE, (3, limits[1]))  # what is open stays so
        async with session.get("/logs/server.log", headers=ADMIN) as response:
            refusal = await response.json()
            assert (response.status, response.headers["Retry-After"]) == (503, "5"), refusal
        assert refusal["detail"] == "the server has too many files and connections open"
        await becomes(session, 503)  # the figures of the machine cannot be read
        async with session.get("/health") as response:
            assert (await response.json())["checks"]["inference_engine"] is True
        resource.prlimit(pid, resource.RLIMIT_NOFILE, limits)
        await becomes(session, 200)
        async with session.post("/predict", json=PREDICTION) as response:
            assert response.status == 200
        async with session.get("/metrics") as response:
            assert 'sidecar_background_failures_total{task="system"}' in await response.text()
