"""The fast path of plain requests: what takes it, and that clients see no difference."""

import asyncio
import json
import logging
import time
from typing import Any, cast
from unittest.mock import Mock

import pytest
from aiohttp.http_parser import HttpRequestParser, RawRequestMessage

from sidecar.program import PROGRAM, Program
from sidecar.telemetry.log_lines import CLIENT_LEFT, AccessLine, AccessLines
from sidecar.telemetry.logs import REQUESTS
from sidecar.telemetry.statistics import Statistics
from sidecar.web import turns
from sidecar.web.body_reader import UNCOUNTED_BYTES
from sidecar.web.fast_path import FastCall
from tests.fake_torchserve import FakeTorchServe, Refuse
from tests.sidecar.conftest import Client, StartSidecar
from tests.sidecar.web.test_connection import LIVEZ, Answer, Raw
from tests.sidecar.web.test_refusals_by_limits import bearer
from tests.waiting import LIMIT_SECONDS, until

ECHO = {"model_name": "echo", "inputs": [1, 2, 3]}
ORDINARY = b"Content-Encoding: identity\r\n"  # means nothing, and is not plain


class Answers:
    """A connection that keeps what is sent."""

    ends = False
    remote = "192.0.2.1"

    def __init__(self) -> None:
        self.sent: list[bytes] = []

    def end_call(self, answer: bytes) -> None:
        self.sent.append(answer)

    async def send_piece(self, piece: bytes) -> None:
        self.sent.append(piece)

    def cut(self) -> None:
        self.sent.append(b"cut")


def head(*lines: bytes, method: bytes = b"POST", path: bytes = b"/predict") -> RawRequestMessage:
    """What aiohttp's parser makes of a head."""
    loop = asyncio.get_running_loop()
    parser = HttpRequestParser(Mock(), loop, 2**16)
    start = b"%b %b HTTP/1.1\r\nHost: localhost\r\n" % (method, path)
    messages, _, _ = parser.feed_data(start + b"".join(lines) + b"Content-Length: 0\r\n\r\n")
    message: RawRequestMessage = messages[0][0]
    return message


def take(
    program: Program, message: RawRequestMessage, connection: Answers | None = None, **fields: Any
) -> bool:
    body = json.dumps(ECHO | fields).encode()
    call = take_body(program, message, body, connection)
    if call is not None:
        call.begin()
    return call is not None


def take_body(
    program: Program, message: RawRequestMessage, body: bytes, connection: Answers | None = None
) -> FastCall | None:
    head = program.fast_path.read(message)
    return head and program.fast_path.take(connection or Answers(), head, body)


@pytest.fixture
def program(client: Client) -> Program:
    assert client.app is not None
    program: Program = client.app[PROGRAM]
    return program


async def test_a_plain_request_goes_the_short_way(program: Program) -> None:
    connection = Answers()
    assert take(program, head(), connection)
    await until(lambda: connection.sent)
    (answer,) = connection.sent
    assert answer.startswith(b"HTTP/1.1 200 OK\r\n")
    assert b'"result":[1,2,3]' in answer


async def test_an_answer_leaves_before_it_is_counted(program: Program) -> None:
    """What is counted would delay a client that is alone."""
    counted: list[int] = []

    class Watched(Answers):
        def end_call(self, answer: bytes) -> None:
            counted.append(program.fast_path.statistics.finished)
            super().end_call(answer)

    connection = Watched()
    assert take(program, head(), connection)
    await until(lambda: program.fast_path.statistics.finished)
    assert counted == [0]
    assert connection.sent


@pytest.mark.parametrize(
    "line",
    [
        b"Connection: close\r\n",
        b"Content-Encoding: gzip\r\n",
        b"Expect: 100-continue\r\n",
        b"Origin: http://elsewhere\r\n",
        b"Authorization: Bearer nonsense\r\n",
        b"Authorization: Basic eDp5\r\n",
        b"X-API-Key: unknown\r\n",
    ],
)
async def test_an_unusual_head_goes_the_ordinary_way(program: Program, line: bytes) -> None:
    assert not take(program, head(line))
    assert nothing_has_begun(program)


@pytest.mark.parametrize(
    "message",
    [{"method": b"PUT"}, {"path": b"/predict?x=1"}, {"path": b"/predictions/echo"}],
    ids=str,
)
async def test_another_route_goes_the_ordinary_way(
    program: Program, message: dict[str, bytes]
) -> None:
    assert not take(program, head(**message))
    assert nothing_has_begun(program)


@pytest.mark.parametrize(
    "fields",
    [
        {"token": "nonsense"},
        {"inputs": [[1], [2]]},
        {"inputs": []},
        {"inputs": None},
        {"inputs": "x" * UNCOUNTED_BYTES},
        {"version": "1.0"},
        {"timeout": 301},
        {"timeout": 0},
        {"priority": 11},
        {"unknown": 1},
        {"model_name": "nobody"},
        {"model_name": "missing"},
        {"model_name": "disabled"},
        {"model_name": "other"},
    ],
    ids=lambda fields: str(fields)[:40],
)
async def test_an_unusual_body_goes_the_ordinary_way(
    program: Program, fields: dict[str, Any]
) -> None:
    assert not take(program, head(), **fields)
    assert nothing_has_begun(program)


@pytest.mark.parametrize(
    "settings",
    [
        {"require_authentication": True},
        {"rate_limit_requests_per_second": 1000.0},
        {"rate_limit_concurrent_requests": 10},
        {"throttle_queue_depth": 10},
        {"max_body_mb": 1e-5},
    ],
    ids=str,
)
async def test_the_fast_path_leaves_limited_requests_to_the_ordinary_one(
    start: StartSidecar, settings: dict[str, Any]
) -> None:
    client = await start(**settings)
    assert client.app is not None
    assert not take(client.app[PROGRAM], head())
    assert nothing_has_begun(client.app[PROGRAM])


async def test_the_fast_path_takes_nothing_while_draining(program: Program) -> None:
    program.draining.set()
    assert not take(program, head())


async def test_a_full_queue_is_503(program: Program, torchserve: FakeTorchServe) -> None:
    torchserve.hold()
    last = Answers()
    async with asyncio.timeout(LIMIT_SECONDS):
        while not last.sent:
            last = Answers()
            take(program, head(), last)
            await asyncio.sleep(0)
    assert len(program.models["echo"].dispatcher.queue) == 64
    assert last.sent[0].startswith(b"HTTP/1.1 503 Service Unavailable\r\n")
    assert b"Retry-After: " in last.sent[0]
    torchserve.release()


async def test_a_crowd_waits_for_its_turns_and_for_others(
    program: Program, torchserve: FakeTorchServe, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(turns, "TURN_SECONDS", 0.0)
    torchserve.hold()
    crowd, other = [Answers() for _ in range(40)], Answers()
    other.remote = "192.0.2.2"
    program.turns.take()
    for connection in crowd:
        take(program, head(), connection)
    take(program, head(), other)
    assert (program.statistics.active, program.models.queued) == (41, 0)
    torchserve.release()
    async with asyncio.timeout(LIMIT_SECONDS):
        while not other.sent:
            await asyncio.sleep(0)
        assert not crowd[-1].sent
    await until(lambda: crowd[-1].sent)
    assert all(connection.sent for connection in crowd)


async def test_a_client_that_leaves_while_waiting_for_a_turn_is_not_queued(
    program: Program, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(turns, "TURN_SECONDS", 0.0)
    program.turns.take()
    call = take_body(program, head(), json.dumps(ECHO).encode())
    assert call is not None
    call.begin()
    call.leave()
    for _ in range(10):
        await asyncio.sleep(0)
        assert nothing_has_begun(program)


async def test_a_credential_is_known_after_it_was_checked(client: Client, program: Program) -> None:
    authorization = bearer("ada")["Authorization"]
    line = f"Authorization: {authorization}\r\n".encode()
    assert not take(program, head(line))
    assert (await client.post("/predict", json=ECHO, headers=bearer("ada"))).status == 200
    assert take(program, head(line))


def nothing_has_begun(program: Program) -> bool:
    return program.statistics.active == 0 and program.models.queued == 0


# What clients see


async def ask(client: Client, *lines: bytes, **fields: Any) -> Answer:
    body = json.dumps(ECHO | fields).encode()
    raw = await Raw.connect(client)
    answer = await (await raw.send(request(body, *lines))).answer()
    await raw.close()
    return answer


def request(body: bytes, *lines: bytes) -> bytes:
    head = b"POST /predict HTTP/1.1\r\nHost: localhost\r\nX-Request-ID: mine\r\n" + b"".join(lines)
    return head + b"Content-Length: %d\r\n\r\n%b" % (len(body), body)


def access_lines(program: Program, caplog: pytest.LogCaptureFixture) -> list[AccessLine]:
    program.access_log.flush()
    records = [record for record in caplog.records if record.name == REQUESTS]
    return [line for record in records for line in cast("AccessLines", record.msg)]


def fail(value: Any) -> Any:
    if value == "refuse":
        raise Refuse(400, "must be another", "inputs")
    if value == "memory":
        raise Refuse(503, "out of memory")
    if value == "fault":
        raise Refuse(500, "a secret")
    return value


@pytest.mark.parametrize(
    "fields",
    [{}, {"enable_batching": False, "priority": 10}, {"model_name": "tests/Echo"}]
    + [{"inputs": value} for value in ("refuse", "memory", "fault")],
    ids=str,
)
async def test_the_fast_path_and_the_ordinary_one_answer_alike(
    client: Client, torchserve: FakeTorchServe, fields: dict[str, Any]
) -> None:
    torchserve.answer = fail
    short, ordinary = await ask(client, **fields), await ask(client, ORDINARY, **fields)
    assert short.status == ordinary.status
    assert list(short.headers) == list(ordinary.headers)
    changing = ("date", "content-length")
    for name in short.headers:
        assert name in changing or short.headers[name] == ordinary.headers[name]
    answers = [json.loads(answer.body) for answer in (short, ordinary)]
    if short.status == 200:
        assert all(answer.pop("processing_time") > 0 for answer in answers)
    assert answers[0] == answers[1]


async def test_the_fast_path_and_the_ordinary_one_are_counted_and_logged_alike(
    client: Client,
    torchserve: FakeTorchServe,
    program: Program,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO, REQUESTS)
    torchserve.answer = fail
    for inputs in ([1, 2, 3], "refuse"):
        for unusual in ((), (ORDINARY,)):
            await ask(client, *unusual, inputs=inputs)
    lines = access_lines(program, caplog)
    told = [(line.method, line.path, line.status, line.bytes, line.request_id) for line in lines]
    assert told[2] == told[3]
    assert [line[:3] for line in told[:2]] == [("POST", "/predict", 200)] * 2
    metrics = program.metrics.text().decode()
    assert 'sidecar_requests_total{route="/predict",status="200"} 2.0' in metrics
    assert 'sidecar_requests_total{route="/predict",status="400"} 2.0' in metrics
    assert 'sidecar_request_seconds_count{route="/predict"} 2.0' in metrics
    assert (program.statistics.finished, program.statistics.succeeded) == (4, 2)


async def test_a_request_id_and_a_trace_travel_with_the_input(
    client: Client, torchserve: FakeTorchServe
) -> None:
    trace = f"00-{'a' * 32}-{'b' * 16}-01"
    answer = await ask(client, f"traceparent: {trace}\r\n".encode())
    assert answer.headers["x-request-id"] == "mine"
    assert torchserve.items[0][0]["request_id"] == "mine"
    assert torchserve.items[0][0]["traceparent"] == trace


async def test_requests_that_come_meanwhile_are_answered_in_turn(
    client: Client, torchserve: FakeTorchServe
) -> None:
    torchserve.hold()
    raw = await Raw.connect(client)
    await raw.send(request(json.dumps(ECHO).encode()))
    await until(lambda: torchserve.jobs)
    await raw.send(LIVEZ, request(b"{}"), LIVEZ[:9])
    torchserve.release()
    assert b"result" in (await raw.answer()).body
    assert (await raw.answer()).status == 200
    assert (await raw.answer()).status == 422
    await raw.send(LIVEZ[9:])
    assert (await raw.answer()).status == 200
    await raw.close()


async def test_a_client_that_leaves_is_waited_for_no_longer(
    client: Client,
    torchserve: FakeTorchServe,
    program: Program,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO, REQUESTS)
    torchserve.hold()
    raw = await Raw.connect(client)
    await raw.send(request(json.dumps(ECHO).encode()))
    await until(lambda: torchserve.jobs)
    raw.transport.abort()
    await until(lambda: not program.statistics.active)
    assert [line.status for line in access_lines(program, caplog)] == [CLIENT_LEFT]
    torchserve.release()


async def test_a_request_that_is_due_is_504_and_the_connection_goes_on(
    client: Client, torchserve: FakeTorchServe
) -> None:
    torchserve.hold()
    raw = await Raw.connect(client)
    await raw.send(request(json.dumps(ECHO | {"timeout": 0.05}).encode()))
    answer = await raw.answer()
    torchserve.release()
    assert answer.status == 504
    assert answer.error["error"] == "Request timed out"
    assert json.loads(answer.body)["processing_time"] >= 0.04
    assert (await (await raw.send(LIVEZ)).answer()).status == 200
    await raw.close()


async def test_a_long_time_limit_holds_though_it_has_no_timer_from_the_start(
    client: Client, torchserve: FakeTorchServe, program: Program
) -> None:
    """It gets one when the connection is checked shortly before the time is up."""
    torchserve.hold()
    program.fast_path.statistics = Statistics(lambda: time.monotonic() - 29.9)  # it came then
    raw = await Raw.connect(client)
    await raw.send(request(json.dumps(ECHO | {"timeout": 30}).encode()))
    answer = await raw.answer()
    torchserve.release()
    assert answer.status == 504
    assert 29.9 < json.loads(answer.body)["processing_time"] < 29.9 + LIMIT_SECONDS
    await raw.close()
