"""Models to zero and back, beside each other, and replaced: on the real TorchServe."""

import asyncio
import json
import random
import shutil
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import aiohttp
import psutil
import pytest

from tests.integration.server import Server
from tests.live.world import FAULTY, build_archives, build_world
from tests.waiting import until_awaited

pytestmark = pytest.mark.integration
NAMES = [f"model_{number}" for number in range(3)]
SLEEPY: dict[str, Any] = FAULTY | {"auto_load": False, "idle_seconds": 1.0}
MODELS: dict[str, dict[str, Any]] = {
    **dict.fromkeys(NAMES, SLEEPY),
    "steady": FAULTY
    | {"pinned": True, "inference": FAULTY["inference"] | {"workers": {"min": 1, "max": 2}}},
    "hanging": SLEEPY
    | {
        "handler_options": FAULTY["handler_options"] | {"arguments": {"hangs": True}},
        "inference": {"startup_timeout_seconds": 5},
    },
}
BURSTS = 2
ANSWERED_MEANWHILE = 4  # to each client in the 5 s of a load that hangs; two, if all waited for it
PAUSE_SECONDS = 0.05  # of clients that ask on, so that they are not the load themselves
Token = Callable[[str], dict[str, str]]


@pytest.fixture(scope="module")
def scaled(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("scaling")
    settings = {
        "watch_model_store": "true",
        "poll_seconds": "0.5",
        "worker_template": "true",  # dozens of workers are started here
    }
    world = build_world(folder, MODELS, **settings)
    with world.running() as server:
        yield server


@pytest.fixture
async def client(scaled: Server) -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession(scaled.url) as session:
        yield session


async def ask(client: aiohttp.ClientSession, model: str, number: int = 1) -> int:
    """The status; a wrong sum is an error of its own."""
    body = {"model_name": model, "inputs": [0, number, 2, 3], "timeout": 200}
    async with client.post("/predict", json=body) as response:
        answer: dict[str, Any] = await response.json()
        if response.status == 200:
            assert answer["result"] == number + 5
        else:
            print(answer)
        return response.status


async def change(
    client: aiohttp.ClientSession, path: str, headers: dict[str, str], **body: Any
) -> tuple[int, dict[str, Any]]:
    async with client.post(path, json=body, headers=headers) as response:
        return response.status, await response.json()


async def test_bursts_over_sleeping_models_get_right_answers(
    client: aiohttp.ClientSession,
) -> None:
    async def user(name: str) -> list[int]:
        chance = random.Random(name)
        statuses: list[int] = []
        for _ in range(BURSTS):
            burst = (ask(client, name, chance.randrange(1000)) for _ in range(10))
            statuses += await asyncio.gather(*burst)
            await asyncio.sleep(chance.uniform(1.0, 4.0))
        return statuses

    answers = await asyncio.gather(*(user(name) for name in NAMES))
    assert [set(statuses) for statuses in answers] == [{200}] * len(NAMES)
    await until_awaited(
        lambda: metrics(client), lambda shown: shown["zero_scale_events"] >= len(NAMES)
    )
    assert await asyncio.gather(*(ask(client, name) for name in NAMES)) == [200] * len(NAMES)
    shown = await metrics(client)
    assert shown["wake_events"] > len(NAMES)
    assert shown["load_failures"] == 0


async def metrics(client: aiohttp.ClientSession) -> dict[str, int]:
    async with client.get("/autoscaler/stats") as response:
        return dict((await response.json())["scaling_metrics"])


async def test_a_hanging_load_is_refused_with_a_reason_and_delays_no_other_model(
    client: aiohttp.ClientSession,
) -> None:
    stop = asyncio.Event()
    others = [asyncio.create_task(asking_on(client, stop)) for _ in range(4)]
    assert await asyncio.gather(*(ask(client, "hanging") for _ in range(3))) == [503] * 3
    stop.set()
    answers = await asyncio.gather(*others)
    assert {status for statuses in answers for status in statuses} == {200}
    assert min(map(len, answers)) >= ANSWERED_MEANWHILE
    async with client.get("/models/hanging") as response:
        shown = await response.json()
    assert shown["state"] == "failed"
    assert shown["error"] == "no worker was READY within 5 s; workers.log may say why"
    assert await ask(client, "steady") == 200


async def test_a_worker_killed_while_loading_fails_no_request(
    scaled: Server, client: aiohttp.ClientSession, token: Token
) -> None:
    await change(client, "/models/model_0/scale", token("admin"), workers=0)
    before = {worker.pid for worker in await asyncio.to_thread(scaled.workers)}
    asked = asyncio.create_task(ask(client, "model_0"))

    def started() -> list[psutil.Process]:
        return [worker for worker in scaled.workers() if worker.pid not in before]

    (new, *_) = await until_awaited(lambda: asyncio.to_thread(started))
    new.kill()
    assert await asked == 200


async def asking_on(client: aiohttp.ClientSession, stop: asyncio.Event) -> list[int]:
    statuses: list[int] = []
    while not stop.is_set():
        statuses.append(await ask(client, "steady"))
        await asyncio.sleep(PAUSE_SECONDS)
    return statuses


async def test_versions_are_added_promoted_and_rolled_back_without_a_failed_request(
    scaled: Server, client: aiohttp.ClientSession, token: Token
) -> None:
    await asyncio.to_thread(_build_version, scaled.folder, "2.0")
    stop = asyncio.Event()
    asking = [asyncio.create_task(asking_on(client, stop)) for _ in range(4)]
    admin = token("admin")
    seen = [
        await change(client, "/models/steady/load", admin, version="2.0"),
        await change(client, "/models/steady/default", admin, version="2.0"),
        await change(client, "/models/steady/default", admin, version="1.0"),
        await change(client, "/models/steady/unload", admin, version="2.0"),
    ]
    stop.set()
    assert {status for statuses in await asyncio.gather(*asking) for status in statuses} == {200}
    assert [status for status, _ in seen] == [200] * 4
    assert [shown["version"] for _, shown in seen] == ["1.0", "2.0", "1.0", "1.0"]
    assert [shown["loaded_versions"] for _, shown in seen][-1] == ["1.0"]


async def test_workers_are_added_and_taken_away_without_a_failed_request(
    scaled: Server, client: aiohttp.ClientSession, token: Token
) -> None:
    stop = asyncio.Event()
    asking = [asyncio.create_task(asking_on(client, stop)) for _ in range(4)]
    seen = [
        await change(client, "/models/steady/scale", token("admin"), workers=workers)
        for workers in (2, 1)
    ]
    stop.set()
    assert {status for statuses in await asyncio.gather(*asking) for status in statuses} == {200}
    assert [len(shown["workers"]) for _, shown in seen] == [2, 1]


@pytest.mark.parametrize("version", ["1.0", "3.0"])
async def test_a_changed_archive_is_reloaded_without_a_failed_request(
    scaled: Server, client: aiohttp.ClientSession, version: str
) -> None:
    stop = asyncio.Event()
    asking = [asyncio.create_task(asking_on(client, stop)) for _ in range(4)]
    store = scaled.folder / "model_store"
    await asyncio.to_thread(_build_version, scaled.folder, version)
    await asyncio.to_thread((store / f"steady-{version}.mar").replace, store / "steady.mar")
    done = f"steady: version 1.0 replaced by {version}"
    log = scaled.log
    await until_awaited(lambda: asyncio.to_thread(log.read_text), lambda text: done in text)
    await until_awaited(lambda: _version(client), lambda shown: shown == version)
    stop.set()
    assert {status for statuses in await asyncio.gather(*asking) for status in statuses} == {200}


async def _version(client: aiohttp.ClientSession) -> str:
    async with client.get("/models/steady") as response:
        return str((await response.json())["version"])


def _build_version(folder: Path, version: str) -> None:
    """`steady-<version>.mar` in the model store; `steady.mar` stays."""
    elsewhere = folder / f"version-{version}"
    elsewhere.mkdir(exist_ok=True)
    (elsewhere / "model_store").mkdir(exist_ok=True)
    shutil.copytree(folder / "faulty", elsewhere / "faulty", dirs_exist_ok=True)
    models = {"steady": MODELS["steady"] | {"version": version}}
    (elsewhere / "models.json").write_text(json.dumps({"models": models}))
    build_archives(elsewhere, "--force", "steady")
    built = elsewhere / "model_store" / "steady.mar"
    built.replace(folder / "model_store" / f"steady-{version}.mar")


async def test_under_a_small_budget_models_take_turns_in_memory(tmp_path: Path) -> None:
    three = {name: SLEEPY | {"idle_seconds": None} for name in NAMES}
    server = await asyncio.to_thread(build_world, tmp_path, three, max_loaded_models="2")
    server.start()
    try:
        await asyncio.to_thread(server.wait_ready)
        async with aiohttp.ClientSession(server.url) as session:
            for name in [*three, NAMES[0]]:
                assert await ask(session, name) == 200
                assert len(await asyncio.to_thread(server.workers)) <= 2
    finally:
        await asyncio.to_thread(server.stop)
