"""The fast path to custom handlers: what takes it, and that clients see no change."""

import asyncio
import logging
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from sidecar.program import PROGRAM, Program
from sidecar.telemetry.log_lines import CLIENT_LEFT
from sidecar.telemetry.logs import REQUESTS
from tests.fake_torchserve import FakeTorchServe
from tests.sidecar.conftest import CATALOG, Client, StartSidecar
from tests.sidecar.web.test_connection import Raw
from tests.sidecar.web.test_fast_path import ORDINARY, access_lines, head, take_body
from tests.waiting import LIMIT_SECONDS, until

Connect = Callable[[], Awaitable[Raw]]
Responder = Callable[[web.Request, bytes], Awaitable[web.StreamResponse]]


@pytest.fixture
async def own(start: StartSidecar, torchserve: FakeTorchServe, tmp_path: Path) -> Client:
    """A sidecar with the model `Mine`, which has a custom handler."""
    store = tmp_path / "store"
    store.mkdir()
    (store / "Mine.mar").touch()
    torchserve.archives.add("Mine.mar")
    entry = {"handler": "own", "auto_load": True, "inference": {"batch_size": 1, "queue_size": 8}}
    limited = entry | {"archive": "Mine.mar", "limits": {"concurrent_requests": 1}}
    catalog = {"Mine": entry, "Limited": limited, "echo": CATALOG["echo"]}
    return await start(catalog=catalog, model_store=store)


@pytest.fixture
def program(own: Client) -> Program:
    assert own.app is not None
    program: Program = own.app[PROGRAM]
    return program


def request(*lines: bytes, body: bytes = b"x") -> bytes:
    start = b"POST /predictions/Mine HTTP/1.1\r\nHost: localhost\r\nX-Request-ID: mine\r\n"
    return start + b"".join(lines) + b"Content-Length: %d\r\n\r\n%b" % (len(body), body)


def takes(program: Program, *lines: bytes, path: bytes = b"/predictions/Mine") -> bool:
    return take_body(program, head(*lines, path=path), b"x") is not None


async def test_a_plain_request_goes_the_short_way(program: Program) -> None:
    assert takes(program, b"Content-Type: image/png\r\n", b"X-Priority: 10\r\nX-Timeout: 2\r\n")


@pytest.mark.parametrize(("method", "short"), [(b"PUT", True), (b"GET", False), (b"DELETE", False)])
async def test_of_other_methods_put_alone_goes_the_short_way(
    program: Program, method: bytes, short: bool
) -> None:
    message = head(method=method, path=b"/predictions/Mine")
    assert (take_body(program, message, b"x") is not None) == short


async def test_the_log_names_the_method_of_a_short_way(
    own: Client, program: Program, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, REQUESTS)
    await own.put("/predictions/Mine", data=b"x")
    (line,) = access_lines(program, caplog)
    assert (line.method, line.status) == ("PUT", 200)


@pytest.mark.parametrize(
    "path",
    [
        "Mine?size=3",
        "Mine/1.0",
        "%4Dine",
        "echo",
        "Limited",
        "nobody",
        "",
    ],
)
async def test_another_path_or_model_goes_the_ordinary_way(program: Program, path: str) -> None:
    assert not takes(program, path=f"/predictions/{path}".encode())


@pytest.mark.parametrize(
    "line", [b"X-Priority: 11\r\n", b"X-Timeout: 0\r\n", b"X-Timeout: 1e9\r\n"]
)
async def test_an_invalid_header_goes_the_ordinary_way(program: Program, line: bytes) -> None:
    assert not takes(program, line)


def responder(**response: Any) -> Responder:
    async def respond(request: web.Request, body: bytes) -> web.StreamResponse:
        return web.Response(**response)

    return respond


async def untyped(request: web.Request, body: bytes) -> web.StreamResponse:
    """What TorchServe says of a list or an object: nothing."""
    response = web.Response(body=b"[1]")
    await response.prepare(request)
    return response


async def answer(client: Client, *lines: bytes) -> bytes:
    """All that is sent, to a client that closes after it; the date is left out."""
    raw = await (await Raw.connect(client)).send(request(*lines))
    async with asyncio.timeout(LIMIT_SECONDS):
        told = await raw.reader.readuntil(b"\r\n\r\n")
        if b"Content-Length: " in told:
            told += await raw.reader.readexactly(int(told.split(b"Content-Length: ")[1].split()[0]))
        elif b"chunked" in told:
            told += await raw.reader.readuntil(b"0\r\n\r\n")
    await raw.close()
    return b"\r\n".join(each for each in told.split(b"\r\n") if not each.startswith(b"Date: "))


@pytest.mark.parametrize(
    "respond",
    [
        responder(body=b"\x00\xff", content_type="image/png"),
        responder(text="ü", headers={"X-Rows": "2", "Server": "another", "X-Request-ID": "else"}),
        responder(status=418, reason="Teapot", body=b"a,b\n", headers={"Set-Cookie": "a=b"}),
        responder(status=204),
        responder(status=304),
        responder(status=500, text="mine"),
        responder(status=507, body=b'{"code": 507, "type": "InternalServerException"}'),
        untyped,
    ],
)
async def test_both_ways_answer_alike(
    own: Client, torchserve: FakeTorchServe, respond: Responder
) -> None:
    torchserve.respond = respond
    short, ordinary = await answer(own), await answer(own, ORDINARY)
    assert short == ordinary


async def test_both_ways_stream_alike(own: Client, torchserve: FakeTorchServe) -> None:
    async def respond(request: web.Request, body: bytes) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "text/plain"})
        await response.prepare(request)
        await response.write(b"whole")
        await response.write_eof()
        return response

    torchserve.respond = respond
    short, ordinary = await answer(own), await answer(own, ORDINARY)
    assert short == ordinary
    assert short.endswith(b"5\r\nwhole\r\n0\r\n\r\n")


async def test_both_ways_refuse_alike(own: Client, torchserve: FakeTorchServe) -> None:
    torchserve.hold()
    late = b"X-Timeout: 0.05\r\n"
    answers = [await answer(own, late), await answer(own, late, ORDINARY)]
    torchserve.release()
    short, ordinary = [
        re.sub(rb'(Content-Length: |"processing_time":)[0-9.]+', b"", each) for each in answers
    ]
    assert short == ordinary
    assert short.startswith(b"HTTP/1.1 504 ")
    assert b'"type":"RequestTimeoutException"' in short


async def test_both_ways_are_counted_and_logged_alike(
    own: Client,
    torchserve: FakeTorchServe,
    program: Program,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO, REQUESTS)
    for status in (200, 418):
        torchserve.respond = responder(status=status, body=b"x")
        for unusual in ((), (ORDINARY,)):
            await answer(own, *unusual)
    lines = access_lines(program, caplog)
    told = [(line.method, line.path, line.status, line.bytes, line.request_id) for line in lines]
    assert told[0] == told[1] == ("POST", "/predictions/{name}", 200, 1, "mine")
    assert told[2] == told[3]
    metrics = program.metrics.text().decode()
    assert 'sidecar_requests_total{route="/predictions/{name}",status="418"} 2.0' in metrics
    assert 'sidecar_request_seconds_count{route="/predictions/{name}"} 2.0' in metrics
    assert (program.statistics.finished, program.statistics.succeeded) == (4, 2)


async def endless(request: web.Request, body: bytes) -> web.StreamResponse:
    response = web.StreamResponse()
    await response.prepare(request)
    while True:
        await response.write(b"x")
        await asyncio.sleep(0.01)


@pytest.fixture
async def streaming(own: Client, torchserve: FakeTorchServe) -> AsyncIterator[Raw]:
    """A client whose answer has begun, and does not end."""
    torchserve.respond = endless
    raw = await (await Raw.connect(own)).send(request())
    async with asyncio.timeout(LIMIT_SECONDS):
        assert b"chunked" in await raw.reader.readuntil(b"\r\n\r\n")
    yield raw
    await raw.close()


async def test_a_client_that_leaves_its_stream_is_counted_once(
    streaming: Raw, program: Program, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, REQUESTS)
    streaming.transport.abort()
    await until(lambda: not program.statistics.active)
    assert [line.status for line in access_lines(program, caplog)] == [CLIENT_LEFT]


async def test_a_stream_is_cut_short_when_the_server_stops(
    own: Client, streaming: Raw, program: Program
) -> None:
    server: Any = own.server.runner.server  # type: ignore[union-attr]
    server.refuse_unserved()
    assert not (await streaming.closed()).endswith(b"0\r\n\r\n")
    assert not program.statistics.active


# Clients that leave while they wait


@pytest.fixture
def order(torchserve: FakeTorchServe) -> list[bytes]:
    """What reached the handler."""
    order: list[bytes] = []

    async def respond(request: web.Request, body: bytes) -> web.StreamResponse:
        order.append(body)
        return web.Response(body=body)

    torchserve.respond = respond
    return order


@pytest.fixture
async def connect(own: Client) -> AsyncIterator[Connect]:
    """Opens connections, and closes them all."""
    opened: list[Raw] = []

    async def connect() -> Raw:
        opened.append(await Raw.connect(own))
        return opened[-1]

    yield connect
    for each in opened:
        await each.close()


@pytest.fixture
async def crowd(connect: Connect, torchserve: FakeTorchServe) -> list[Raw]:
    """Clients whose requests are at TorchServe, as many as there may be; others wait."""
    torchserve.hold()
    sent = [await (await connect()).send(request(body=b"crowd")) for _ in range(2)]
    await until(lambda: torchserve.busy == 2)
    return sent


async def waiting(connect: Connect, program: Program, body: bytes) -> Raw:
    """A client whose request waits in the queue."""
    queue = program.models["Mine"].dispatcher.queue
    before = len(queue)
    raw = await (await connect()).send(request(body=body))
    await until(lambda: len(queue) == before + 1)
    return raw


async def test_who_leaves_while_waiting_is_never_sent(
    connect: Connect,
    torchserve: FakeTorchServe,
    program: Program,
    crowd: list[Raw],
    order: list[bytes],
) -> None:
    raw = await waiting(connect, program, b"left")
    await raw.close()
    await until(lambda: program.statistics.active == len(crowd))
    torchserve.release()
    assert [(await each.answer()).body for each in crowd] == [b"crowd"] * 2
    assert order == [b"crowd"] * 2


async def test_who_only_stops_sending_keeps_its_place(
    connect: Connect,
    torchserve: FakeTorchServe,
    program: Program,
    crowd: list[Raw],
    order: list[bytes],
) -> None:
    raw, later = [await waiting(connect, program, body) for body in (b"half closed", b"later")]
    raw.writer.write_eof()
    async with asyncio.timeout(LIMIT_SECONDS):
        assert await raw.reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
    await until(lambda: len(program.models["Mine"].dispatcher.queue) == 2)
    torchserve.release()
    assert (await raw.answer()).body == b"half closed"
    assert (await later.answer()).body == b"later"
    assert order == [b"crowd"] * 2 + [b"half closed", b"later"]
