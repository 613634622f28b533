"""The faults: each function causes one, and returns the statuses that its culprits got."""

import asyncio
import json
import os
import signal
from collections.abc import Sequence
from functools import partial
from typing import Any

import aiohttp
import psutil

from tests.fake_torchserve import FakeTorchServe
from tests.faults.bad_requests import bad_requests
from tests.faults.scenario import Act, Scenario
from tests.integration.server import Server
from tests.live.crowd import CUT_OFF
from tests.live.faulty_model import (
    CRASH,
    EXHAUST,
    FINE,
    FLOOD,
    HANG,
    LINGER,
    LINGER_SECONDS,
    RAISE,
)
from tests.live.world import FAULTY, build_world
from tests.waiting import until, until_awaited

FROZEN_TORCHSERVE_SECONDS = 5.0
FROZEN_WORKER_SECONDS = 1.0
UNREAD_SECONDS = 3.0


def _order(number: int, times: int = 1) -> Act:
    """Return a fault: an input that makes the model do *number*."""

    async def ask(session: aiohttp.ClientSession) -> int:
        body = {"model_name": "faulty", "inputs": [number, 1, 2, 3], "timeout": 100}
        try:
            async with session.post("/predict", json=body) as response:
                return response.status
        except aiohttp.ClientError:
            return CUT_OFF

    async def act(server: Server) -> list[int]:
        async with aiohttp.ClientSession(server.url) as session:
            return await asyncio.gather(*(ask(session) for _ in range(times)))

    return act


async def _kill_worker(server: Server) -> list[int]:
    for worker in await asyncio.to_thread(server.workers):
        os.kill(worker.pid, signal.SIGKILL)
    return []


async def _kill_template(server: Server) -> list[int]:
    """Kill the process that workers are forked from, and the workers; Python starts the next."""
    (await asyncio.to_thread(server.wait_forking)).kill()
    return await _kill_worker(server)


async def _kill_torchserve(server: Server) -> list[int]:
    os.kill((await asyncio.to_thread(server.java)).pid, signal.SIGKILL)
    return []


async def _freeze_torchserve(server: Server) -> list[int]:
    os.kill((await asyncio.to_thread(server.java)).pid, signal.SIGSTOP)
    await asyncio.sleep(FROZEN_TORCHSERVE_SECONDS)
    return []


async def _freeze_worker(server: Server) -> list[int]:
    for worker in await asyncio.to_thread(server.workers):
        os.kill(worker.pid, signal.SIGSTOP)
    await asyncio.sleep(FROZEN_WORKER_SECONDS)
    return []


async def _restart_sidecar(server: Server) -> list[int]:
    """Kill and restart the sidecar: TorchServe ends with it, and the start removes its folder."""
    folder = await asyncio.to_thread(server.torchserve_folder)
    left = await asyncio.to_thread(server.children)
    await asyncio.to_thread(server.stop, signal.SIGKILL)
    await until(lambda: not any(map(_runs, left)))
    server.start()
    await asyncio.to_thread(server.wait_ready)
    assert not await asyncio.to_thread(folder.exists)
    return []


def _runs(process: psutil.Process) -> bool:
    """Return whether *process* runs; one that has ended may still wait for its new parent."""
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


async def _load_corrupt(server: Server) -> list[int]:
    """Cut another model's archive short, and later restore it."""
    archive = server.folder / "model_store" / "corrupt.mar"
    whole = await asyncio.to_thread(archive.read_bytes)
    await asyncio.to_thread(archive.write_bytes, whole[: len(whole) // 2])
    body = {"model_name": "corrupt", "inputs": [0, 1, 2, 3]}
    statuses: list[int] = []
    async with aiohttp.ClientSession(server.url) as session:

        async def ask() -> int:
            statuses.append(await _status(session, body))
            return statuses[-1]

        async def fails() -> bool:
            await ask()
            return "corrupt" in await _failing(session)

        await until_awaited(fails)
        await asyncio.to_thread(archive.write_bytes, whole)
        await until_awaited(partial(_status, session, body), lambda status: status == 200)
        assert "corrupt" not in await _failing(session)
    return statuses


async def _failing(session: aiohttp.ClientSession) -> dict[str, str]:
    async with session.get("/health") as response:
        found: dict[str, str] = (await response.json())["failing_models"]
        return found


async def _status(session: aiohttp.ClientSession, body: dict[str, Any]) -> int:
    async with session.post("/predict", json=body) as response:
        return response.status


async def _answer_nonsense(server: Server) -> list[int]:
    """Run a second sidecar in front of a TorchServe that answers nonsense."""
    folder = server.folder / "nonsense"
    await asyncio.to_thread(folder.mkdir)
    fake = FakeTorchServe(folder)
    await fake.start()
    catalog = {"models": {"echo": FAULTY | {"path": "../faulty"}}}
    await asyncio.to_thread((folder / "models.json").write_text, json.dumps(catalog))
    urls = {f"{api}_url": fake.url for api in ("inference", "management", "metrics")}
    second = Server(
        folder,
        torchserve="external",
        models_file=str(folder / "models.json"),
        torchserve_key_file=str(fake.key_file),
        **urls,
    )
    second.start()
    try:
        await asyncio.to_thread(second.wait_ready)
        await server.watch_other(second)
        fake.wrong_bytes = b"<html>502 Bad Gateway</html>"
        body = {"model_name": "echo", "inputs": [0, 1, 2, 3]}
        async with aiohttp.ClientSession(second.url) as session:
            statuses = await asyncio.gather(*(_status(session, body) for _ in range(20)))
        await server.watch_other(second)
        return statuses
    finally:
        await asyncio.to_thread(second.stop)
        await fake.stop()


async def _fill_the_disk(server: Server) -> list[int]:
    """A second server whose logs and temporary files lie on a full disk; needs root."""
    folder = server.folder / "full"
    disk = folder / "disk"
    await asyncio.to_thread(disk.mkdir, parents=True)
    await _run("mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", str(disk))
    try:
        second = build_world(folder, log_dir=str(disk / "logs"))
        second.environment["TMPDIR"] = str(disk)
        second.start()
        try:
            await asyncio.to_thread(second.wait_ready)
            await server.watch_other(second)
            await _run("dd", "if=/dev/zero", f"of={disk}/zeros", "bs=64k", check=False)
            statuses = await _predict_and_upload(second)
            await server.watch_other(second)
            return statuses
        finally:
            await asyncio.to_thread(second.stop)
    finally:
        await _run("umount", str(disk))


async def _predict_and_upload(server: Server) -> list[int]:
    body = {"model_name": "faulty", "inputs": [0, 1, 2, 3]}
    async with aiohttp.ClientSession(server.url) as session:
        statuses = [await _status(session, body) for _ in range(200)]
        assert set(statuses) == {200}, statuses
        form = aiohttp.FormData()
        form.add_field("file", b"RIFF" + bytes(2**20), filename="a.wav")
        async with session.post("/audio/validate", data=form) as response:
            return [response.status]


async def _run(*command: str, check: bool = True) -> None:
    done = await asyncio.create_subprocess_exec(*command, stderr=asyncio.subprocess.DEVNULL)
    assert await done.wait() == 0 or not check, command


async def _hang_up(server: Server) -> list[int]:
    """Let a hundred clients ask for what takes longer than they stay."""
    asked = [[LINGER, 1, 2, 3]]
    await asyncio.gather(*(_leave(server, asked, stays=LINGER_SECONDS / 3) for _ in range(100)))
    return []


async def _do_not_read(server: Server) -> list[int]:
    """Let fifty clients ask for long answers and read one byte each."""
    asked = [[FINE, 1, 2, 3]] * 1000
    await asyncio.gather(*(_leave(server, asked, 1, stays=UNREAD_SECONDS) for _ in range(50)))
    return []


async def _leave(server: Server, inputs: list[list[int]], reads: int = 0, *, stays: float) -> None:
    body = json.dumps({"model_name": "faulty", "inputs": inputs}).encode()
    head = f"POST /predict HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(body)}\r\n\r\n"
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    writer.write(head.encode() + body)
    await writer.drain()
    if reads:
        await reader.readexactly(reads)
    await asyncio.sleep(stays)
    writer.transport.abort()


def _ask_badly(count: int) -> Act:
    async def act(server: Server) -> list[int]:
        return await bad_requests(server.url, count)

    return act


NOTHING: frozenset[int] = frozenset()
BAD = frozenset({400, 401, 404, 405, 413, 422})
SCENARIOS: Sequence[Scenario] = (
    Scenario("a worker is killed", _kill_worker),
    Scenario("a worker and what it was forked from are killed", _kill_template, quick=False),
    Scenario("TorchServe is killed", _kill_torchserve, may_see=frozenset({503})),
    Scenario(
        "TorchServe is frozen",
        _freeze_torchserve,
        may_see=frozenset({503}),
        within_seconds=90,
        quick=False,
    ),
    Scenario("a worker is frozen, past the job's limit", _freeze_worker, may_see=frozenset({503})),
    Scenario("an input crashes the worker", _order(CRASH), culprits_see=frozenset({503})),
    Scenario(
        "an input hangs the worker, past the job's limit",
        _order(HANG),
        NOTHING,
        frozenset({503}),
        within_seconds=60,
        quick=False,
    ),
    Scenario("inputs raise in the model", _order(RAISE, 20), culprits_see=frozenset({500})),
    Scenario("inputs run out of memory", _order(EXHAUST, 20), culprits_see=frozenset({503})),
    Scenario("answers are too large", _order(FLOOD, 5), culprits_see=frozenset({500})),
    Scenario("an archive is cut short", _load_corrupt, culprits_see=frozenset({503})),
    Scenario("TorchServe answers nonsense", _answer_nonsense, culprits_see=frozenset({500})),
    Scenario("the disk is full", _fill_the_disk, culprits_see=frozenset({503}), quick=False),
    Scenario("clients ask and hang up", _hang_up),
    Scenario("clients do not read their answers", _do_not_read),
    Scenario("300 bad requests", _ask_badly(300), culprits_see=BAD),
    Scenario("10,000 bad requests", _ask_badly(10_000), culprits_see=BAD, quick=False),
    Scenario(
        "the sidecar is killed and started again",
        _restart_sidecar,
        may_see=frozenset({503, CUT_OFF}),
    ),
)
