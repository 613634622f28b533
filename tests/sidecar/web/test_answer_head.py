"""The headers that every answer has, whichever way it goes."""

import json
from pathlib import Path

import pytest

from sidecar.program import PROGRAM, Program
from sidecar.web.acceptor import turning_away
from tests.fake_torchserve import FakeTorchServe
from tests.sidecar.conftest import CATALOG, Client, StartSidecar
from tests.sidecar.web.test_connection import LIVEZ, Raw
from tests.sidecar.web.test_fast_path import ECHO, ORDINARY, Answers, head, take_body
from tests.waiting import until

OF_ONE_ANSWER = {"allow", "connection", "content-length", "content-type", "retry-after"}


@pytest.fixture
async def both(start: StartSidecar, torchserve: FakeTorchServe, tmp_path: Path) -> Client:
    """A sidecar with the model `Mine`, which has a custom handler, beside `echo`."""
    store = tmp_path / "store"
    store.mkdir()
    (store / "Mine.mar").touch()
    torchserve.archives.add("Mine.mar")
    own = {"handler": "own", "auto_load": True, "inference": {"batch_size": 1, "queue_size": 8}}
    return await start(catalog={"Mine": own, "echo": CATALOG["echo"]}, model_store=store)


def request(path: bytes, body: bytes, *lines: bytes) -> bytes:
    start = b"POST %b HTTP/1.1\r\nHost: localhost\r\n" % path + b"".join(lines)
    return start + b"Content-Length: %d\r\n\r\n%b" % (len(body), body)


async def over_http(client: Client, sent: bytes) -> bytes:
    raw = await (await Raw.connect(client)).send(sent)
    answer = await raw.reader.readuntil(b"\r\n\r\n")
    await raw.close()
    return answer


async def over_the_fast_path(client: Client, path: bytes, body: bytes) -> bytes:
    """The answer to a request that the fast path has certainly taken."""
    assert client.app is not None
    program: Program = client.app[PROGRAM]
    connection = Answers()
    call = take_body(program, head(path=path), body, connection)
    assert call is not None
    call.begin()
    await until(lambda: connection.sent)
    return connection.sent[0]


PREDICT = json.dumps(ECHO).encode()
REFUSED = json.dumps(ECHO | {"model_name": "nobody"}).encode()


def shared(answer: bytes) -> set[str]:
    """The names of the headers that do not depend on what is answered."""
    _, *lines = answer.partition(b"\r\n\r\n")[0].decode().split("\r\n")
    return {line.partition(":")[0].lower() for line in lines} - OF_ONE_ANSWER


async def test_every_exit_has_the_same_headers(both: Client) -> None:
    answers = {
        "ordinary": await over_http(both, LIVEZ),
        "ordinary prediction": await over_http(both, request(b"/predict", PREDICT, ORDINARY)),
        "refused": await over_http(both, request(b"/predict", REFUSED)),
        "no such route": await over_http(both, request(b"/nowhere", b"")),
        "ordinary prediction of a custom handler": await over_http(
            both, request(b"/predictions/Mine", b"x", ORDINARY)
        ),
        "malformed": await over_http(both, b"no request\r\n\r\n"),
        "unknown expectation": await over_http(
            both, request(b"/predict", b"", b"Expect: a miracle\r\n")
        ),
        "fast prediction": await over_the_fast_path(both, b"/predict", PREDICT),
        "fast prediction of a custom handler": await over_the_fast_path(
            both, b"/predictions/Mine", b"x"
        ),
        "turned away": turning_away(),
    }
    expected = shared(answers["ordinary"])
    assert {"date", "server", "x-request-id"} <= expected
    assert {exit_: shared(answer) for exit_, answer in answers.items()} == dict.fromkeys(
        answers, expected
    )
