"""Archives with a handler of their own: asked at TorchServe itself, and through the sidecar.

`scripts/bench_archives [MS …]`, by default 0 and 15: for each, a handler that takes so many
milliseconds for a batch, whatever its size, as a network on a GPU does.  Both servers run side by
side, with a worker each, and are measured in turn, so that what else the machine does slows both.
TorchServe is measured with several delays of its batches, and the best at each load counts.
"""

import asyncio
import contextlib
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import aiohttp
import psutil

from tests.integration.server import Server, wait_for
from tests.own_archives.plain import plain_torchserve

BATCH_SIZE = 8
DELAYS_MS = (1, 10)
PASSES_MS = (0.0, 15.0)
HANDLER = """
import time


def handle(data, context):
    if data is None:
        return None
    time.sleep({seconds})
    return ["done"] * len(data)
"""
LOADS = (1, 4, 8, 16, 64)
SECONDS, ROUNDS = 1.5, 3
FLOOD, URGENT = 64, 40


class Figures(NamedTuple):
    """Of one load: answers per second, and the median and 99th percentile in ms."""

    rate: float
    p50: float
    p99: float


def pack(folder: Path, pass_ms: float, delays_ms: Sequence[int]) -> Path:
    """Pack an archive for each delay into a model store; return that."""
    store = folder / "store"
    store.mkdir(parents=True)
    (folder / "handler.py").write_text(HANDLER.format(seconds=pass_ms / 1000))
    for delay_ms in delays_ms:
        config = folder / "config.yaml"
        config.write_text(f"batchSize: {BATCH_SIZE}\nmaxBatchDelay: {delay_ms}\n")
        command = [sys.executable, "-m", "model_archiver.model_packaging", "--version", "1.0"]
        command += ["--model-name", name_of(delay_ms), "--handler", str(folder / "handler.py")]
        command += ["--config-file", str(config), "--export-path", str(store)]
        subprocess.run(command, check=True, stderr=subprocess.DEVNULL)
    return store


def name_of(delay_ms: int) -> str:
    """Return the name of the model whose batches wait so long."""
    return f"delay_{delay_ms}"


async def measure(url: str, connections: int) -> Figures:
    """Ask *url* over *connections* for some seconds, each again as soon as it is answered."""
    until = time.monotonic() + SECONDS
    times: list[float] = []
    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(connector=connector) as session:

        async def client() -> None:
            while (began := time.monotonic()) < until:
                async with session.post(url, data=b"x") as response:
                    await response.read()
                    assert response.status == 200, response.status
                times.append(time.monotonic() - began)

        await asyncio.gather(*(client() for _ in range(connections)))
    times.sort()
    p50, p99 = (times[int(len(times) * share)] * 1000 for share in (0.5, 0.99))
    return Figures(len(times) / SECONDS, p50, p99)


async def measure_priority(url: str) -> tuple[Figures, Figures]:
    """Return how requests of priority 0 and 10 fare under a flood of priority 0."""
    times: dict[int, list[float]] = {0: [], 10: []}
    done = asyncio.Event()
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:

        async def ask(priority: int) -> None:
            began = time.monotonic()
            headers = {"X-Priority": str(priority)}
            async with session.post(url, data=b"x", headers=headers) as response:
                await response.read()
                assert response.status == 200, response.status
            times[priority].append(time.monotonic() - began)

        async def flood() -> None:
            while not done.is_set():
                await ask(0)

        crowd = [asyncio.create_task(flood()) for _ in range(FLOOD)]
        await asyncio.sleep(1)
        began = time.monotonic()
        for _ in range(URGENT):
            await ask(10)
        taken = time.monotonic() - began
        done.set()
        await asyncio.gather(*crowd)
    figures = []
    for each in times.values():
        each.sort()
        p50, p99 = (each[int(len(each) * share)] * 1000 for share in (0.5, 0.99))
        figures.append(Figures(len(each) / taken, p50, p99))
    return figures[0], figures[1]


@contextlib.contextmanager
def sidecar(folder: Path, store: Path, name: str) -> Iterator[Server]:
    """Run the sidecar with a TorchServe of its own, until its model *name* answers."""
    folder.mkdir()
    (folder / "models.json").write_text('{"models": {}}')
    server = Server(
        folder, models_file=str(folder / "models.json"), model_store=str(store), access_log="false"
    )
    server.start()
    try:
        server.wait_ready()
        wait_for(
            lambda: asyncio.run(_status(f"{server.url}/predictions/{name}")) == 200, server.log
        )
        yield server
    finally:
        server.stop()


async def _status(url: str) -> int:
    async with aiohttp.ClientSession() as session, session.post(url, data=b"x") as response:
        return response.status


def processor_seconds(server: Server) -> float:
    """Return how much processor time the sidecar has taken, without TorchServe."""
    assert server.process is not None
    times = psutil.Process(server.process.pid).cpu_times()
    return times.user + times.system


def main(passes_ms: Sequence[float]) -> None:
    """Print a table for each handler."""
    print(f"{os.cpu_count()} processors; batches of {BATCH_SIZE}; requests per second (p50 in ms)")
    for pass_ms in passes_ms:
        with tempfile.TemporaryDirectory() as name:
            _bench(Path(name), pass_ms)


def _bench(folder: Path, pass_ms: float) -> None:
    theirs = pack(folder / "theirs", pass_ms, DELAYS_MS)
    ours = pack(folder / "ours", pass_ms, DELAYS_MS[-1:])
    name = name_of(DELAYS_MS[-1])
    with (
        plain_torchserve(folder / "plain", theirs, models=len(DELAYS_MS)) as plain,
        sidecar(folder / "sidecar", ours, name) as server,
    ):
        base = f"http://127.0.0.1:{plain.port}/predictions"
        direct = [f"{base}/{name_of(delay)}" for delay in DELAYS_MS]
        through = f"{server.url}/predictions/{name}"
        print(f"\n{pass_ms:g} ms a batch")
        print(f"{'connections':>12} {'TorchServe':>16} {'sidecar':>16} {'ratio':>6} {'its ms':>7}")
        for connections in LOADS:
            _measure_load(server, direct, through, connections)
        low, high = asyncio.run(measure_priority(through))
        print(
            f"under a flood of {FLOOD}: priority 0 p50 {low.p50:.0f} ms, p99 {low.p99:.0f} ms; "
            f"priority 10 p50 {high.p50:.0f} ms, p99 {high.p99:.0f} ms"
        )


def _measure_load(server: Server, direct: Sequence[str], through: str, connections: int) -> None:
    """Print the medians of some rounds, and the processor time of the sidecar per request."""
    rounds, spent = [], 0.0
    for _ in range(ROUNDS):
        figures = [asyncio.run(measure(url, connections)) for url in direct]
        began = processor_seconds(server)
        figures.append(asyncio.run(measure(through, connections)))
        spent += processor_seconds(server) - began
        rounds.append(figures)
    medians = [
        Figures(*(statistics.median(values) for values in zip(*figures, strict=True)))
        for figures in zip(*rounds, strict=True)
    ]
    theirs, ours = max(medians[:-1]), medians[-1]
    its_ms = spent * 1000 / sum(figures[-1].rate * SECONDS for figures in rounds)
    shown = " ".join(f"{each.rate:>9.0f} ({each.p50:>4.0f})" for each in (theirs, ours))
    print(f"{connections:>12} {shown} {ours.rate / theirs.rate:>6.2f} {its_ms:>7.2f}")


if __name__ == "__main__":
    main([float(each) for each in sys.argv[1:]] or PASSES_MS)
