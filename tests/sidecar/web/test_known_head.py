"""A head that its connection has sent before is read once, and nothing becomes laxer by that."""

import asyncio
import dataclasses
import json
import random
from collections.abc import Sequence
from typing import Any, cast

import jwt
import pytest

from sidecar.access.authenticator import build_authenticator
from sidecar.errors import ModelNotReady
from sidecar.program import PROGRAM, Program
from sidecar.web.connection import Connection
from sidecar.web.connections import Connections
from sidecar.web.fast_path import FastCall, PlainHead
from sidecar.web.known_head import MAX_KNOWN_BYTES, known_head
from tests.fake_torchserve import FakeTorchServe
from tests.sidecar.conftest import Client
from tests.sidecar.web.test_connection import LIVEZ, PREDICT, Answer, Raw
from tests.sidecar.web.test_fast_path import ECHO, Answers, head
from tests.waiting import let_the_loop_turn, until

BODY = json.dumps(ECHO).encode()
LONG = json.dumps(ECHO | {"inputs": list(range(200))}).encode()
INVALID = json.dumps(ECHO | {"priority": 11}).encode()


@pytest.fixture
def program(client: Client) -> Program:
    assert client.app is not None
    program: Program = client.app[PROGRAM]
    return program


def whole(body: bytes = BODY, length: bytes | None = None, lines: bytes = b"") -> bytes:
    digits = b"%d" % len(body) if length is None else length
    return PREDICT + lines + b"Content-Length: " + digits + b"\r\n\r\n" + body


class Fed:
    """A client, and its connection, which is given what the client sends piece by piece.

    It is checked only where a test does so.
    """

    def __init__(self, raw: Raw, connection: Connection) -> None:
        self.raw = raw
        self.connection = connection

    @classmethod
    async def connect(cls, client: Client, program: Program) -> "Fed":
        connections = cast("Connections", program.listeners[0])
        connections.stop_checking()
        before = set(connections)
        raw = await Raw.connect(client)
        await until(lambda: set(connections) - before)
        (connection,) = set(connections) - before
        await let_the_loop_turn(5)  # in which aiohttp's loop for it begins
        return cls(raw, connection)

    async def until_idle(self) -> None:
        """Wait until aiohttp's loop for the connection waits for the next request."""
        await until(lambda: self.connection.idle_since is not None)

    def feed(self, *pieces: bytes) -> None:
        for piece in pieces:
            self.connection.data_received(piece)

    async def answers(self, count: int) -> list[Answer]:
        return [await self.raw.answer() for _ in range(count)]


# What is remembered


async def test_the_length_alone_may_differ() -> None:
    message = head(b"Content-Type: application/json\r\n")
    known = known_head(message, PREDICT + b"Content-Length: 0\r\n\r\n")
    assert known is not None
    for body in (b"x", b"x" * 10_000):
        assert known.find_body(whole(body)) == (body, 0)


@pytest.mark.parametrize(
    "data",
    [
        whole(b""),
        whole(BODY, b"0%d" % len(BODY)),
        whole(BODY, b"+%d" % len(BODY)),
        whole(BODY, b" %d" % len(BODY)),
        whole(BODY, b"%d " % len(BODY)),
        whole(BODY, b""),
        whole(BODY, b"x"),
        whole(BODY, b"1_0"),
        whole(BODY, b"1" * 100),
        whole(BODY, "²".encode()),
        PREDICT,
        PREDICT + b"Content-Length: 1",
        whole(BODY, lines=b"X-Other: 1\r\n"),
        whole(BODY, b"%d\r\nContent-Length: 1" % len(BODY)),
        whole(BODY).replace(b"localhost", b"localhosT"),
        whole(BODY)[1:],
        b"",
    ],
)
async def test_whatever_else_differs_is_parsed(data: bytes) -> None:
    known = known_head(
        head(b"Content-Type: application/json\r\n"), PREDICT + b"Content-Length: 0\r\n\r\n"
    )
    assert known is not None
    assert known.find_body(data) is None


async def test_what_is_missing_of_the_body_and_what_follows_it_are_told() -> None:
    known = known_head(
        head(b"Content-Type: application/json\r\n"), PREDICT + b"Content-Length: 0\r\n\r\n"
    )
    assert known is not None
    assert known.find_body(whole(b"", b"12")) == (b"", 12)
    assert known.find_body(whole(b"abc", b"12")) == (b"abc", 9)
    assert known.find_body(whole(b"abc", b"2")) == (b"abc", -1)


@pytest.mark.parametrize(
    "text",
    [
        b"POST /predict HTTP/1.1\r\nHost: localhost\r\nContent-Length:0\r\n\r\n",
        b"POST /predict HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0 \r\n\r\n",
        b"POST /predict HTTP/1.1\r\nContent-Length: 0\r\nHost: localhost\r\n\r\n",
        b"POST /predict HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"POST /other HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n",
    ],
)
async def test_a_head_that_says_other_than_its_message_is_not_remembered(text: bytes) -> None:
    """The parser may have held its beginning before."""
    assert known_head(head(), text) is None


async def test_a_large_head_is_not_remembered() -> None:
    line = b"X-Large: %b\r\n" % (b"x" * MAX_KNOWN_BYTES)
    text = b"POST /predict HTTP/1.1\r\nHost: localhost\r\n" + line + b"Content-Length: 0\r\n\r\n"
    assert known_head(head(line), text) is None


# What is asked anew


async def test_a_credential_that_has_expired_meanwhile_is_seen(program: Program) -> None:
    now = [1_800_000_000.0]
    settings = program.settings
    path = program.fast_path
    path.authenticator = authenticator = build_authenticator(settings, lambda: now[0])
    claims = {"sub": "ada", "scope": "stats", "exp": int(now[0]) + 60}
    token = jwt.encode(claims, settings.jwt_secret or "", "HS256")
    known = path.read(head(f"Authorization: Bearer {token}\r\n".encode()))
    assert known is not None
    assert path.take(Answers(), known, BODY) is None  # nobody has checked it
    await authenticator.identify_token(token)
    assert path.take(Answers(), known, BODY) is not None
    now[0] += 61
    assert path.take(Answers(), known, BODY) is None


async def test_a_server_that_leaves_meanwhile_is_seen(program: Program) -> None:
    known = program.fast_path.read(head())
    assert known is not None
    assert program.fast_path.take(Answers(), known, BODY) is not None
    program.draining.set()
    assert program.fast_path.take(Answers(), known, BODY) is None


async def test_a_model_that_leaves_meanwhile_is_seen(client: Client, program: Program) -> None:
    fed = await Fed.connect(client, program)
    fed.feed(whole())
    assert [answer.status for answer in await fed.answers(1)] == [200]
    program.models["echo"].retire(ModelNotReady("it was taken out", field="model_name"))
    fed.feed(whole())
    assert [answer.status for answer in await fed.answers(1)] == [503]
    await fed.raw.close()


# What a connection makes of it


class CountingPath:
    """The fast path, which counts what it is shown."""

    def __init__(self, program: Program) -> None:
        self._path = program.fast_path
        self.beginnings = self._path.beginnings
        self.read_heads = 0
        self.taken = 0

    def watch(self, connection: Connection) -> None:
        watched = dataclasses.replace(connection.context, fast_path=cast("Any", self))
        connection.context = watched

    def read(self, message: Any) -> PlainHead | None:
        self.read_heads += 1
        return self._path.read(message)

    def take(self, *request: Any) -> FastCall | None:
        call = self._path.take(*request)
        self.taken += call is not None
        return call


async def test_a_head_that_comes_again_is_read_once(client: Client, program: Program) -> None:
    fed, counting = await Fed.connect(client, program), CountingPath(program)
    counting.watch(fed.connection)
    for body in (BODY, BODY, LONG, BODY):
        fed.feed(whole(body))
        (answer,) = await fed.answers(1)
        assert json.loads(answer.body)["result"] == json.loads(body)["inputs"]
        await fed.until_idle()
    assert (counting.read_heads, counting.taken) == (1, 4)
    fed.feed(LIVEZ)
    fed.feed(whole())
    await fed.answers(2)
    await fed.until_idle()
    assert counting.taken == 4  # it came while another was being served
    fed.feed(whole())
    await fed.answers(1)
    assert (counting.read_heads, counting.taken) == (2, 5)
    await fed.raw.close()


async def test_a_head_that_comes_before_its_body_is_read_once(
    client: Client, program: Program
) -> None:
    """The first such request takes the ordinary path, on which its body may take its time."""
    fed, counting = await Fed.connect(client, program), CountingPath(program)
    counting.watch(fed.connection)
    for body in (BODY, BODY, LONG, BODY):
        start = whole(body).index(b"\r\n\r\n") + 4
        fed.feed(whole(body)[:start])
        await let_the_loop_turn(20)
        assert fed.connection.unanswered
        assert fed.connection.idle_since is None
        fed.feed(whole(body)[start:])
        (answer,) = await fed.answers(1)
        assert json.loads(answer.body)["result"] == json.loads(body)["inputs"]
        await fed.until_idle()
    assert (counting.read_heads, counting.taken) == (1, 3)
    fed.feed(whole())
    await fed.answers(1)
    assert (counting.read_heads, counting.taken) == (1, 4)
    await fed.raw.close()


@pytest.mark.parametrize("cuts", [(-9, -5), (20,), (-3,)], ids=str)
async def test_a_body_that_comes_in_pieces_takes_the_ordinary_path(
    client: Client, program: Program, cuts: tuple[int, ...]
) -> None:
    fed = await Fed.connect(client, program)
    request = whole()
    for _ in range(3):
        start = 0
        for cut in (*cuts, len(request)):
            fed.feed(request[start:cut])
            await let_the_loop_turn(20)
            start = cut
        assert (await fed.answers(1))[0].status == 200
    await fed.raw.close()


async def test_a_head_whose_body_does_not_come_is_parsed_at_the_next_check(
    client: Client, program: Program
) -> None:
    """From then on the time limits of the ordinary path apply."""
    fed = await Fed.connect(client, program)
    fed.feed(whole())
    await fed.answers(1)
    fed.feed(whole()[:-3])
    await let_the_loop_turn(20)
    assert program.statistics.active == 0
    fed.connection.check(0.5, cast("asyncio.Transport", fed.connection.transport))
    await until(lambda: program.statistics.active)
    fed.feed(whole()[-3:])
    assert (await fed.answers(1))[0].status == 200
    await fed.raw.close()


async def test_a_head_whose_body_has_not_come_is_refused_when_the_server_stops(
    client: Client, program: Program
) -> None:
    fed = await Fed.connect(client, program)
    fed.feed(whole())
    await fed.answers(1)
    fed.feed(whole()[:-3])
    fed.connection.refuse_unfinished()
    (answer,) = await fed.answers(1)
    assert answer.status == 503
    assert "shutting down" in answer.error["detail"]
    await fed.raw.close()


async def test_a_request_with_an_id_of_its_own_is_not_remembered(
    client: Client, program: Program
) -> None:
    fed, counting = await Fed.connect(client, program), CountingPath(program)
    counting.watch(fed.connection)
    for serial in range(3):
        fed.feed(whole(lines=b"X-Request-ID: mine-%d\r\n" % serial))
        (answer,) = await fed.answers(1)
        assert answer.headers["x-request-id"] == f"mine-{serial}"
    assert (counting.read_heads, counting.taken) == (3, 3)
    await fed.raw.close()


@pytest.mark.parametrize(
    "pieces",
    [
        (b"GET /livez HTTP/1.1\r\nX-Note: ", whole()),
        (b"GET /livez HTTP/1.1\r\nHost: localhost\r\n", whole()),
        (b"POST /predict HTTP/1.1\r\nHost: localhost\r\nContent-Length: 4000\r\n\r\n", whole()),
        (b"\r\n", whole()),
        (whole()[:-20], whole()[-20:-10], whole()[-10:], whole()),
        (whole()[:-20], whole(), whole()),
        (whole()[:-20],),
        (whole()[:-20], whole()[-20:] + LIVEZ),
        (whole()[: -len(BODY)], BODY + whole()[:9], whole()[9:]),
        (whole(length=b"70000"), b"x" * 70000),
        (whole()[:-1], whole()),
        (whole(length=b"1"), whole()),
        (whole(length=b"+%d" % len(BODY)), whole()),
        (whole(length=b"0%d" % len(BODY)), whole()),
        (whole(lines=b"Transfer-Encoding: chunked\r\n"), whole()),
        (whole(lines=b"Content-Length: %d\r\n" % len(BODY)), whole()),
        (whole(lines=b"Connection: close\r\n"), whole()),
        (whole() + whole()[:20], whole()[20:], whole()),
        (LIVEZ[:9], LIVEZ[9:], whole()),
        (whole(INVALID), whole()),
        (whole(b"nonsense"), whole()),
        (b"nonsense\r\n\r\n", whole()),
    ],
)
async def test_what_comes_after_a_known_head_is_understood_as_without_it(
    client: Client, program: Program, pieces: Sequence[bytes]
) -> None:
    seen = []
    for first in (whole(), whole(lines=b"X-Request-ID: not-remembered\r\n")):
        fed = await Fed.connect(client, program)
        fed.feed(first)
        assert (await fed.answers(1))[0].status == 200
        for piece in pieces:
            fed.feed(piece)
            await let_the_loop_turn(50)
        fed.raw.transport.write_eof()
        seen.append(outcomes(await fed.raw.closed()))
        await fed.raw.close()
    assert seen[0] == seen[1]


def outcomes(data: bytes) -> list[tuple[bytes, bool]]:
    """The status of each answer in *data*, and whether it is a prediction's."""
    answers = [part for part in data.split(b"HTTP/1.")[1:] if not part.startswith(b"1 100")]
    return [(answer[2:5], b'"result"' in answer) for answer in answers]


@pytest.mark.parametrize("seed", range(10))
async def test_however_a_stream_is_cut_each_request_gets_its_answer(
    client: Client, program: Program, torchserve: FakeTorchServe, seed: int
) -> None:
    del torchserve
    chance = random.Random(seed)
    fed = await Fed.connect(client, program)
    wanted: list[Any] = []
    for _ in range(30):
        request, status, result = chance.choice(
            [
                (whole(BODY), 200, [1, 2, 3]),
                (whole(BODY), 200, [1, 2, 3]),
                (whole(LONG), 200, list(range(200))),
                (whole(INVALID), 422, None),
                (LIVEZ, 200, None),
            ]
        )
        start = request.index(b"\r\n\r\n") + 4
        cut = chance.choice([0, start, chance.randrange(len(request))])
        fed.feed(*filter(None, (request[:cut], request[cut:])))
        wanted.append((status, result))
        if chance.random() < 0.7:
            told = [(each.status, json.loads(each.body)) for each in await fed.answers(len(wanted))]
            assert [(status, body.get("result")) for status, body in told] == wanted
            wanted.clear()
    await fed.answers(len(wanted))
    await fed.raw.close()


async def test_a_client_that_leaves_is_noticed(
    client: Client, program: Program, torchserve: FakeTorchServe
) -> None:
    fed = await Fed.connect(client, program)
    fed.feed(whole())
    await fed.answers(1)
    torchserve.hold()
    fed.feed(whole())
    await until(lambda: torchserve.jobs)
    assert fed.connection.unanswered
    fed.raw.transport.abort()
    await until(lambda: not program.statistics.active)
    torchserve.release()
