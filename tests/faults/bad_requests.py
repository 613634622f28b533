"""Requests that nobody should send: wrong bytes, bodies, fields, headers, tokens and audio."""

import asyncio
import io
import json
import random
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

import aiohttp

AT_ONCE = 16


class Bad(NamedTuple):
    """One request that has to be refused."""

    method: str
    path: str
    body: bytes = b""
    headers: Mapping[str, str] = MappingProxyType({})


def _noise(chance: random.Random) -> Bad:
    return Bad("POST", "/predict", chance.randbytes(chance.randrange(1, 2000)))


def _cut_json(chance: random.Random) -> Bad:
    whole = json.dumps({"model_name": "faulty", "inputs": [[0, 1, 2, 3]] * 9}).encode()
    return Bad("POST", "/predict", whole[: chance.randrange(len(whole))])


def _deep_json(chance: random.Random) -> Bad:
    depth = chance.randrange(1000, 200_000)
    return Bad("POST", "/predict", b'{"model_name":"faulty","inputs":' + b"[" * depth)


def _wrong_field(chance: random.Random) -> Bad:
    values: list[Any] = [None, -1, "x" * chance.randrange(3000), [], {}, True, 1e308, [[1], 2]]
    field = chance.choice(["model_name", "priority", "timeout", "enable_batching", "mischief"])
    unfit = [each for each in values if not (field == "timeout" and each == 1e308)]
    good = {"model_name": "faulty", "inputs": [0, 1, 2, 3]}
    if field == "enable_batching":
        unfit.remove(True)
    if field == "model_name":
        unfit = [None, -1, [], {}, "no such model"]
    return Bad("POST", "/predict", json.dumps(good | {field: chance.choice(unfit)}).encode())


def _unfit_input(chance: random.Random) -> Bad:
    inputs = chance.choice([[], "a text", [1, 2], {"a": 1}, [[0, 1, 2]] * 3, [None], [1, "a"]])
    return Bad("POST", "/predict", json.dumps({"model_name": "faulty", "inputs": inputs}).encode())


def _wrong_token(chance: random.Random) -> Bad:
    token = chance.choice(["Bearer x.y.z", "Basic YTpi", "Bearer", "Bearer " + "a" * 5000])
    return Bad("GET", "/stats", headers={"Authorization": token})


def _wrong_place(chance: random.Random) -> Bad:
    path = chance.choice(["/nothing", "/predict/../etc/passwd", "/%00", "/" + "a" * 3000])
    return Bad(chance.choice(["GET", "POST", "PUT", "DELETE"]), path)


def _wrong_method(chance: random.Random) -> Bad:
    return Bad(chance.choice(["PUT", "DELETE", "PATCH", "GET"]), "/predict")


def _broken_form(chance: random.Random) -> Bad:
    body = chance.choice([b"", b"--x\r\n", b"--x\r\nnonsense\r\n\r\n", chance.randbytes(500)])
    kind = {"Content-Type": "multipart/form-data; boundary=x"}
    return Bad("POST", "/audio/validate", body, kind)


def _too_large(_: random.Random) -> Bad:
    return Bad("POST", "/predict", b'"' + b"a" * (65 * 2**20))


COMMON: tuple[Callable[[random.Random], Bad], ...] = (
    _noise,
    _cut_json,
    _deep_json,
    _wrong_field,
    _unfit_input,
    _wrong_token,
    _wrong_place,
    _wrong_method,
    _broken_form,
)
SELDOM = 4000  # one in so many is large: the sender has to make it


async def bad_requests(url: str, count: int, seed: int = 1) -> list[int]:
    """Send *count* of them, all different; return the statuses."""
    chance = random.Random(seed)
    numbers = iter(range(1, count + 1))
    statuses: list[int] = []

    async def client(session: aiohttp.ClientSession) -> None:
        for number in numbers:
            make = _too_large if number % SELDOM == SELDOM // 20 else chance.choice(COMMON)
            statuses.append(await _send(session, make(chance)))

    async with aiohttp.ClientSession(url) as session:
        await asyncio.gather(*(client(session) for _ in range(AT_ONCE)))
    return statuses


async def _send(session: aiohttp.ClientSession, bad: Bad) -> int:
    """The status; the answer has to be an error of ours."""
    body = io.BytesIO(bad.body) if bad.body else None
    async with session.request(bad.method, bad.path, data=body, headers=bad.headers) as response:
        answer = await response.json()
        assert answer["success"] is False
        assert answer["status_code"] == response.status
        assert "Traceback" not in json.dumps(answer)
        return response.status
