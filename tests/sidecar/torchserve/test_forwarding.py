"""Forwarded requests over kept connections: a new token is tried, and no answer is mistaken."""

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from sidecar.torchserve.failures import EngineGone
from sidecar.torchserve.forwarding import EngineResponse, ForwardedRequest, ForwardingConnections
from sidecar.torchserve.key_file import KeyFile
from tests.waiting import until

REQUEST = ForwardedRequest("/predictions/own", [("Content-Type", "text/plain")], b"x")
WRONG_KEY = b'{"code": 400, "type": "InvalidKeyException", "message": "Authorization failed."}'
SOON = 5.0


class Closed:
    """A server that answers whoever has its token; the end of a body may be held back."""

    def __init__(self) -> None:
        self.token = "first"
        self.connections = 0
        self.requests = 0
        self.cut_off = False
        self.let_go = asyncio.Event()
        self.let_go.set()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\nx")
                self.requests += 1
                good = f"Authorization: Bearer {self.token}\r\n".encode() in head
                status, body = (b"200 OK", b"made") if good else (b"400 Bad Request", WRONG_KEY)
                writer.write(b"HTTP/1.1 %b\r\nContent-Length: %d\r\n\r\n" % (status, len(body)))
                if self.let_go.is_set():
                    writer.write(body)
                    continue
                writer.write(body[:2])
                await self.let_go.wait()
                if self.cut_off:
                    break
                writer.write(body[2:])
        except asyncio.IncompleteReadError:
            pass
        finally:
            writer.close()


class Heard:
    """A listener; `answer` is a future of what it is told."""

    def __init__(self) -> None:
        self.answer: asyncio.Future[EngineResponse] = asyncio.get_running_loop().create_future()

    def answered(self, response: EngineResponse) -> None:
        self.answer.set_result(response)

    async def stream(self, response: EngineResponse) -> None:
        raise AssertionError("nothing was sent in pieces")

    def failed(self, exc: Exception) -> None:
        self.answer.set_exception(exc)


@pytest.fixture
async def closed(tmp_path: Path) -> AsyncIterator[Closed]:
    closed = Closed()
    async with await asyncio.start_unix_server(closed.serve, tmp_path / "torchserve"):
        yield closed


@pytest.fixture
async def connections(tmp_path: Path) -> AsyncIterator[ForwardingConnections]:
    write_token(tmp_path, "first")
    keys = KeyFile(tmp_path / "key_file.json")
    connections = ForwardingConnections(f"unix:{tmp_path}/torchserve", most=1, keys=keys)
    yield connections
    connections.close()


def write_token(folder: Path, token: str) -> None:
    keys = {name: {"key": token} for name in ("management", "inference")}
    (folder / "key_file.json").write_text(json.dumps(keys))


async def forwarded(connections: ForwardingConnections) -> tuple[int, bytes]:
    heard = Heard()
    connections.send(REQUEST, SOON, heard)
    response = await heard.answer
    return response.status, response.body


@pytest.mark.parametrize("late", [False, True])
async def test_after_a_new_token_a_request_is_sent_again(
    closed: Closed, connections: ForwardingConnections, tmp_path: Path, late: bool
) -> None:
    assert await forwarded(connections) == (200, b"made")
    closed.token = "second"
    write_token(tmp_path, "second")
    if late:
        closed.let_go.clear()
    answer = asyncio.create_task(forwarded(connections))
    tasks = asyncio.all_tasks()
    if late:
        await until(lambda: len(asyncio.all_tasks()) > len(tasks))  # one reads what comes late
    closed.let_go.set()
    assert await answer == (200, b"made")
    assert await forwarded(connections) == (200, b"made")  # the only connection is free again
    assert (closed.requests, closed.connections) == (4, 1)


async def test_a_token_that_stays_wrong_is_tried_twice(
    closed: Closed, connections: ForwardingConnections
) -> None:
    closed.token = "second"
    assert await forwarded(connections) == (400, WRONG_KEY)
    assert await forwarded(connections) == (400, WRONG_KEY)
    assert closed.requests == 4


async def test_a_response_that_was_given_up_is_not_taken_for_the_next(
    closed: Closed, connections: ForwardingConnections
) -> None:
    closed.let_go.clear()
    given_up = Heard()
    call = connections.send(REQUEST, SOON, given_up)
    await until(lambda: closed.requests == 1)
    call.cancel()
    closed.let_go.set()
    assert await forwarded(connections) == (200, b"made")
    assert not given_up.answer.done()
    assert closed.connections == 2


async def test_a_response_that_is_cut_short_fails_and_harms_no_other(
    closed: Closed, connections: ForwardingConnections
) -> None:
    closed.cut_off = True
    closed.let_go.clear()
    heard = Heard()
    connections.send(REQUEST, SOON, heard)
    await until(lambda: closed.requests == 1)
    closed.let_go.set()
    with pytest.raises(EngineGone) as gone:
        await heard.answer
    assert gone.value.reached
    assert await forwarded(connections) == (200, b"made")
