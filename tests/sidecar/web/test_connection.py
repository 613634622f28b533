"""What a client can do slowly or wrongly on its connection, and the answers that it gets."""

import asyncio
import json
import logging
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from typing import Any, NamedTuple, cast

import pytest

from sidecar.program import PROGRAM
from sidecar.web.connections import Connections
from tests.fake_torchserve import FakeTorchServe
from tests.sidecar.conftest import CLIENT_TIMES, Client, StartSidecar
from tests.waiting import LIMIT_SECONDS, let_the_loop_turn, until

# Above the second that one check counts at most: however late the checks are, one that comes just
# before what a client sends does not end its time.
QUICK = dict.fromkeys(CLIENT_TIMES, 1.1)
BODY = b'{"model_name": "echo", "inputs": [1, 2, 3]}'
PREDICT = b"POST /predict HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
WHOLE = PREDICT + b"Content-Length: %d\r\n\r\n" % len(BODY) + BODY
CHUNKED = PREDICT + b"Transfer-Encoding: chunked\r\n\r\n"
LIVEZ = b"GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n"


class Answer(NamedTuple):
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def error(self) -> dict[str, Any]:
        """The body, after checking that it is the one format with the headers of every answer."""
        error: dict[str, Any] = json.loads(self.body)
        assert error["success"] is False
        assert error["status_code"] == self.status
        assert error["error"]
        assert error["detail"]
        assert self.headers["content-type"].startswith("application/json")
        assert self.headers["x-request-id"]
        assert self.headers["server"] == "sidecar"
        return error


class Raw:
    """A client that sends what bytes it likes."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer
        self.transport = cast("asyncio.Transport", writer.transport)

    @classmethod
    async def connect(cls, client: Client) -> "Raw":
        return cls(*await asyncio.open_connection(client.host, client.port))

    async def send(self, *pieces: bytes) -> "Raw":
        for piece in pieces:
            self.writer.write(piece)
            await self.writer.drain()
        return self

    async def answer(self) -> Answer:
        async with asyncio.timeout(LIMIT_SECONDS):
            head = await self.reader.readuntil(b"\r\n\r\n")
            first, *lines = head.decode().rstrip().split("\r\n")
            headers = {
                name.lower(): value for name, value in (line.split(": ", 1) for line in lines)
            }
            body = await self.reader.readexactly(int(headers["content-length"]))
        return Answer(int(first.split()[1]), headers, body)

    async def closed(self) -> bytes:
        """What still comes before the server closes the connection."""
        async with asyncio.timeout(LIMIT_SECONDS):
            return await self.reader.read()

    async def close(self) -> None:
        self.writer.close()


Connect = Callable[..., Any]


@pytest.fixture
async def connect(start: StartSidecar) -> AsyncIterator[Connect]:
    """Starts a sidecar with these settings, and opens a connection to it."""
    opened: list[Raw] = []
    started: list[Client] = []

    async def connect(**settings: Any) -> Raw:
        if not started:
            started.append(await start(**settings))
        opened.append(await Raw.connect(started[0]))
        return opened[-1]

    yield connect
    for each in opened:
        await each.close()


async def test_a_head_that_does_not_come_whole_is_408(connect: Connect) -> None:
    raw = await connect(**QUICK | {"keep_alive_seconds": 600.0})
    answer = await (await raw.send(b"GET /livez HTTP/1.1\r\nHos")).answer()
    assert answer.status == 408
    assert answer.error["detail"].startswith("headers: ")
    assert await raw.closed() == b""


async def test_a_head_that_drips_is_408_however_often_a_byte_comes(connect: Connect) -> None:
    raw = await connect(**QUICK | {"keep_alive_seconds": 600.0})

    async def drip() -> None:
        await raw.send(b"GET /livez HTTP/1.1\r\nX: ")
        while True:
            await raw.send(b"x")
            await asyncio.sleep(0.05)

    dripping = asyncio.create_task(drip())
    assert (await raw.answer()).status == 408
    dripping.cancel()


async def test_a_second_head_that_does_not_come_whole_is_408_too(connect: Connect) -> None:
    raw = await connect(**QUICK | {"keep_alive_seconds": 600.0})
    assert (await (await raw.send(LIVEZ)).answer()).status == 200
    assert (await (await raw.send(LIVEZ[:10])).answer()).status == 408


@pytest.mark.parametrize("asked", [False, True])
async def test_a_connection_that_asks_nothing_is_closed(connect: Connect, asked: bool) -> None:
    raw = await connect(**QUICK)
    if asked:
        assert (await (await raw.send(LIVEZ)).answer()).status == 200
    assert await raw.closed() == b""


@pytest.mark.parametrize("path", [b"/predict", b"/transcribe", b"/models/echo/unload"])
async def test_a_body_that_stops_coming_is_408(connect: Connect, path: bytes) -> None:
    raw = await connect(**QUICK)
    await raw.send(WHOLE.replace(b"/predict", path)[:-5])
    answer = await raw.answer()
    if path == b"/predict":
        assert answer.status == 408
        assert answer.error["detail"].startswith("body: ")
    else:
        assert answer.error  # these may refuse before they read
    assert await raw.closed() == b""


async def test_a_body_below_the_lowest_rate_is_408(connect: Connect) -> None:
    raw = await connect(**QUICK, min_body_bytes_per_second=1000.0)
    await raw.send(PREDICT, b"Content-Length: 1000000\r\n\r\n")

    async def drip() -> None:
        while True:
            await raw.send(b" ")
            await asyncio.sleep(0.05)

    dripping = asyncio.create_task(drip())
    answer = await raw.answer()
    dripping.cancel()
    assert answer.status == 408
    assert "1000 bytes per second" in answer.error["detail"]


async def test_a_slow_body_above_the_lowest_rate_is_taken(connect: Connect) -> None:
    raw = await connect(body_idle_timeout_seconds=2.0, min_body_bytes_per_second=1.0)
    await raw.send(WHOLE[: -len(BODY)])
    for each in BODY:  # longer, in all, than it may be idle
        await raw.send(bytes([each]))
        await asyncio.sleep(0.05)
    assert (await raw.answer()).status == 200


async def test_a_client_that_does_not_read_is_cut(
    start: StartSidecar, caplog: pytest.LogCaptureFixture
) -> None:
    client = await start(**QUICK | {"keep_alive_seconds": 600.0})
    connections = client.server.runner.server  # type: ignore[union-attr]
    assert isinstance(connections, Connections)
    raw = await Raw.connect(client)
    raw.transport.pause_reading()
    inputs = json.dumps({"model_name": "echo", "inputs": ["x" * 300_000] * 60}).encode()
    await raw.send(PREDICT, b"Content-Length: %d\r\n\r\n" % len(inputs), inputs)
    await until(lambda: not len(connections))
    assert "Traceback" not in caplog.text
    raw.transport.resume_reading()
    with pytest.raises((ConnectionError, asyncio.IncompleteReadError)):
        await raw.answer()
    await raw.close()


async def test_a_client_that_reads_late_gets_its_refusal(
    connect: Connect,
) -> None:
    """Were the connection closed at once, its reset would cost the client the answer."""
    raw = await connect()
    raw.transport.pause_reading()
    await raw.send(b"GET / HTTP/1.1\r\nX: ", *[b"x" * 100_000] * 80)
    raw.transport.resume_reading()
    assert (await raw.answer()).status == 400


@pytest.mark.parametrize("whole", [WHOLE, CHUNKED + b"%x\r\n%b\r\n0\r\n\r\n" % (len(BODY), BODY)])
async def test_a_client_that_closed_its_sending_side_gets_its_answer(
    connect: Connect, torchserve: FakeTorchServe, whole: bytes
) -> None:
    raw = await connect()
    torchserve.hold()
    await raw.send(whole)
    raw.writer.write_eof()
    async with asyncio.timeout(LIMIT_SECONDS):
        assert await raw.reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
    torchserve.release()
    answer = await raw.answer()
    assert answer.status == 200
    assert answer.headers["connection"] == "close"
    assert await raw.closed() == b""


def ask_and_close_sending(host: str, port: int) -> bytes:
    """Close the sending side as soon as the answer is there; return what follows it."""
    with socket.create_connection((host, port), timeout=LIMIT_SECONDS) as raw:
        raw.sendall(LIVEZ)
        answer = b""
        while not answer.endswith(b"}"):
            answer += raw.recv(65_536)
        raw.shutdown(socket.SHUT_WR)
        return raw.recv(65_536)


async def test_a_client_that_closes_after_its_answer_is_released(start: StartSidecar) -> None:
    client = await start(keep_alive_seconds=600.0)
    assert client.port is not None
    for _ in range(25):  # the server may be anywhere between its answer and the next request
        ends = [
            asyncio.to_thread(ask_and_close_sending, client.host, client.port) for _ in range(4)
        ]
        assert await asyncio.gather(*ends) == [b""] * 4


async def test_pipelined_requests_are_answered_after_a_half_close(
    connect: Connect,
) -> None:
    raw = await connect()
    await raw.send(LIVEZ * 3)
    raw.writer.write_eof()
    assert [(await raw.answer()).status for _ in range(3)] == [200, 200, 200]
    assert await raw.closed() == b""


async def test_a_closed_connection_is_noticed_and_its_request_dropped(
    start: StartSidecar, torchserve: FakeTorchServe
) -> None:
    client = await start()
    assert client.app is not None
    active = client.app[PROGRAM].statistics
    torchserve.hold()
    raw = await (await Raw.connect(client)).send(WHOLE)
    await until(lambda: active.active)
    await raw.close()
    await until(lambda: not active.active)
    torchserve.release()


async def test_a_body_cut_by_the_end_of_sending_is_400(connect: Connect) -> None:
    raw = await (await connect()).send(WHOLE[:-5])
    raw.writer.write_eof()
    answer = await raw.answer()
    assert answer.status == 400
    assert "ended before" in answer.error["detail"]
    assert await raw.closed() == b""


@pytest.mark.parametrize(
    "sent",
    {
        "no method": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n",
        "unknown method": b"BREW / HTTP/1.1\r\nHost: localhost\r\n\r\n",
        "version": b"GET / HTTP/9.9\r\nHost: localhost\r\n\r\n",
        "two lengths": PREDICT + b"Content-Length: 1\r\nContent-Length: 2\r\n\r\nxx",
        "length and chunks": PREDICT
        + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "length": PREDICT + b"Content-Length: -1\r\n\r\n",
        "long header": b"GET / HTTP/1.1\r\nHost: localhost\r\nX: " + b"x" * 9000 + b"\r\n\r\n",
        "very long header": b"GET / HTTP/1.1\r\nX: " + b"x" * 2_000_000 + b"\r\n\r\n",
        "long line": b"GET /" + b"x" * 9000 + b" HTTP/1.1\r\nHost: localhost\r\n\r\n",
        "many headers": b"GET / HTTP/1.1\r\n" + b"X: x\r\n" * 1000 + b"\r\n",
        "header": b"GET / HTTP/1.1\r\nHost: localhost\r\nno colon\r\n\r\n",
        "zero": b"GET / HTTP/1.1\r\nHost: localhost\r\nX: a\x00b\r\n\r\n",
        "target": b"GET http://[ HTTP/1.1\r\nHost: localhost\r\n\r\n",
        "first chunk": CHUNKED + b"zz\r\n",
    }.items(),
    ids=lambda case: case[0],
)
async def test_bytes_that_are_not_http_get_400_in_the_usual_format(
    connect: Connect, caplog: pytest.LogCaptureFixture, sent: tuple[str, bytes]
) -> None:
    raw = await connect()
    with suppress(ConnectionError):  # refused before all was sent; the answer is there all the same
        await raw.send(sent[1])
    answer = await raw.answer()
    assert answer.status == 400
    assert "\n" not in answer.error["detail"]
    assert "Traceback" not in caplog.text
    assert await raw.closed() == b""


@pytest.mark.parametrize(
    "damage", [b"zz\r\n", b"5\r\nxxxxxxxx\r\n", b"5\r\n\xff\xff\xff\xff\xffno line break"]
)
@pytest.mark.parametrize("path", [b"/predict", b"/nowhere"])
async def test_a_bad_chunk_in_the_midst_of_a_body_is_one_answer(
    connect: Connect, caplog: pytest.LogCaptureFixture, damage: bytes, path: bytes
) -> None:
    raw = await connect()
    await raw.send(CHUNKED.replace(b"/predict", path) + b"5\r\n{    \r\n")
    await let_the_loop_turn()  # by now somebody reads the body
    await raw.send(damage)
    answer = await raw.answer()
    assert answer.status == (400 if path == b"/predict" else 404)
    assert answer.error
    assert await raw.closed() == b""
    assert "Traceback" not in caplog.text


async def test_the_request_before_a_malformed_one_is_answered(
    connect: Connect, torchserve: FakeTorchServe
) -> None:
    raw = await connect()
    torchserve.hold()
    await raw.send(WHOLE)
    await until(lambda: torchserve.jobs)
    await raw.send(b"nonsense\r\n\r\n")
    torchserve.release()
    assert (await raw.answer()).status == 200
    assert (await raw.answer()).error["status_code"] == 400
    assert await raw.closed() == b""


@pytest.mark.parametrize("path", [b"/predict", b"/nowhere"])
@pytest.mark.parametrize("expected", [b"a miracle", b"\xff\xfe", b"\xed\xa0\x80"])
async def test_an_unknown_expectation_is_417(
    connect: Connect, path: bytes, expected: bytes
) -> None:
    head = PREDICT.replace(b"/predict", path) + b"Expect: %s\r\n" % expected
    head += b"Content-Length: 2\r\n\r\n"
    answer = await (await (await connect()).send(head)).answer()
    assert answer.status == 417
    assert answer.error["detail"].startswith("Expect: ")
    assert answer.headers["connection"] == "close"  # or the body would be the next request


async def test_every_answer_hides_versions(connect: Connect) -> None:
    raw = await connect()
    for sent in (LIVEZ, WHOLE, LIVEZ.replace(b"/livez", b"/nowhere")):
        assert (await (await raw.send(sent)).answer()).headers["server"] == "sidecar"


async def test_a_malformed_request_is_logged(
    connect: Connect, caplog: pytest.LogCaptureFixture
) -> None:
    raw = await connect()
    with caplog.at_level(logging.INFO):
        await (await raw.send(b"nonsense\r\n\r\n")).answer()
        await until(lambda: "UNKNOWN unknown 400" in caplog.text)  # lines are gathered for a moment


async def test_hundreds_of_half_sent_requests_are_gone_in_time(connect: Connect) -> None:
    settings = QUICK | {"keep_alive_seconds": 600.0}
    halves = [
        await (await connect(**settings)).send(LIVEZ[:20] if number % 2 else WHOLE[:-5])
        for number in range(400)
    ]
    answers = await asyncio.gather(*(each.answer() for each in halves))
    for each in halves:
        await each.close()
    assert {answer.status for answer in answers} == {408}
