"""A guard for the hot path: the Python instructions of one /predict in the sidecar alone.

Instructions of the interpreter are counted, not seconds, so the machine's speed does not
matter.  The fake TorchServe and the clients run in another thread, which is not counted.
"""

import asyncio
import json
import logging
import sys
import threading
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType
from typing import Any

import aiohttp
import pytest

from sidecar.scheduling import gathering
from sidecar.settings import Settings
from sidecar.telemetry import log_queue, system
from sidecar.telemetry import logs as telemetry_logs
from sidecar.telemetry.log_queue import LogQueue
from sidecar.web import connections, turns
from sidecar.web.connections import ConnectionRunner
from tests.fake_torchserve import FakeTorchServe
from tests.sidecar.conftest import CATALOG, StartSidecar
from tests.waiting import LIMIT_SECONDS, until

RECORDED = json.loads(Path(__file__).with_name("hot_path.json").read_text())
REQUESTS = 64
WARM_UP = 32
LINES_AT_ONCE = 16  # are written together: about what comes in the tenth of a second of a server
ALLOWED = 1.25


class InstructionCounter:
    """Counts the instructions that this thread runs inside the `with` block."""

    def __init__(self) -> None:
        self.count = 0

    def __enter__(self) -> "InstructionCounter":
        sys.settrace(self._trace)
        return self

    def __exit__(self, *_: object) -> None:
        sys.settrace(None)

    def _trace(self, frame: FrameType, event: str, _: Any) -> Callable[..., Any]:
        frame.f_trace_opcodes = True
        frame.f_trace_lines = False
        if event == "opcode":
            self.count += 1
        return self._trace


class Outside:
    """An event loop in a thread of its own."""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self.loop.run_forever, daemon=True)
        self._thread.start()

    async def run(self, work: Any) -> Any:
        return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(work, self.loop))

    async def stop(self) -> None:
        self.loop.call_soon_threadsafe(self.loop.stop)
        await asyncio.to_thread(self._thread.join)
        self.loop.close()


async def open_session(url: str) -> aiohttp.ClientSession:
    """Return a client, of the loop that this runs in."""
    return aiohttp.ClientSession(url, connector=aiohttp.TCPConnector(limit=0))


async def ask(session: aiohttp.ClientSession, requests: int, at_once: int) -> None:
    """*requests* predictions, in groups of *at_once*."""
    body = {"model_name": "echo", "inputs": [1, 2, 3, 4, 5]}

    async def one() -> None:
        async with session.post("/predict", json=body) as response:
            assert response.status == 200
            await response.read()

    for _ in range(requests // at_once):
        await asyncio.gather(*(one() for _ in range(at_once)))


@pytest.fixture
def logs(tmp_path: Path) -> Iterator[None]:
    with telemetry_logs.open_logs(Settings(state_dir=tmp_path)):
        yield


@pytest.mark.skipif(
    sys.version_info[:2] != (3, 11),
    reason="recorded for Python 3.11: other versions have other instructions",
)
@pytest.mark.usefixtures("logs")
@pytest.mark.filterwarnings("default:.*record it in hot_path.json")  # good news fails nobody
@pytest.mark.parametrize(("name", "at_once"), [("alone", 1), ("in_a_crowd", 32)])
async def test_a_request_costs_no_more_instructions_than_recorded(
    start: StartSidecar,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    at_once: int,
) -> None:
    # Counting makes each request slow, and what waits for others has to wait as much longer.
    monkeypatch.setattr(turns, "TURN_SECONDS", 60.0)
    monkeypatch.setattr(gathering, "GATHERING_SECONDS", 0.2)
    # What is done now and then would count the more, the busier the machine is: it is done for so
    # many requests, or not at all.
    monkeypatch.setattr(log_queue, "GATHER_SECONDS", LIMIT_SECONDS)
    monkeypatch.setattr(log_queue, "MAX_GATHERED", LINES_AT_ONCE)
    monkeypatch.setattr(connections, "CHECK_SECONDS", LIMIT_SECONDS)
    monkeypatch.setattr(system, "SAMPLE_SECONDS", LIMIT_SECONDS)
    outside = Outside()
    folder = tmp_path / "outside"
    folder.mkdir()
    fake = FakeTorchServe(folder)
    await outside.run(fake.start())
    urls = dict.fromkeys(("inference_url", "management_url", "metrics_url"), fake.url)
    echo = {"echo": CATALOG["echo"] | {"inference": {"max_batch_size": 64}}}
    client = await start(
        catalog=echo,
        torchserve_key_file=fake.key_file,
        poll_seconds=600.0,
        autoscale_seconds=600.0,
        **urls,
    )
    url = str(client.make_url(""))
    first = await outside.run(open_session(url))
    await outside.run(ask(first, WARM_UP, at_once))
    await outside.run(first.close())
    assert isinstance(client.server.runner, ConnectionRunner)
    open_connections = client.server.runner.connections
    await until(lambda: not len(open_connections))  # else the ends of some would be counted
    requests = logging.getLogger(telemetry_logs.REQUESTS)
    for handler in requests.handlers[:]:
        if not isinstance(handler, LogQueue):
            requests.removeHandler(handler)  # pytest's own would be counted
    second = await outside.run(open_session(url))
    with InstructionCounter() as counter:
        await outside.run(ask(second, REQUESTS, at_once))
    await outside.run(second.close())
    await outside.run(fake.stop())
    await outside.stop()
    spent = counter.count / REQUESTS
    limit = RECORDED[name] * ALLOWED
    assert spent <= limit, f"{spent:.0f} instructions a request, recorded {RECORDED[name]}"
    if spent < RECORDED[name] / ALLOWED:
        warnings.warn(f"{name}: {spent:.0f} instructions: record it in hot_path.json", stacklevel=1)
