"""Clients that keep connections and bodies open: half-sent requests, and those that do not read."""

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from pathlib import Path
from types import MappingProxyType

from sidecar.routes.groups import ROUTES
from tests.attacks.attack import MIB, NO_ANSWER, OK, OWN, REFUSED, Act, Attack
from tests.attacks.raw_http import exchange, read_answer, request
from tests.integration.server import Server

AT_ONCE = 100  # connections that are being opened
PIECE = bytes(MIB)
CLOSED_WITHIN_SECONDS = 60.0
SETTLE_SECONDS = 2.0
UNREAD_SECONDS = 5.0
FEW = 30
HALVES = (
    b"POST /predict HTTP/1.1\r\nHost: localhost\r\nContent-",
    b"POST /predict HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000\r\n\r\n{",
    b"GET /livez HTTP/1.1\r\nHost: localhost\r\n",
    b"",
)
FORM = "Content-Type: multipart/form-data; boundary=x"
PART = b'--x\r\nContent-Disposition: form-data; name="file"; filename="a.wav"\r\n\r\n'
STRANGERS = MappingProxyType({"require_authentication": "true"})

Connection = tuple[asyncio.StreamReader, asyncio.StreamWriter]


@asynccontextmanager
async def _connected(server: Server) -> AsyncIterator[Connection]:
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    try:
        yield reader, writer
    finally:
        writer.transport.abort()


async def _half_send(server: Server, stack: AsyncExitStack, count: int) -> list[Connection]:
    """*count* connections, each with a request that is not whole."""
    gate = asyncio.Semaphore(AT_ONCE)

    async def one(number: int) -> Connection:
        async with gate:
            reader, writer = await stack.enter_async_context(_connected(server))
            writer.write(HALVES[number % len(HALVES)])
            return reader, writer

    return await asyncio.gather(*(one(number) for number in range(count)))


def _half_sent(count: int, *, stays: float) -> Act:
    """*count* requests that are never finished; they all have to be ended within *stays*."""

    async def act(server: Server) -> list[int]:
        async with AsyncExitStack() as stack:
            connections = await _half_send(server, stack, count)
            ends = [asyncio.create_task(_end(reader)) for reader, _ in connections]
            _, still_open = await asyncio.wait(ends, timeout=stays)
            for each in still_open:
                each.cancel()
            assert stays < CLOSED_WITHIN_SECONDS or len(still_open) <= FEW, (
                f"{len(still_open)} of {count} half-sent requests are open after {stays:g} s"
            )
            return [each.result() for each in ends if each not in still_open]

    return act


async def _end(reader: asyncio.StreamReader) -> int:
    return (await read_answer(reader)).status


def _bodies(count: int, size: int, path: str, *headers: str, begin: bytes = b"") -> Act:
    """*count* clients send all of a large body but its end, and wait."""
    head = request("POST", path, *headers, f"Content-Length: {size + len(begin)}") + begin

    async def send(writer: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            for _ in range(size // MIB - 1):
                writer.write(PIECE)
                await writer.drain()
            writer.write(PIECE[:-1])
            await writer.drain()

    async def one(server: Server, stack: AsyncExitStack) -> int | None:
        reader, writer = await stack.enter_async_context(_connected(server))
        writer.write(head)
        sending = asyncio.create_task(send(writer))
        answering = asyncio.create_task(_end(reader))
        await asyncio.wait([sending, answering], return_when=asyncio.FIRST_COMPLETED)
        await asyncio.wait([sending, answering], timeout=SETTLE_SECONDS)
        sending.cancel()
        if not answering.done():
            answering.cancel()
            return None
        return answering.result()

    async def act(server: Server) -> list[int]:
        async with AsyncExitStack() as stack:
            statuses = await asyncio.gather(*(one(server, stack) for _ in range(count)))
            disk = await asyncio.to_thread(_unlinked_bytes, server)
            assert disk <= 512 * MIB, f"{disk // MIB} MiB of uploads lie on the disk"
        return [each for each in statuses if each is not None]

    return act


def _unlinked_bytes(server: Server) -> int:
    """How large the sidecar's open temporary files are (Linux; nothing elsewhere)."""
    assert server.process is not None
    total = 0
    for link in Path(f"/proc/{server.process.pid}/fd").glob("*"):
        with suppress(OSError):
            if "(deleted)" in str(link.readlink()):
                total += link.stat().st_size
    return total


async def _do_not_read(server: Server) -> list[int]:
    """Ask for one long answer after another, and read none."""
    asks = request("GET", "/openapi.json") * 200
    async with AsyncExitStack() as stack:
        for _ in range(50):
            _, writer = await stack.enter_async_context(_connected(server))
            writer.write(asks)
        await asyncio.sleep(UNREAD_SECONDS)
    return []


async def _finish_early(server: Server) -> list[int]:
    """Clients that close their sending side after a whole request; each is to get its answer."""
    body = b'{"model_name":"faulty","inputs":[0,1,2,3]}'
    data = request("POST", "/predict", body=body)
    answers = [await exchange(server.port, data, half_close=True) for _ in range(50)]
    return [answer.status for answer in answers]


async def _pipeline(server: Server) -> list[int]:
    """Requests one behind the other on one connection, without waiting for answers."""
    data = request("GET", "/models") * PIPELINED
    async with _connected(server) as (reader, writer):
        sending = asyncio.create_task(_send(writer, data))
        statuses = [await _end(reader) for _ in range(PIPELINED)]
        await sending
    return statuses


async def _send(writer: asyncio.StreamWriter, data: bytes) -> None:
    writer.write(data)
    await writer.drain()


async def _read_everything(server: Server) -> list[int]:
    """Every route that only reads, from many connections at the same moment."""
    paths = [route.path for route in ROUTES if route.method == "GET" and "{" not in route.path]
    asks = [request("GET", path) for path in paths for _ in range(READERS)]
    answers = await asyncio.gather(*(exchange(server.port, data) for data in asks))
    return [answer.status for answer in answers]


async def _drip(server: Server) -> list[int]:
    """Bodies that come a byte at a time: below the lowest rate, never idle."""
    head = request("POST", "/predict", "Content-Length: 100000")

    async def one(stack: AsyncExitStack) -> int | None:
        reader, writer = await stack.enter_async_context(_connected(server))
        writer.write(head)
        answering = asyncio.create_task(_end(reader))
        until = time.monotonic() + CLOSED_WITHIN_SECONDS
        while time.monotonic() < until and not answering.done():
            writer.write(b" ")
            await asyncio.wait([answering], timeout=0.5)
        return answering.result() if answering.done() else None

    async with AsyncExitStack() as stack:
        statuses = Counter(await asyncio.gather(*(one(stack) for _ in range(200))))
    assert not statuses[None], f"{statuses[None]} of 200 dripping bodies are open after 60 s"
    return [each for each in statuses.elements() if each is not None]


PIPELINED = 5_000
READERS = 20
ENDED = REFUSED | NO_ANSWER
ATTACKS: Sequence[Attack] = (
    Attack("300 half-sent requests", _half_sent(300, stays=2.0), attackers_see=ENDED),
    Attack(
        "3,000 half-sent requests",
        _half_sent(3000, stays=CLOSED_WITHIN_SECONDS),
        attackers_see=ENDED,
        peak_mib=128,
        quick=False,
    ),
    Attack("200 bodies that drip", _drip, attackers_see=ENDED, quick=False),
    Attack(
        "15 half-sent bodies of 60 MiB",
        _bodies(15, 60 * MIB, "/predict"),
        attackers_see=ENDED,
        others_see=frozenset({503}),  # while nobody's body has room
        peak_mib=640,  # the 512 MB that all bodies may take together, and what holds them
        quick=False,
    ),
    Attack(
        "15 half-sent bodies of 60 MiB of strangers",
        _bodies(15, 60 * MIB, "/predict"),
        attackers_see=ENDED,
        peak_mib=64,
        settings=STRANGERS,
    ),
    Attack(
        "5 half-sent uploads of 190 MiB",
        _bodies(5, 190 * MIB, "/audio/validate", FORM, begin=PART),
        attackers_see=ENDED,
        settings=OWN,
        quick=False,
    ),
    Attack(
        "50 clients that do not read",
        _do_not_read,
        peak_mib=256,
        quick=False,
    ),
    Attack("5,000 requests that do not wait for answers", _pipeline, attackers_see=OK, quick=False),
    Attack(
        "500 readings of all there is, at once",
        _read_everything,
        attackers_see=OK | REFUSED,
        peak_mib=128,
        quick=False,
    ),
    Attack("clients that finish sending early", _finish_early, attackers_see=OK),
)
