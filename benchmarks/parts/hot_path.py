"""What one request to /predict costs the sidecar.

The sidecar runs alone in a process, in front of the tests' fake TorchServe.  Beside it runs a bare
aiohttp application with one middleware, which reads the body and answers the same JSON.  Both are
asked in turn, so that a slow minute of the machine hits both; the ratio of their processor times
is what counts.  Processor time is that of all threads, as the scheduler of Linux counts it.
"""

import asyncio
import contextlib
import json
import multiprocessing
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from multiprocessing.connection import Connection
from pathlib import Path
from typing import NamedTuple, cast

import uvloop
from aiohttp import web

from benchmarks.effort import Effort
from benchmarks.progress import tell
from benchmarks.report import Report, number, table
from tests.fake_torchserve import FakeTorchServe
from tests.integration.server import Server
from tests.sidecar.conftest import ECHO

INPUTS = [1, 2, 3, 4, 5]
BODY = json.dumps({"model_name": "echo", "inputs": INPUTS}).encode()
REQUEST = (
    b"POST /predict HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
    b"Content-Length: %d\r\n\r\n%s" % (len(BODY), BODY)
)
ANSWER = {
    "success": True,
    "result": INPUTS,
    "processing_time": 0.001234,
    "model_info": {
        "model": "echo",
        "device": "cpu",
        "input_type": "single",
        "input_count": 1,
        "version": "1.0",
        "processing_path": "optimized",
    },
    "batch_info": {
        "inflight_batching_enabled": True,
        "processed_as_batch": False,
        "concurrent_optimization": False,
    },
}
EXPECTED = json.dumps(INPUTS, separators=(",", ":")).encode()
START_SECONDS = 30.0
CONNECTIONS = (1, 16, 64)


class Load(NamedTuple):
    """One run.  Latency in milliseconds, processor time of the server in microseconds each."""

    per_second: float
    p50_ms: float
    cpu_us: float


class Client(asyncio.Protocol):
    """One kept connection that sends the next request when the last one is answered."""

    def __init__(self, until: float, latencies: list[float]) -> None:
        self._until = until
        self._latencies = latencies
        self._received = b""
        self._sent_at = 0.0
        self.done = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Send the first request."""
        self._transport = cast("asyncio.WriteTransport", transport)
        self._send()

    def connection_lost(self, exc: Exception | None) -> None:
        """Report it, unless all answers are there."""
        if not self.done.done():
            self.done.set_exception(exc or ConnectionError("the server hung up"))

    def data_received(self, data: bytes) -> None:
        """Check the answer once it is whole, and send the next request."""
        self._received += data
        head, found, body = self._received.partition(b"\r\n\r\n")
        if not found or len(body) < _content_length(head):
            return
        now = time.perf_counter()
        self._latencies.append(now - self._sent_at)
        if not head.startswith(b"HTTP/1.1 200 ") or EXPECTED not in body.replace(b", ", b","):
            self.done.set_exception(AssertionError(f"a wrong answer: {self._received!r}"))
        elif now < self._until:
            self._send()
        else:
            self.done.set_result(None)

    def _send(self) -> None:
        self._received = b""
        self._sent_at = time.perf_counter()
        self._transport.write(REQUEST)


def _content_length(head: bytes) -> int:
    return int(head.lower().partition(b"\r\ncontent-length:")[2].partition(b"\r\n")[0])


async def _ask(port: int, connections: int, seconds: float) -> list[float]:
    """Return the latencies of all requests, in seconds.  Raises AssertionError for a wrong one."""
    loop = asyncio.get_running_loop()
    latencies: list[float] = []
    until = time.perf_counter() + seconds
    opened = [
        await loop.create_connection(lambda: Client(until, latencies), "127.0.0.1", port)
        for _ in range(connections)
    ]
    await asyncio.gather(*(client.done for _, client in opened))
    for transport, _ in opened:
        transport.close()
    return latencies


def _measure(pid: int, port: int, connections: int, seconds: float) -> Load:
    before, began = _cpu_seconds(pid), time.perf_counter()
    latencies = uvloop.run(_ask(port, connections, seconds))
    spent, taken = _cpu_seconds(pid) - before, time.perf_counter() - began
    return Load(
        len(latencies) / taken, statistics.median(latencies) * 1e3, spent / len(latencies) * 1e6
    )


def _cpu_seconds(pid: int) -> float:
    """Return what all threads of the process *pid* have run so far."""
    threads = Path(f"/proc/{pid}/task").iterdir()
    return sum(int((thread / "schedstat").read_text().split()[0]) for thread in threads) / 1e9


@contextlib.contextmanager
def _process(serve: Callable[..., None], *arguments: object) -> Iterator[tuple[int, int]]:
    """Run *serve* in a process of its own; give its id, and the port that it listens on."""
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=serve, args=(theirs, *arguments), daemon=True)
    process.start()
    assert process.pid is not None
    try:
        if not ours.poll(START_SECONDS):
            raise TimeoutError("a server did not start")
        yield process.pid, ours.recv()
    finally:
        process.terminate()
        process.join()


def serve_bare(tell: Connection) -> None:
    """Serve the application that does nothing: what aiohttp itself costs."""

    @web.middleware
    async def around(
        request: web.Request, handler: Callable[[web.Request], object]
    ) -> web.StreamResponse:
        return await handler(request)  # type: ignore[no-any-return, misc]

    async def answer(request: web.Request) -> web.Response:
        await request.read()
        return web.json_response(ANSWER)

    async def serve() -> None:
        app = web.Application(middlewares=[around])
        app.router.add_post("/predict", answer)
        runner = web.AppRunner(app, access_log=None)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        tell.send(runner.addresses[0][1])
        await asyncio.Event().wait()

    uvloop.run(serve())


def serve_fake(tell: Connection, folder: Path) -> None:
    """Serve the fake TorchServe, which answers with what it is asked."""

    async def serve() -> None:
        fake = FakeTorchServe(folder)
        await fake.start()
        tell.send(fake.url)
        await asyncio.Event().wait()

    uvloop.run(serve())


@contextlib.contextmanager
def _sidecar() -> Iterator[tuple[int, int]]:
    """Run the sidecar in front of a fake TorchServe; give its process id and port."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        models = folder / "models.json"
        echo = ECHO | {"inference": {"max_batch_size": 64, "queue_size": 1024}}
        models.write_text(json.dumps({"models": {"echo": echo}}))
        with _process(serve_fake, folder) as (_, url):
            urls = dict.fromkeys(("inference_url", "management_url", "metrics_url"), str(url))
            keys = str(folder / "key_file.json")
            server = Server(
                folder,
                torchserve="external",
                models_file=str(models),
                torchserve_key_file=keys,
                **urls,
            )
            with server.running():
                assert server.process is not None
                yield server.process.pid, server.port


async def run(effort: Effort) -> Report:
    """Return one table: a row for each number of connections."""
    rows = []
    with _sidecar() as sidecar, _process(serve_bare) as bare:

        async def measure(server: tuple[int, int], connections: int) -> Load:
            return await asyncio.to_thread(_measure, *server, connections, effort.seconds)

        for server in (sidecar, bare):
            await measure(server, max(CONNECTIONS))  # warms up
        for connections in CONNECTIONS:
            tell(f"    {connections} connections")
            pairs = [
                [await measure(server, connections) for server in (sidecar, bare)]
                for _ in range(effort.rounds)
            ]
            rows.append(_row(connections, pairs))
    head = ["connections", "µs of CPU each", "bare", "ratio", "answers/s", "bare"]
    return Report(table([*head, "p50 ms", "bare"], rows))


def _row(connections: int, pairs: Sequence[Sequence[Load]]) -> list[str]:
    ratio = statistics.median(ours.cpu_us / bare.cpu_us for ours, bare in pairs)
    (ours_rate, ours_p50, ours_cpu), (bare_rate, bare_p50, bare_cpu) = (
        (statistics.median(values) for values in zip(*loads, strict=True))
        for loads in zip(*pairs, strict=True)
    )
    figures = (ours_cpu, bare_cpu, ratio, ours_rate, bare_rate, ours_p50, bare_p50)
    return [str(connections), *(number(each) for each in figures)]
