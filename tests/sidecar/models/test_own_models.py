"""A model with a custom handler lives as every other does: in front of the fake TorchServe."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.fake_torchserve import FakeTorchServe
from tests.sidecar.conftest import Client, StartSidecar
from tests.sidecar.models.test_sleep_and_wake import change, model_of, services_of, until_state
from tests.sidecar.models.test_versions import write_archive
from tests.sidecar.test_lifecycle import leave
from tests.waiting import until

Start = Callable[..., Awaitable[Client]]
MINE = "mine"


def put(store: Path, torchserve: FakeTorchServe, file: str, version: str, key: str = MINE) -> None:
    """Put an archive into the model store, or another in its place."""
    write_archive(store / file, key, version)
    torchserve.archives.add(file)
    torchserve.versions[file] = version


@pytest.fixture
def store(tmp_path: Path) -> Path:
    store = tmp_path / "store"
    store.mkdir()
    return store


@pytest.fixture
def start_mine(start: StartSidecar, torchserve: FakeTorchServe, store: Path) -> Start:
    """Starts a sidecar with the archive `mine.mar`; fields of its entry, and settings."""
    put(store, torchserve, "mine.mar", "1.0")

    async def start_mine(entry: dict[str, Any] | None = None, **settings: Any) -> Client:
        mine = {"handler": "own", "auto_load": True} | (entry or {})
        return await start(catalog={MINE: mine}, model_store=store, **settings)

    return start_mine


async def ask(client: Client, body: bytes = b"x", path: str = "/predictions/mine") -> int:
    response = await client.post(path, data=body)
    assert response.status != 200 or await response.read() == body
    return response.status


async def test_an_own_model_sleeps_when_idle_and_wakes_on_request(
    start_mine: Start, torchserve: FakeTorchServe
) -> None:
    client = await start_mine({"idle_seconds": 0.2}, autoscale_seconds=0.02)
    await until_state("idle", client, MINE)
    assert torchserve.scalings[-1] == (MINE, 0)
    slept = len(torchserve.scalings)
    assert await ask(client) == 200
    assert torchserve.scalings[slept] == (MINE, 1)


async def test_an_own_model_is_scaled_by_hand_and_by_load(
    start_mine: Start, torchserve: FakeTorchServe
) -> None:
    inference = {"batch_size": 2, "workers": {"min": 1, "max": 3}}
    client = await start_mine({"inference": inference}, autoscale_seconds=0.02)
    assert len((await change(client, "/models/mine/scale", workers=2))["workers"]) == 2
    cooldowns = {"scale_up_seconds": 0, "scale_down_seconds": 0, "quiet_seconds": 0.1}
    await change(client, "/autoscaler/config", cooldowns=cooldowns)
    torchserve.hold()
    asked = [asyncio.create_task(ask(client)) for _ in range(60)]
    await until(lambda: (MINE, 3) in torchserve.scalings)
    torchserve.release()
    assert await asyncio.gather(*asked) == [200] * 60
    await until(lambda: torchserve.scalings[-1] == (MINE, 1))


@pytest.mark.parametrize("version", ["1.0", "2.0"])
async def test_a_rewritten_archive_replaces_the_loaded_one_without_refusals(
    start_mine: Start, torchserve: FakeTorchServe, store: Path, version: str
) -> None:
    client = await start_mine(watch_model_store=True)
    before = model_of(client, MINE).identity
    statuses: list[int] = []

    async def go_on() -> None:
        while model_of(client, MINE).identity == before:
            statuses.append(await ask(client))

    asking = asyncio.create_task(go_on())
    await until(lambda: statuses)
    put(store, torchserve, "mine.mar", version)
    await asking
    await until_state("ready", client, MINE)
    assert set(statuses) == {200}
    assert torchserve.models[MINE]["modelVersion"] == version
    assert await ask(client) == 200


async def test_a_second_version_is_made_the_default_and_rolled_back(
    start_mine: Start, torchserve: FakeTorchServe, store: Path
) -> None:
    put(store, torchserve, "newer.mar", "2.0")
    client = await start_mine()
    shown = await change(client, "/models/mine/load", version="2.0")
    assert shown["loaded_versions"] == ["1.0", "2.0"]
    for version in ("2.0", "1.0"):
        await change(client, "/models/mine/default", version=version)
        assert await ask(client) == 200
        assert torchserve.answered[-1] == (MINE, version)


async def test_an_own_model_is_evicted_and_reloaded(
    start: StartSidecar, torchserve: FakeTorchServe, store: Path
) -> None:
    for key in ("mine", "other"):
        put(store, torchserve, f"{key}.mar", "1.0", key)
    catalog = {"mine": {"handler": "own", "auto_load": True}, "other": {"handler": "own"}}
    client = await start(catalog=catalog, model_store=store, max_loaded_models=1)
    assert await ask(client, path="/predictions/other") == 200
    assert model_of(client, "mine").state.shown == "idle"
    assert await ask(client, path="/predictions/mine") == 200
    assert model_of(client, "other").state.shown == "idle"


async def test_it_is_measured(start_mine: Start, torchserve: FakeTorchServe) -> None:
    client = await start_mine()
    assert [await ask(client) for _ in range(3)] == [200] * 3
    text = await (await client.get("/metrics")).text()
    samples = [sample for each in text_string_to_metric_families(text) for sample in each.samples]
    of_mine = [each for each in samples if each.labels.get("model") == MINE]
    counts = {each.name: each.value for each in of_mine if each.name.endswith("_count")}
    assert counts["sidecar_torchserve_seconds_count"] == 3
    assert counts["sidecar_queue_wait_seconds_count"] == 3
    (route,) = {
        each.labels["route"]
        for each in samples
        if each.name == "sidecar_requests_total" and each.value == 3
    }
    assert route == "/predictions/{name}"


async def test_an_own_model_has_limits_for_all_clients_together(start_mine: Start) -> None:
    client = await start_mine({"limits": {"requests_per_second": 0.02, "burst": 2}})
    assert [await ask(client) for _ in range(3)] == [200, 200, 429]


async def test_answers_of_an_own_model_are_cached_if_its_entry_says_so(
    start_mine: Start, torchserve: FakeTorchServe
) -> None:
    client = await start_mine({"cache": True})
    body = {"model_name": MINE, "inputs": {"a": 1}}
    paths = []
    for _ in range(2):
        answer = await (await client.post("/predict", json=body)).json()
        assert answer["result"] == {"a": 1}
        paths.append(answer["model_info"]["processing_path"])
    assert paths[1] == "cached"
    assert len(torchserve.requests) == 1


async def test_a_drain_answers_queued_and_running_requests(
    start_mine: Start, torchserve: FakeTorchServe
) -> None:
    client = await start_mine({"inference": {"batch_size": 2}}, drain_seconds=20.0)
    torchserve.hold()
    asked = [asyncio.create_task(ask(client)) for _ in range(12)]
    await until(lambda: services_of(client).statistics.active >= len(asked))
    draining = asyncio.create_task(leave(client))
    await until(services_of(client).draining.is_set)
    assert await ask(client) == 503
    torchserve.release()
    assert await asyncio.gather(*asked) == [200] * len(asked)
    await draining
