"""Bodies: what is read of them, in which order it is checked, and what it may cost."""

import asyncio
import gzip
import io
import json
import time
import tracemalloc
import zlib
from collections.abc import AsyncIterator
from typing import Any

import pytest
from aiohttp import ClientResponse

from sidecar.program import PROGRAM
from sidecar.settings import MB
from tests.sidecar.conftest import Client, StartSidecar
from tests.sidecar.web.test_refusals_by_limits import bearer
from tests.waiting import LIMIT_SECONDS

GOOD = json.dumps({"model_name": "echo", "inputs": [1, 2, 3]}).encode()
LARGE = json.dumps({"model_name": "echo", "inputs": "x" * MB}).encode()
GZIP = {"Content-Encoding": "gzip"}


def zipped(data: bytes) -> bytes:
    return gzip.compress(data, compresslevel=1, mtime=0)


async def refusal(response: ClientResponse) -> tuple[int, str]:
    """The status and the detail of an answer in the one error format."""
    answer = await response.json()
    assert answer["success"] is False
    assert answer["status_code"] == response.status
    return response.status, answer["detail"]


@pytest.mark.parametrize(
    ("encoding", "body"),
    [
        ("gzip", zipped(GOOD)),
        ("GZIP", zipped(GOOD)),
        ("deflate", zlib.compress(GOOD)),
        ("identity", GOOD),
        ("", GOOD),
    ],
)
async def test_an_encoded_body_is_decoded(client: Client, encoding: str, body: bytes) -> None:
    response = await client.post("/predict", data=body, headers={"Content-Encoding": encoding})
    assert (response.status, (await response.json())["result"]) == (200, [1, 2, 3])


@pytest.mark.parametrize(
    "route",
    [
        "/predict",
        "/synthesize",
        "/transcribe",
        "/audio/validate",
        "/models/echo/load",
        "/autoscaler/scale",
    ],
)
@pytest.mark.parametrize("encoding", ["br", "zstd", "compress", "gzip, gzip", "x" * 100])
async def test_another_encoding_is_415_and_names_those_that_are_decoded(
    client: Client, route: str, encoding: str
) -> None:
    headers = {"Content-Encoding": encoding}
    response = await client.post(route, data=GOOD, headers=headers)
    assert response.status == 415
    assert response.headers["Accept-Encoding"] == "gzip, deflate"
    assert "expected one of: gzip, deflate" in (await response.json())["detail"]


@pytest.mark.parametrize(
    ("encoding", "body"),
    [
        ("gzip", GOOD),
        ("gzip", zipped(GOOD)[:-9]),
        ("gzip", zipped(GOOD) + b"more"),
        ("gzip", zipped(GOOD) + zipped(GOOD)),
        ("gzip", b""),
        ("deflate", zipped(GOOD)),
        ("gzip", zipped(GOOD)[:-8] + bytes(8)),
        ("deflate", GOOD),
    ],
)
async def test_a_body_that_is_not_what_its_encoding_says_is_400(
    client: Client, encoding: str, body: bytes
) -> None:
    response = await client.post("/predict", data=body, headers={"Content-Encoding": encoding})
    status, detail = await refusal(response)
    assert status == 400
    assert detail.startswith("body: ")
    assert encoding in detail


async def test_a_body_is_refused_where_it_inflates_beyond_the_limit(
    start: StartSidecar,
) -> None:
    client = await start(max_body_mb=1)
    bomb = zipped(bytes(100 * MB))
    tracemalloc.start()
    response = await client.post("/predict", data=bomb, headers=GZIP)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert await refusal(response) == (413, "body: at most 1 MB")
    assert peak < 6 * MB


async def test_a_declared_size_above_the_limit_is_refused_unread(start: StartSidecar) -> None:
    client = await start(max_body_mb=1)
    response = await client.post(
        "/predict", data=io.BytesIO(b" " * (MB + 1)), headers=bearer("ada")
    )
    assert await refusal(response) == (413, "body: at most 1 MB")


async def test_a_wrong_header_credential_is_refused_before_the_body_is_read(
    client: Client,
) -> None:
    async def endless() -> AsyncIterator[bytes]:
        yield b'{"model_name": '
        await asyncio.Event().wait()

    for headers in ({"Authorization": "Bearer wrong"}, {"X-API-Key": "wrong"}):
        async with asyncio.timeout(LIMIT_SECONDS):
            response = await client.post("/predict", data=endless(), headers=headers)
        assert response.status == 401


async def test_a_scope_that_is_missing_is_refused_before_the_body_is_read(client: Client) -> None:
    async def endless() -> AsyncIterator[bytes]:
        yield b"{"
        await asyncio.Event().wait()

    async with asyncio.timeout(LIMIT_SECONDS):
        response = await client.post(
            "/models/echo/load", data=endless(), headers=bearer("somebody")
        )
    assert response.status == 403


async def test_an_unauthenticated_client_may_send_at_most_one_megabyte(
    start: StartSidecar,
) -> None:
    client = await start(require_authentication=True)
    text = bearer("ada")["Authorization"].removeprefix("Bearer ")
    small = json.dumps({"model_name": "echo", "inputs": "x" * 1000, "token": text})
    large = json.dumps({"model_name": "echo", "inputs": "x" * MB, "token": text})
    assert (await client.post("/predict", data=small)).status == 200
    for body in (io.BytesIO(large.encode()), _in_chunks(large.encode())):
        response = await client.post("/predict", data=body)
        assert response.status == 401
        assert "in a header" in (await response.json())["error"]
    assert (
        await client.post("/predict", data=_in_chunks(large.encode()), headers=bearer("ada"))
    ).status == 200


async def test_management_requests_may_have_at_most_one_megabyte(client: Client) -> None:
    objects = _in_chunks(b"[" + b"{}," * MB + b"{}]")
    response = await client.post("/models/echo/load", data=objects, headers=bearer("ada", "admin"))
    assert response.status == 413


async def _in_chunks(data: bytes) -> AsyncIterator[bytes]:
    for start in range(0, len(data), 50_000):
        yield data[start : start + 50_000]


async def test_received_bodies_are_bounded_but_small_ones_always_fit(
    start: StartSidecar,
) -> None:
    client = await start(max_received_mb=4)
    hold = asyncio.Event()

    async def half() -> AsyncIterator[bytes]:
        yield b'{"model_name": "echo", "inputs": "' + b"x" * (3 * MB // 2)
        await hold.wait()
        yield b'"}'

    held = asyncio.create_task(client.post("/predict", data=half()))
    bodies = client.server.app[PROGRAM].admission.bodies  # type: ignore[attr-defined]
    while bodies.held < MB:
        await asyncio.sleep(0)
    second = await client.post("/predict", data=_in_chunks(b" " * (MB)))
    assert second.status == 503
    assert int(second.headers["Retry-After"]) > 0
    assert (await client.post("/predict", data=GOOD)).status == 200
    other = await client.post("/predict", data=_in_chunks(LARGE), headers=bearer("b"))
    assert other.status == 200
    hold.set()
    assert (await held).status == 200
    assert bodies.held == 0


def nested(size: int) -> bytes:
    return b"[" + b"[]," * (size // 3) + b"[]]"


def flat_then_nested(size: int) -> bytes:
    return b"[" + b"1," * (size // 2) + b"[1]]"


def strings(size: int) -> bytes:
    return b"[" + b'"",' * (size // 3) + b'""]'


def deep(size: int) -> bytes:
    return b"[[" * (size // 4) + b"]]" * (size // 4)


def blanks(size: int) -> bytes:
    return b"[" + b" " * size + b"1, {}]"


def keys(size: int) -> bytes:
    return b'{"a":' + b'{"":1,' * (size // 9) + b'"":1' + b"}" * (size // 9) + b"}"


SHAPES = [nested, flat_then_nested, strings, deep, blanks, keys]


@pytest.mark.parametrize("shape", SHAPES)
async def test_no_shape_of_inputs_stops_the_event_loop(client: Client, shape: Any) -> None:
    body = b'{"model_name": "echo", "inputs": ' + shape(40 * MB) + b"}"
    longest = asyncio.create_task(longest_stall())
    response = await client.post("/predict", data=_in_chunks(body))
    longest.cancel()
    assert (await refusal(response))[0] in (400, 413, 422)
    assert await longest < 0.1


async def longest_stall() -> float:
    """Until it is cancelled; the most time of the processor that went by in one turn of the loop.

    It is the whole process's time: a thread that keeps the interpreter to itself stalls the loop
    too, and another program that shares the processor does not count.
    """
    longest, before = 0.0, time.process_time()
    try:
        while True:
            await asyncio.sleep(0)
            now = time.process_time()
            longest, before = max(longest, now - before), now
    except asyncio.CancelledError:
        return longest


async def test_a_refused_body_takes_less_than_four_times_its_size(client: Client) -> None:
    size = 16 * MB
    bodies = [
        b'{"model_name": "' + "\U0001f600".encode() * (size // 4) + b'", "inputs": 1}',
        b'{"model_name": "echo", "' + "\U0001f600".encode() * (size // 4) + b'": 1}',
        b'{"model_name": "echo", "inputs": ' + strings(size) + b"}",
    ]
    for body in bodies:
        tracemalloc.start()
        response = await client.post("/predict", data=_in_chunks(body))
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert response.status in (413, 422), await response.text()
        assert peak < 4 * len(body), (body[:40], peak / len(body))
