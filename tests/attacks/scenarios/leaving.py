"""The server is told to stop while clients ask: accepted requests are answered."""

import asyncio
from collections.abc import Sequence

from tests.attacks.attack import NO_ANSWER, OK, Attack
from tests.attacks.raw_http import read_answer, request
from tests.integration.server import SECRET, Server
from tests.integration.tokens import bearer

CLIENTS = 16
BEFORE_SECONDS = 0.5
PATIENT = {"drain_seconds": "600"}  # who stops it waits a minute: it must not need its time
PREDICT = request("POST", "/predict", body=b'{"model_name":"faulty","inputs":[0,1,2,3]}')
FORM = (
    b'--x\r\nContent-Disposition: form-data; name="file"; filename="a.wav"\r\n\r\nRIFF\r\n--x--\r\n'
)
CHECK = request(
    "POST", "/audio/validate", "Content-Type: multipart/form-data; boundary=x", body=FORM
)


async def _stop_under_load(server: Server) -> list[int]:
    """Keep asking; after SIGTERM each request is answered or not accepted, but never cut off."""
    token = bearer("admin", SECRET)["Authorization"]
    load = request("POST", "/models/faulty/load", f"Authorization: {token}", body=b"{}")
    stopping = asyncio.Event()
    asks = [(PREDICT, CHECK, load)[number % 3] for number in range(CLIENTS)]
    clients = [asyncio.create_task(_ask_on(server, data, stopping)) for data in asks]
    await asyncio.sleep(BEFORE_SECONDS)
    stopping.set()
    code = await asyncio.to_thread(server.stop)
    cut_off = sum(await asyncio.gather(*clients))
    assert code == 0, f"it ended with {code}"
    assert not cut_off, f"{cut_off} requests that were accepted were cut off"
    return await _back(server)


async def _ask_on(server: Server, data: bytes, stopping: asyncio.Event) -> int:
    """Return how many accepted requests got no answer, until nobody listens any more.

    A connection is given up when the server announces that it closes it.
    """
    cut_off = 0
    while True:
        try:
            reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        except OSError:
            assert stopping.is_set()
            return cut_off
        closing = False
        while not closing:
            writer.write(data)
            answer = await read_answer(reader)
            if answer.status == 0:
                cut_off += 1
            closing = answer.status == 0 or answer.headers.get("Connection") == "close"
        writer.transport.abort()


async def _stop_with_a_half_sent_body(server: Server) -> list[int]:
    """Send half a body: it delays the stop by some seconds at most."""
    _, writer = await asyncio.open_connection("127.0.0.1", server.port)
    try:
        writer.write(request("POST", "/predict", "Content-Length: 1000") + b"{")
        await writer.drain()
        await asyncio.sleep(BEFORE_SECONDS)
        await asyncio.to_thread(server.stop)
    finally:
        writer.transport.abort()
    return await _back(server)


async def _back(server: Server) -> list[int]:
    """The server is started again: the other clients are to be well afterwards."""
    server.start()
    await asyncio.to_thread(server.wait_ready)
    return []


STOPPED = frozenset({503, 0})
ATTACKS: Sequence[Attack] = (
    Attack(
        "a stop while clients ask",
        _stop_under_load,
        attackers_see=OK | NO_ANSWER,
        others_see=STOPPED,
        livez_ms=None,
        settings=PATIENT,
    ),
    Attack(
        "a stop beside a half-sent body",
        _stop_with_a_half_sent_body,
        attackers_see=OK | NO_ANSWER,
        others_see=STOPPED,
        livez_ms=None,
        settings=PATIENT,
        quick=False,
    ),
)
