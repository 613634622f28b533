"""Models that have to share memory: in front of the fake TorchServe."""

import asyncio
from typing import Any

from tests.fake_torchserve import FakeTorchServe
from tests.sidecar.conftest import CATALOG, ECHO, StartSidecar
from tests.sidecar.models.test_sleep_and_wake import ask, change, model_of, services_of


async def test_the_least_recently_used_model_is_evicted(
    start: StartSidecar, torchserve: FakeTorchServe
) -> None:
    torchserve.archives |= {"matrix.mar"}
    client = await start(max_loaded_models=2)
    assert [await ask(client, name) for name in ("other", "echo")] == [200, 200]
    assert (
        await client.post("/predict", json={"model_name": "matrix", "inputs": [[1]]})
    ).status == 200
    assert model_of(client, "other").state.shown == "idle"
    assert model_of(client, "echo").state.shown == "ready"


async def test_a_load_without_evictable_models_has_no_room(
    start: StartSidecar, torchserve: FakeTorchServe
) -> None:
    catalog = CATALOG | {"echo": ECHO | {"pinned": True}}
    client = await start(catalog=catalog, max_loaded_models=1)
    response = await client.post("/predict", json={"model_name": "other", "inputs": 1})
    assert response.status == 503
    answer = await response.json()
    assert answer["error"] == "There is no room for the model"
    assert answer["detail"] == "model_name: other: the models in memory are busy or pinned"
    assert await ask(client) == 200


async def test_a_model_larger_than_the_budget_is_never_loaded(start: StartSidecar) -> None:
    large = ECHO | {"auto_load": False, "requirements": {"min_memory_mb": 101}}
    client = await start(catalog=CATALOG | {"other": large}, memory_budget_mb=100)
    response = await client.post("/predict", json={"model_name": "other", "inputs": 1})
    assert response.status == 503
    assert (await response.json())[
        "detail"
    ] == "model_name: other: it is too large: it needs 101 MB, and the budget is 100 MB"


async def test_a_start_evicts_nobody_and_a_model_without_room_wakes_later(
    start: StartSidecar,
) -> None:
    client = await start(catalog=CATALOG | {"other": ECHO}, max_loaded_models=1)
    states = {key: model_of(client, key).state.shown for key in ("echo", "other")}
    assert states == {"echo": "ready", "other": "archived"}
    assert (await client.get("/readyz")).status == 200
    assert await ask(client, "other") == 200
    assert model_of(client).state.shown == "idle"


async def test_at_the_start_others_are_evicted_for_a_pinned_model(start: StartSidecar) -> None:
    late = ECHO | {"pinned": True, "load_priority": 200}
    client = await start(catalog=CATALOG | {"other": late}, max_loaded_models=1)
    assert model_of(client, "other").state.shown == "ready"
    assert model_of(client).state.shown in ("idle", "archived")


async def test_workers_are_not_added_beyond_the_budget(
    start: StartSidecar, torchserve: FakeTorchServe
) -> None:
    growing = ECHO | {
        "requirements": {"min_memory_mb": 100},
        "inference": {"workers": {"min": 1, "max": 3}},
    }
    client = await start(catalog=CATALOG | {"echo": growing}, memory_budget_mb=250)
    assert len((await change(client, "/models/echo/scale", workers=2))["workers"]) == 2
    refusal = await change(client, "/models/echo/scale", 503, workers=3)
    assert refusal["detail"] == "workers: the budget has no room for 3 workers of echo"
    assert ("echo", 3) not in torchserve.scalings


async def test_one_eviction_makes_room_for_two_models(
    start: StartSidecar, torchserve: FakeTorchServe
) -> None:
    torchserve.archives |= {"matrix.mar"}

    def of(megabytes: int) -> dict[str, Any]:
        return ECHO | {"auto_load": False, "requirements": {"min_memory_mb": megabytes}}

    catalog = {"echo": of(100) | {"auto_load": True}, "other": of(50), "matrix": of(50)}
    client = await start(catalog=catalog, memory_budget_mb=100)
    answers = await asyncio.gather(ask(client, "other"), ask(client, "matrix"))
    assert set(answers) == {200}
    assert model_of(client).state.shown == "idle"


async def test_no_model_is_loaded_beside_one_that_stays(start: StartSidecar) -> None:
    client = await start(max_loaded_models=1)
    for _ in range(20):
        answers = await asyncio.gather(ask(client, "other"), ask(client), ask(client))
        assert set(answers) <= {200, 503}
        assert sum(each.in_memory for each in services_of(client).models.values()) <= 1
    assert await ask(client) == await ask(client, "other") == 200


async def test_a_model_counts_with_all_workers_while_they_are_started(
    start: StartSidecar,
) -> None:
    growing = ECHO | {
        "requirements": {"min_memory_mb": 100},
        "inference": {"workers": {"min": 3, "max": 3}},
    }
    client = await start(catalog=CATALOG | {"echo": growing})
    model = model_of(client)
    model.workers = []
    model.begin(asyncio.sleep(0), "load")
    (resident,) = services_of(client).room.residents()
    assert resident.memory_mb == 300
    assert model.operation is not None
    await model.operation
