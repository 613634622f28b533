"""Jobs over kept connections: each gets its own answer, or is told why there is none."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from sidecar.torchserve.failures import EngineGone, EngineRefused
from sidecar.torchserve.job_connections import JobConnections
from sidecar.torchserve.key_file import KeyFile
from tests.heard import Heard
from tests.waiting import LIMIT_SECONDS


@pytest.mark.parametrize("pieces", [1, 2, 60])
async def test_an_answer_may_come_in_many_pieces(tmp_path: Path, pieces: int) -> None:
    body = bytes(range(256)) * 2048

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for _ in range(2):
            await reader.readuntil(b"\r\n\r\njob")
            writer.write(f"HTTP/1.1 200 OK\r\nContent-Length: {len(body)}\r\n\r\n".encode())
            for start in range(0, len(body), len(body) // pieces):
                writer.write(body[start : start + len(body) // pieces])
                await writer.drain()
        writer.close()

    path = tmp_path / "torchserve"
    async with await asyncio.start_unix_server(answer, path) as server:
        connections = JobConnections(f"unix:{path}", most=1, keys=KeyFile(None))
        for _ in range(2):
            heard = Heard()
            connections.send("model", b"job", 5, heard)
            assert await heard.answer == body
        connections.close()
        server.close()


TORCHSERVES = (
    b"HTTP/1.1 200 \r\ncontent-type: application/octet-stream\r\nx-request-id: 7\r\n"
    b"Expires: Thu, 01 Jan 1970 00:00:00 UTC\r\ncontent-length: %d\r\n"
    b"connection: keep-alive\r\n\r\n"
)


class Echo:
    """A server that answers each job with its own bytes, save those that say otherwise."""

    def __init__(self) -> None:
        self.connections = 0
        self.head = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n"

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            while not reader.at_eof():
                head = await reader.readuntil(b"\r\n\r\n")
                job = await reader.readexactly(int(head.split(b"Content-Length: ")[1]))
                if job == b"never":
                    continue
                length = 100 if job == b"cut short" else len(job)
                writer.write(self.head % length + job)
                if job == b"cut short":
                    break
        except asyncio.IncompleteReadError:
            pass
        finally:
            writer.close()


@pytest.fixture
async def echo(tmp_path: Path) -> AsyncIterator[Echo]:
    echo = Echo()
    async with await asyncio.start_unix_server(echo.serve, tmp_path / "torchserve"):
        yield echo


@pytest.fixture
async def connections(tmp_path: Path) -> AsyncIterator[JobConnections]:
    connections = JobConnections(f"unix:{tmp_path}/torchserve", most=1, keys=KeyFile(None))
    yield connections
    connections.close()


def send(connections: JobConnections, job: bytes, seconds: float = 5) -> Heard:
    heard = Heard()
    heard.call = connections.send("model", job, seconds, heard)
    return heard


async def test_a_job_is_sent_and_answered_without_a_task(
    echo: Echo, connections: JobConnections
) -> None:
    assert await send(connections, b"1").answer == b"1"
    tasks = asyncio.all_tasks()
    heard = send(connections, b"2")
    assert asyncio.all_tasks() == tasks
    assert await heard.answer == b"2"
    assert echo.connections == 1


@pytest.mark.parametrize(
    "head",
    [
        TORCHSERVES,
        TORCHSERVES.replace(b"keep-alive", b"close"),
        TORCHSERVES.replace(b"Expires", b"Connection"),
    ],
)
async def test_an_answer_is_the_same_however_its_head_is_written(
    echo: Echo, connections: JobConnections, head: bytes
) -> None:
    echo.head = head
    for job in (b"1", b"", bytes(300_000), b"HTTP/1.1 200 OK\r\n\r\n"):
        assert await send(connections, job).answer == job


async def test_a_refusal_with_torchserves_own_head_is_no_answer(
    echo: Echo, connections: JobConnections
) -> None:
    echo.head = TORCHSERVES.replace(b"200", b"507")
    with pytest.raises(EngineRefused) as refused:
        await send(connections, b'{"type": "OutOfMemory"}').answer
    assert (refused.value.status, refused.value.kind) == (507, "OutOfMemory")


@pytest.mark.parametrize("job", [b"never", b"cut short"])
async def test_torchserves_own_head_hides_no_failure(
    echo: Echo, connections: JobConnections, job: bytes
) -> None:
    echo.head = TORCHSERVES
    assert await send(connections, b"1").answer == b"1"
    with pytest.raises(EngineGone):
        await send(connections, job, seconds=0.05).answer
    assert await send(connections, b"next").answer == b"next"


@pytest.mark.usefixtures("echo")
async def test_an_answer_that_was_given_up_is_not_taken_for_the_next(
    connections: JobConnections,
) -> None:
    assert await send(connections, b"0").answer == b"0"
    for job in (b"1", b"2", b"3"):
        given_up, next_one = send(connections, job), send(connections, b"next")
        given_up.call.cancel()
        assert await next_one.answer == b"next"
        assert not given_up.answer.done()


@pytest.mark.parametrize(
    ("job", "seconds", "error"),
    [(b"never", 0.05, "TimeoutError"), (b"cut short", LIMIT_SECONDS, "ConnectionError")],
)
async def test_a_job_without_an_answer_fails_and_harms_no_other(
    echo: Echo, connections: JobConnections, job: bytes, seconds: float, error: str
) -> None:
    with pytest.raises(EngineGone, match=f"POST /predictions/model: {error}") as gone:
        await send(connections, job, seconds=seconds).answer
    assert gone.value.reached
    assert await send(connections, b"next").answer == b"next"
    assert echo.connections == 2


@pytest.mark.usefixtures("echo")
async def test_waiting_for_a_connection_is_limited_like_waiting_for_an_answer(
    connections: JobConnections,
) -> None:
    held = send(connections, b"never")
    with pytest.raises(EngineGone) as gone:
        await send(connections, b"late", seconds=0.02).answer
    assert not gone.value.reached
    send(connections, b"left").call.cancel()
    waits = send(connections, b"waits")
    held.call.cancel()
    assert await waits.answer == b"waits"


async def test_a_server_that_is_away_was_not_reached(connections: JobConnections) -> None:
    for _ in range(2):
        with pytest.raises(EngineGone) as gone:
            await send(connections, b"1").answer
        assert not gone.value.reached
