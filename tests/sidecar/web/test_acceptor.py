"""Too many connections, no descriptors, and the moment in which listening ends."""

import asyncio
import json
import os
import resource
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import contextmanager

import pytest

from sidecar.web.acceptor import Acceptor, default_max_connections
from sidecar.web.connections import Connections
from tests.sidecar.conftest import StartSidecar
from tests.waiting import LIMIT_SECONDS, until_awaited

LIVEZ = b"GET /livez HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"

Accept = Callable[..., Awaitable[tuple[Acceptor, int]]]


@pytest.fixture
async def accept(start: StartSidecar) -> AsyncIterator[Accept]:
    """Starts a sidecar, and an acceptor in front of it on a port of its own."""
    acceptors: list[Acceptor] = []

    async def accept(max_connections: int | None = None) -> tuple[Acceptor, int]:
        client = await start(poll_seconds=600.0)  # nobody else takes and frees descriptors
        connections = client.server.runner.server  # type: ignore[union-attr]
        assert isinstance(connections, Connections)
        listener = socket.socket()
        listener.bind(("127.0.0.1", 0))
        acceptors.append(Acceptor(listener, connections, max_connections))
        acceptors[-1].start()
        return acceptors[-1], listener.getsockname()[1]

    yield accept
    for each in acceptors:
        await each.stop()


async def ask(port: int) -> bytes:
    """The whole answer."""
    async with asyncio.timeout(LIMIT_SECONDS):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(LIVEZ)
        answer = await reader.read()
        writer.close()
    return answer


def check_refusal(answer: bytes) -> None:
    head, _, body = answer.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 503 ")
    assert b"Retry-After: 1" in head
    assert b"X-Request-ID: " in head
    error = json.loads(body)
    assert (error["success"], error["status_code"]) == (False, 503)
    assert error["error"] == "The server has too many connections"


async def test_connections_beyond_the_limit_get_503(accept: Accept) -> None:
    _, port = await accept(2)
    held = [await asyncio.open_connection("127.0.0.1", port) for _ in range(2)]
    for _ in range(3):
        check_refusal(await ask(port))
    held.pop()[1].close()
    await until_awaited(lambda: ask(port), lambda answer: answer.startswith(b"HTTP/1.1 200"))
    held.pop()[1].close()


async def test_refusals_of_a_crowd_beyond_the_limit_are_answered(accept: Accept) -> None:
    _, port = await accept(1)
    _, writer = await asyncio.open_connection("127.0.0.1", port)
    crowd = [await asyncio.open_connection("127.0.0.1", port) for _ in range(150)]
    async with asyncio.timeout(LIMIT_SECONDS):
        for reader, _ in crowd:
            check_refusal(await reader.read())
    for _, each in [*crowd, (None, writer)]:
        each.close()


@contextmanager
def no_descriptor_left() -> Iterator[None]:
    """In this process; sockets that are open already go on."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    taken = [os.open(os.devnull, os.O_RDONLY)]
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(taken) + 50, hard))
    try:
        while True:
            try:
                taken.append(os.open(os.devnull, os.O_RDONLY))
            except OSError:
                break
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        for each in taken:
            os.close(each)


async def test_clients_get_503_while_descriptors_are_exhausted(
    accept: Accept, caplog: pytest.LogCaptureFixture
) -> None:
    _, port = await accept()
    loop = asyncio.get_running_loop()
    clients = [socket.socket() for _ in range(5)]
    with no_descriptor_left():
        for each in clients:
            each.setblocking(False)
            await loop.sock_connect(each, ("127.0.0.1", port))
        async with asyncio.timeout(LIMIT_SECONDS):
            for each in clients:
                await loop.sock_sendall(each, LIVEZ)
                answer = b""
                while piece := await loop.sock_recv(each, 4096):
                    answer += piece
                check_refusal(answer)
    for each in clients:
        each.close()
    assert caplog.text.count("connections are turned away") == 1
    assert (await ask(port)).startswith(b"HTTP/1.1 200")


async def test_accepted_connections_are_served_after_listening_ends(accept: Accept) -> None:
    acceptor, port = await accept()
    waiting = [socket.create_connection(("127.0.0.1", port)) for _ in range(20)]
    await acceptor.stop()  # the event loop had no turn to accept them in
    for each in waiting:
        reader, writer = await asyncio.open_connection(sock=each)
        writer.write(LIVEZ)
        async with asyncio.timeout(LIMIT_SECONDS):
            assert (await reader.read()).startswith(b"HTTP/1.1 200")
        writer.close()
    with pytest.raises(ConnectionRefusedError):
        await asyncio.open_connection("127.0.0.1", port)


def test_the_default_limit_leaves_descriptors_for_everything_else() -> None:
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    assert 0 < default_max_connections() <= soft * 3 // 4 + 1


async def test_the_backlog_is_what_the_system_allows(accept: Accept) -> None:
    """More clients than the event loop's own 128 can wait while it is busy."""
    _, port = await accept()
    crowd = []
    for _ in range(400):
        each = socket.socket()
        each.settimeout(1.0)
        each.connect(("127.0.0.1", port))  # no turn for the event loop meanwhile
        crowd.append(each)
    assert (await ask(port)).startswith(b"HTTP/1.1 200")
    for each in crowd:
        each.close()
