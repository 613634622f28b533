"""An archive with a handler of its own: throughput, priorities, and clients that leave.

The handler takes a fixed time for a batch, as a network on a GPU does, and writes down how many
inputs it worked on.
"""

import asyncio
import contextlib
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import aiohttp

from benchmarks.effort import Effort
from benchmarks.report import Report, comparison, table
from benchmarks.servers import Running, answers
from benchmarks.turns import OURS, Answers, Candidate, NoAnswer, percentiles, take_turns, timed
from tests.integration.server import Server, wait_for
from tests.own_archives.plain import plain_torchserve

NAME = "bench"
BATCH_SIZE = 8
DELAYS_MS = (1, 10)  # of TorchServe's own batches
PASSES_MS = (0, 15)
HANDLER = """
import time


def handle(data, context):
    if data is None:
        return None
    time.sleep({seconds})
    with open({file!r}, "a") as file:
        file.write(f"{{len(data)}}\\n")
    return ["done"] * len(data)
"""
LOADS = (1, 8, 64)
FLOOD, URGENT = 64, 100
LEAVING, LEAVE_SECONDS = 96, 0.15  # TorchServe's queue takes 100
LEAVING_MS = 100  # a batch: a client that leaves is noticed after 0.2 s (see web.connection)


async def run(effort: Effort) -> Report:
    """Return tables for a quick handler and a slow one."""
    texts = [await _with_handler(pass_ms, effort) for pass_ms in PASSES_MS]
    texts.append(await _with_clients_that_leave())
    return Report("\n\n".join(texts))


async def _with_handler(pass_ms: int, effort: Effort) -> str:
    with tempfile.TemporaryDirectory(prefix="bench-") as name, contextlib.ExitStack() as stack:
        folder = Path(name)
        server = stack.enter_context(our_server(folder, "ours", pass_ms))
        servers = {OURS: server}
        for delay in DELAYS_MS:
            store = pack(folder / f"direct-{delay}", pass_ms, delay_ms=delay)
            place = folder / f"torchserve-{delay}"
            plain = stack.enter_context(plain_torchserve(place, store, models=1))
            url = f"http://127.0.0.1:{plain.port}/predictions/{NAME}"
            servers[f"TorchServe, {delay} ms"] = Running(url, plain.pid)
        texts = [f"### A handler that takes {pass_ms} ms for a batch of at most {BATCH_SIZE}"]
        for connections in LOADS:
            count = max(20, round(connections * effort.seconds * 10))
            candidates = [
                Candidate(who, partial(_asked, each, count, connections), each.processes)
                for who, each in servers.items()
            ]
            outcomes = await take_turns(candidates, effort.rounds)
            s = "s" if connections > 1 else ""
            texts.append(f"**{connections} connection{s}**\n\n{comparison(outcomes)}")
        if pass_ms:
            texts.append(await _priorities(server, pass_ms))
    return "\n\n".join(texts)


async def _with_clients_that_leave() -> str:
    with tempfile.TemporaryDirectory(prefix="bench-") as name, contextlib.ExitStack() as stack:
        folder = Path(name)
        server = stack.enter_context(our_server(folder, "ours", LEAVING_MS))
        store = pack(folder / "direct", LEAVING_MS)
        plain = stack.enter_context(plain_torchserve(folder / "torchserve", store, models=1))
        direct = Running(f"http://127.0.0.1:{plain.port}/predictions/{NAME}", plain.pid)
        rows = [
            [OURS, str(await _leaving(server, folder / "ours" / "worked"))],
            ["TorchServe", str(await _leaving(direct, folder / "direct" / "worked"))],
        ]
    return (
        f"**Clients that leave.** {LEAVING} clients ask at once a handler that takes "
        f"{LEAVING_MS} ms for a batch of {BATCH_SIZE}, and leave after "
        f"{LEAVE_SECONDS * 1000:g} ms:\n\n"
        + table(["", "inputs worked on whose clients had left"], rows)
    )


def pack(
    folder: Path, pass_ms: int, *, copies: int = 1, delay_ms: int = 10, most_workers: int = 1
) -> Path:
    """Pack the archive into a model store in *folder*, as often as *copies*; return that."""
    store = folder / "store"
    store.mkdir(parents=True)
    (folder / "handler.py").write_text(
        HANDLER.format(seconds=pass_ms / 1000, file=str(folder / "worked"))
    )
    config = folder / "config.yaml"
    config.write_text(
        f"batchSize: {BATCH_SIZE}\nmaxBatchDelay: {delay_ms}\n"
        f"minWorkers: 1\nmaxWorkers: {most_workers}\n"
    )
    for number in range(copies):
        command = [sys.executable, "-W", "ignore", "-m", "model_archiver.model_packaging"]
        command += ["--model-name", NAME if not number else f"{NAME}_{number}"]
        command += ["--version", "1.0", "--handler", str(folder / "handler.py")]
        command += ["--config-file", str(config), "--export-path", str(store)]
        subprocess.run(command, check=True)
    return store


@contextlib.contextmanager
def our_server(
    parent: Path, name: str, pass_ms: int, copies: int = 1, most_workers: int = 1
) -> Iterator[Running]:
    """Run our server with *copies* of the archive; its address is that of the first one."""
    folder = parent / name
    store = pack(folder, pass_ms, copies=copies, most_workers=most_workers)
    (folder / "models.json").write_text('{"models": {}}')
    server = Server(folder, models_file=str(folder / "models.json"), model_store=str(store))
    with server.running():
        assert server.process is not None
        for number in range(copies):
            url = f"{server.url}/predictions/{NAME if not number else f'{NAME}_{number}'}"
            wait_for(partial(answers, url, b"x"), server.log)
        yield Running(f"{server.url}/predictions/{NAME}", server.process.pid)


async def _asked(server: Running, count: int, connections: int) -> Answers:
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as http:
        return await timed(partial(_ask, http, server.url), count, connections)


async def _ask(http: aiohttp.ClientSession, url: str, _: int, priority: int = 0) -> str | None:
    headers = {"X-Priority": str(priority)}
    async with http.post(url, data=b"x", headers=headers) as response:
        said = await response.text()
        if response.status != 200:
            raise NoAnswer(response.status)
    return None if said == "done" else f"the answer {said[:40]!r}"


async def _priorities(server: Running, pass_ms: int) -> str:
    """Return how requests of priority 0 and 10 fare under a flood of priority 0."""
    times: dict[int, list[float]] = {0: [], 10: []}
    loop = asyncio.get_running_loop()
    done = asyncio.Event()
    warm = asyncio.Event()
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as http:

        async def ask(priority: int) -> None:
            began = loop.time()
            await _ask(http, server.url, 0, priority)
            times[priority].append((loop.time() - began) * 1000)
            if len(times[0]) > FLOOD:
                warm.set()

        async def flood() -> None:
            while not done.is_set():
                await ask(0)

        crowd = [asyncio.create_task(flood()) for _ in range(FLOOD)]
        await warm.wait()
        for _ in range(URGENT):
            await ask(10)
        done.set()
        await asyncio.gather(*crowd)
    rows = []
    for priority, taken in times.items():
        p50, p99 = percentiles(taken)
        rows.append([str(priority), f"{p50:.0f}", f"{p99:.0f}", f"{p99 / pass_ms:.1f}"])
    head = ["priority", "p50 ms", "p99 ms", "p99 in batch times"]
    return (
        f"**Priorities.** {FLOOD} clients ask on and on with priority 0, one with 10 "
        f"({URGENT} times):\n\n{table(head, rows)}"
    )


async def _leaving(server: Running, worked: Path) -> int:
    """Return how many inputs were worked on of clients that had left by the answer."""
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as http:
        await _ask(http, server.url, 0)
        before = _total(worked)

        async def leave(number: int) -> bool:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(LEAVE_SECONDS):
                    await _ask(http, server.url, number)
                    return True
            return False

        answered = sum(await asyncio.gather(*(leave(number) for number in range(LEAVING))))
        await _ask(http, server.url, 0)  # comes last, and is one more
        return _total(worked) - before - answered - 1


def _total(worked: Path) -> int:
    return sum(int(line) for line in worked.read_text().splitlines())
