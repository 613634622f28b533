"""An archive with a handler of its own: asked at TorchServe itself, and through the sidecar.

`scripts/bench_archives`: both servers run side by side, with a worker each, and are measured in
turn, so that what else the machine does slows both.  The handler takes a fixed time for a batch,
as a network on a GPU does.  TorchServe is measured with the archive's own setting.
"""

import asyncio
import contextlib
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import aiohttp

from tests.integration.server import Server, wait_for
from tests.own_archives.plain import plain_torchserve

NAME = "bench"
BATCH_SIZE, BATCH_DELAY_MS, PASS_MS = 8, 20, 25
HANDLER = f"""
import time


def handle(data, context):
    if data is None:
        return None
    time.sleep({PASS_MS / 1000})
    return ["done"] * len(data)
"""
CONFIG = f"batchSize: {BATCH_SIZE}\nmaxBatchDelay: {BATCH_DELAY_MS}\n"
LOADS = (1, 4, 8, 16, 64)
SECONDS, ROUNDS = 3.0, 3
FLOOD, URGENT = 64, 40


class Figures(NamedTuple):
    """Of one load: answers per second, and the median and 99th percentile in ms."""

    rate: float
    p50: float
    p99: float


def pack(folder: Path) -> Path:
    """Pack the archive into a model store; return that."""
    store = folder / "store"
    store.mkdir()
    (folder / "handler.py").write_text(HANDLER)
    (folder / "config.yaml").write_text(CONFIG)
    command = [sys.executable, "-m", "model_archiver.model_packaging", "--model-name", NAME]
    command += ["--version", "1.0", "--handler", str(folder / "handler.py")]
    command += ["--config-file", str(folder / "config.yaml"), "--export-path", str(store)]
    subprocess.run(command, check=True)
    return store


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
def sidecar(folder: Path, store: Path) -> Iterator[str]:
    """Run the sidecar with a TorchServe of its own; its address."""
    folder.mkdir()
    (folder / "models.json").write_text('{"models": {}}')
    server = Server(
        folder, models_file=str(folder / "models.json"), model_store=str(store), access_log="false"
    )
    server.start()
    try:
        server.wait_ready()
        wait_for(lambda: _answers(server.url), server.log)
        yield server.url
    finally:
        server.stop()


def _answers(url: str) -> bool:
    return asyncio.run(_status(f"{url}/predictions/{NAME}")) == 200


async def _status(url: str) -> int:
    async with aiohttp.ClientSession() as session, session.post(url, data=b"x") as response:
        return response.status


def main() -> None:
    """Print both tables."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        store = pack(folder)
        with (
            plain_torchserve(folder / "plain", store, models=1) as plain,
            sidecar(folder / "sidecar", store) as url,
        ):
            direct, through = (
                f"http://127.0.0.1:{plain.port}/predictions/{NAME}",
                f"{url}/predictions/{NAME}",
            )
            print(f"{os.cpu_count()} processors; batch {BATCH_SIZE}, {PASS_MS} ms each")
            print("requests per second (p50 in ms)")
            print(f"{'connections':>12} {'TorchServe':>16} {'sidecar':>16} {'ratio':>6}")
            for connections in LOADS:
                pairs = [
                    (
                        asyncio.run(measure(direct, connections)),
                        asyncio.run(measure(through, connections)),
                    )
                    for _ in range(ROUNDS)
                ]
                ours = statistics.median(pair[1].rate for pair in pairs)
                theirs = statistics.median(pair[0].rate for pair in pairs)
                p50 = [statistics.median(pair[i].p50 for pair in pairs) for i in (0, 1)]
                figures = f"{theirs:>8.0f} ({p50[0]:>4.0f}) {ours:>8.0f} ({p50[1]:>4.0f})"
                print(f"{connections:>12} {figures} {ours / theirs:>6.2f}")
            low, high = asyncio.run(measure_priority(through))
            print(
                f"under a flood of {FLOOD}: priority 0 p50 {low.p50:.0f} ms, p99 {low.p99:.0f} ms; "
                f"priority 10 p50 {high.p50:.0f} ms, p99 {high.p99:.0f} ms"
            )


if __name__ == "__main__":
    main()
