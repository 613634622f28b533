"""The server's own trouble that others can cause: descriptors, pauses, a second start."""

import asyncio
import itertools
import os
import signal
import time
from collections.abc import Sequence
from pathlib import Path

import psutil

from tests.attacks.attack import OK, Attack
from tests.attacks.raw_http import exchange, request
from tests.integration.server import Server
from tests.live.crowd import CUT_OFF
from tests.waiting import LIMIT_SECONDS, until_awaited

HEALTHS = 520
STARVED_SECONDS = 4.0
STOPPED_SECONDS = 33.0


async def _healths(server: Server) -> list[int]:
    """Many look at the health at the same moment."""
    data = request("GET", "/health")
    answers = await asyncio.gather(*(exchange(server.port, data) for _ in range(HEALTHS)))
    return [answer.status for answer in answers]


async def _starve(server: Server) -> list[int]:
    """No file can be opened, and no connection, for a moment in which clients go on asking."""
    assert server.process is not None
    process = psutil.Process(server.process.pid)
    before = process.rlimit(psutil.RLIMIT_NOFILE)
    process.rlimit(psutil.RLIMIT_NOFILE, (_lowest_free_descriptor(process.pid), before[1]))
    data = request("POST", "/predict", body=b'{"model_name":"faulty","inputs":[0,1,2,3]}')
    until, statuses = time.monotonic() + STARVED_SECONDS, list[int]()
    try:
        while time.monotonic() < until:
            asked = (exchange(server.port, data) for _ in range(20))
            statuses += [answer.status for answer in await asyncio.gather(*asked)]
            await asyncio.sleep(0.1)
    finally:
        process.rlimit(psutil.RLIMIT_NOFILE, before)
    await _ready(server)
    return statuses


def _lowest_free_descriptor(pid: int) -> int:
    """The number that the next file would get: with this as the limit none can be opened."""
    taken = {int(entry.name) for entry in Path(f"/proc/{pid}/fd").iterdir()}
    return next(number for number in itertools.count() if number not in taken)


async def _ready(server: Server) -> None:
    await until_awaited(
        lambda: asyncio.to_thread(server.status, "/readyz"), lambda status: status == 200
    )


async def _stop_for_a_while(server: Server) -> list[int]:
    """Stop the process of the sidecar for a while, as a paused container does."""
    assert server.process is not None
    before = await asyncio.to_thread(server.java)
    os.kill(server.process.pid, signal.SIGSTOP)
    await asyncio.sleep(STOPPED_SECONDS)
    os.kill(server.process.pid, signal.SIGCONT)
    await _ready(server)
    after = await asyncio.to_thread(server.java)
    assert before == after, "the sidecar ended a TorchServe that was well"
    return []


async def _start_twice(server: Server) -> list[int]:
    """A second server with the same state folder gives up; the first one's TorchServe lives."""
    before = await asyncio.to_thread(server.java)
    second = Server(server.folder)
    second.environment = server.environment
    second.log = server.folder / "second.log"
    second.start()
    assert second.process is not None
    try:
        code = await asyncio.to_thread(second.process.wait, LIMIT_SECONDS)
    finally:
        if second.process.poll() is None:
            await asyncio.to_thread(second.stop)
    said = await asyncio.to_thread(second.log.read_text)
    assert code == 2, f"the second start ended with {code}: {said[-300:]}"
    assert "Traceback" not in said, said[-300:]
    assert before == await asyncio.to_thread(server.java), "the first one's TorchServe was ended"
    return []


ATTACKS: Sequence[Attack] = (
    Attack(f"{HEALTHS} look at the health at once", _healths, attackers_see=OK | {503}),
    Attack(
        "no file descriptors are left for a while",
        _starve,
        attackers_see=OK | {503, CUT_OFF},
        others_see=frozenset({503, CUT_OFF}),
        livez_ms=None,
    ),
    Attack(
        "the sidecar is stopped for 33 s",
        _stop_for_a_while,
        others_see=frozenset({503, CUT_OFF}),
        livez_ms=None,
        within_seconds=60,
        quick=False,
    ),
    Attack("a second start on the same state folder", _start_twice),
)
