"""Models to zero and back, scaled, evicted, failing: in front of the fake TorchServe."""

import asyncio
import time
from typing import Any

import jwt
import pytest

from sidecar.models.model import Model
from sidecar.models.states import State
from sidecar.program import PROGRAM, Program
from sidecar.scheduling.entry import Reply
from sidecar.scheduling.scheduler import InferenceRequest
from tests.fake_torchserve import FakeTorchServe
from tests.sidecar.conftest import CATALOG, ECHO, SECRET, Client, StartSidecar
from tests.waiting import let_the_loop_turn, until

SLEEPY = CATALOG | {"echo": ECHO | {"idle_seconds": 0.2}}
CONTROL = {"other": ECHO | {"idle_seconds": 0.2}}  # it sleeps, while the model under test must not
QUICK = {"autoscale_seconds": 0.02}


def services_of(client: Client) -> Program:
    assert client.app is not None
    services: Program = client.app[PROGRAM]
    return services


def model_of(client: Client, key: str = "echo") -> Model:
    return services_of(client).models[key]


async def until_state(state: str, client: Client, key: str = "echo") -> None:
    await until(lambda: model_of(client, key).state.shown == state)


async def until_idle_for(seconds: float, client: Client, key: str = "echo") -> None:
    """Wait until nobody has asked the model for *seconds*, and the autoscaler has seen that."""
    autoscaler, model = services_of(client).autoscaler, model_of(client, key)
    await until(lambda: (autoscaler.idle_seconds(model) or 0.0) > seconds)
    autoscaler.think()


async def ask(client: Client, model: str = "echo", **fields: Any) -> int:
    body = {"model_name": model, "inputs": [1, 2, 3]} | fields
    return (await client.post("/predict", json=body)).status


def admin() -> dict[str, str]:
    claims = {"sub": "ops", "scope": "admin", "exp": int(time.time()) + 7200}
    return {"Authorization": f"Bearer {jwt.encode(claims, SECRET, 'HS256')}"}


async def change(client: Client, path: str, status: int = 200, **body: Any) -> Any:
    response = await client.post(path, json=body, headers=admin())
    answer = await response.json()
    assert response.status == status, answer
    return answer


async def test_an_idle_model_sleeps_and_the_next_request_wakes_it(
    start: StartSidecar, torchserve: FakeTorchServe
) -> None:
    client = await start(catalog=SLEEPY, **QUICK)
    await until_state("idle", client)
    assert torchserve.scalings == [("echo", 1), ("echo", 0)]
    assert (await client.get("/readyz")).status == 200
    assert await ask(client) == 200
    assert torchserve.scalings[:3] == [("echo", 1), ("echo", 0), ("echo", 1)]
    assert services_of(client).history.counts["wake"] == 1


async def test_a_model_in_use_does_not_sleep(
    start: StartSidecar, torchserve: FakeTorchServe
) -> None:
    client = await start(catalog=SLEEPY | CONTROL, **QUICK)
    torchserve.hold()
    asked = asyncio.create_task(ask(client))
    await until_state("idle", client, "other")
    await until_idle_for(0.2, client)
    assert model_of(client).state.shown == "ready"
    torchserve.release()
    assert await asked == 200
    await until_state("idle", client)


@pytest.mark.parametrize("rule", [{"pinned": True}, {"idle_seconds": None}])
async def test_pinned_models_and_models_without_an_idle_time_never_sleep(
    start: StartSidecar, rule: dict[str, Any]
) -> None:
    echo = ECHO | {"idle_seconds": 0.2} | rule
    client = await start(catalog=CATALOG | {"echo": echo} | CONTROL, **QUICK)
    await until_state("idle", client, "other")
    await until_idle_for(0.2, client)
    assert model_of(client).state.shown == "ready"
    assert model_of(client).operation is None


async def test_scaling_to_zero_can_be_switched_off_while_it_runs(
    start: StartSidecar, torchserve: FakeTorchServe
) -> None:
    client = await start(catalog=SLEEPY, **QUICK)
    torchserve.hold()
    asked = asyncio.create_task(ask(client))  # it is awake as long as that takes
    await until(lambda: torchserve.jobs)
    changed = await change(client, "/autoscaler/config", zero_scaling_enabled=False)
    assert changed["updated_fields"] == ["zero_scaling_enabled"]
    torchserve.release()
    assert await asked == 200
    await until_idle_for(0.2, client)
    assert model_of(client).state.shown == "ready"
    health = await (await client.get("/health")).json()
    assert health["autoscaler"]["components"]["zero_scaler"]["status"] == "disabled"
    await change(client, "/autoscaler/config", zero_scaling_enabled=True)
    await until_state("idle", client)


async def test_requests_during_a_wake_share_it(
    start: StartSidecar, torchserve: FakeTorchServe
) -> None:
    client = await start()
    await change(client, "/models/echo/scale", workers=0)
    assert await asyncio.gather(*(ask(client) for _ in range(50))) == [200] * 50
    assert services_of(client).history.counts["wake"] == 1
    assert torchserve.scalings == [("echo", 1), ("echo", 0), ("echo", 1)]


async def test_requests_that_come_as_a_model_falls_asleep_are_answered(
    client: Client,
) -> None:
    model = model_of(client)
    for turns in range(40):
        await until(lambda: model.state is State.READY and model.operation is None)
        services_of(client).operations.put_to_sleep(model, "nobody asks")
        await let_the_loop_turn(turns)
        assert await ask(client) == 200
    assert services_of(client).history.counts["scale_to_zero"] > 3


async def test_waiting_requests_are_told_why_no_worker_became_ready(
    start: StartSidecar, torchserve: FakeTorchServe
) -> None:
    echo = ECHO | {"idle_seconds": 0.2, "inference": {"startup_timeout_seconds": 1}}
    client = await start(catalog=CATALOG | {"echo": echo}, **QUICK)
    await until_state("idle", client)
    torchserve.workers_status = "LOADING"
    statuses = await asyncio.gather(*(ask(client) for _ in range(5)))
    assert statuses == [503] * 5
    assert torchserve.scalings[-1] == ("echo", 0)
    health = await (await client.get("/health")).json()
    assert health["failing_models"] == {
        "echo": "no worker was READY within 1 s; the log of TorchServe may say why"
    }
    torchserve.workers_status = "READY"
    await change(client, "/models/echo/load")
    assert await ask(client) == 200


async def test_a_load_that_fails_is_told_and_tried_again(
    start: StartSidecar, torchserve: FakeTorchServe
) -> None:
    torchserve.broken = {"other.mar"}
    client = await start()
    assert await ask(client, "other") == 503
    refused = await client.post("/models/other/load", json={}, headers=admin())
    assert refused.status == 503
    shown = await (await client.get("/models/other")).json()
    assert (shown["state"], shown["error"]) == (
        "failed",
        "its workers die as they load; the log of TorchServe may say why",
    )
    torchserve.broken = set()
    await change(client, "/models/other/load")
    assert await ask(client, "other") == 200


async def test_workers_follow_the_load_up_and_down(
    start: StartSidecar, torchserve: FakeTorchServe
) -> None:
    workers = {"workers": {"min": 1, "max": 3}, "max_batch_size": 1}
    client = await start(catalog=CATALOG | {"echo": ECHO | {"inference": workers}}, **QUICK)
    cooldowns = {"scale_up_seconds": 0, "scale_down_seconds": 0, "quiet_seconds": 0.1}
    await change(client, "/autoscaler/config", cooldowns=cooldowns)
    torchserve.hold()
    asked = [asyncio.create_task(ask(client)) for _ in range(40)]
    await until(lambda: ("echo", 3) in torchserve.scalings)
    torchserve.release()
    assert await asyncio.gather(*asked) == [200] * 40
    await until(lambda: torchserve.scalings[-1] == ("echo", 1))
    assert await ask(client) == 200


async def test_workers_that_die_as_they_load_are_not_asked_for_any_longer(
    start: StartSidecar, torchserve: FakeTorchServe
) -> None:
    client = await start(catalog=CATALOG | {"echo": ECHO | {"inference": {"workers": {"max": 2}}}})
    torchserve.ready_at_most = 1
    refused = await change(client, "/models/echo/scale", 503, workers=2)
    assert refused["detail"] == "workers: 2 workers did not start; server.log says why"
    assert torchserve.scalings[-2:] == [("echo", 2), ("echo", 1)]
    shown = await (await client.get("/models/echo")).json()
    assert (shown["state"], len(shown["workers"])) == ("ready", 1)
    assert await ask(client) == 200


async def test_a_model_is_unloaded_and_loaded_by_hand(
    start: StartSidecar, torchserve: FakeTorchServe
) -> None:
    client = await start()
    assert (await change(client, "/models/echo/unload"))["state"] == "archived"
    assert "echo" not in torchserve.models
    assert (await change(client, "/models/echo/load"))["state"] == "ready"
    assert (await change(client, "/models/echo/scale", workers=0))["state"] == "idle"
    assert await ask(client) == 200
    await change(client, "/models/echo/scale", 422, workers=2)
    await change(client, "/models/nobody/load", 404)
    await change(client, "/models/disabled/load", 404)


async def test_changes_need_the_admin_scope_and_reading_does_not(client: Client) -> None:
    for path in ("/models/echo/load", "/models/echo/unload", "/autoscaler/config"):
        assert (await client.post(path, json={})).status == 401
    assert (await client.post("/autoscaler/scale", json={})).status == 401
    for path in ("stats", "health", "config", "history"):
        assert (await client.get(f"/autoscaler/{path}")).status == 200
    for path in ("/models", "/models/echo"):
        assert (await client.get(path)).status == 200


async def test_scale_does_what_it_says_and_tells_the_steps(client: Client) -> None:
    answer = await change(client, "/autoscaler/scale", action="zero_scale", models=["echo"])
    assert answer["status"] == "completed"
    (step,) = answer["steps"]
    assert (step["workers_before"], step["workers_after"], step["state"]) == (1, 0, "idle")
    answer = await change(client, "/autoscaler/scale", action="load_model", models=["echo"])
    assert answer["steps"][0]["state"] == "ready"
    history = await (await client.get("/autoscaler/history?event_types=wake,scale_to_zero")).json()
    assert history["summary"] == {"wake": 1, "scale_to_zero": 1}
    assert [event["type"] for event in history["events"]] == ["wake", "scale_to_zero"]
    await change(client, "/autoscaler/scale", 404, action="load_model", models=["nobody"])
    await change(
        client, "/autoscaler/scale", 422, action="zero_scale", models=["echo"], target_replicas=1
    )


@pytest.mark.parametrize(
    "body",
    [
        {"scaling_strategy": "predictive"},
        {"thresholds": {"cpu": 70}},
        {"cooldowns": {"quiet_seconds": -1}},
        {"replicas": {"max": 5}},
    ],
)
async def test_unsupported_autoscaler_changes_are_refused(
    client: Client, body: dict[str, Any]
) -> None:
    await change(client, "/autoscaler/config", 422, **body)


async def test_the_list_of_models_tells_states_and_groups(client: Client) -> None:
    listed = await (await client.get("/models")).json()
    assert listed["models_info"]["echo"]["state"] == "ready"
    assert listed["models_info"]["disabled"]["state"] == "disabled"
    assert "disabled" not in listed["available_models"]
    assert listed["total_models"] == len(CATALOG)
    assert listed["model_groups"]["demo"]
    assert listed["deployment_info"]["auto_load_models"] == ["echo"]


async def test_two_simultaneous_requests_to_sleep_both_succeed(client: Client) -> None:
    done = await asyncio.gather(
        *(change(client, "/models/echo/scale", workers=0) for _ in range(3)),
        *(change(client, "/models/echo/load") for _ in range(3)),
    )
    assert {shown["name"] for shown in done} == {"echo"}


async def test_an_entry_queued_for_a_sleeping_model_wakes_it(client: Client) -> None:
    """As an input of a long recording does, when its model was put to sleep in the midst of it."""
    await change(client, "/models/echo/scale", workers=0)
    work = InferenceRequest("echo", [b"1"], priority=5, timeout=5, arrived=time.monotonic())
    (reply,) = await services_of(client).scheduler.run(work)
    assert isinstance(reply, Reply)


async def test_a_sleeping_model_wakes_by_scaling_up_not_down(
    client: Client,
) -> None:
    await change(client, "/models/echo/scale", workers=0)
    down = await change(client, "/autoscaler/scale", action="scale_down", models=["echo"])
    assert (down["steps"][0]["workers_after"], down["steps"][0]["state"]) == (0, "idle")
    up = await change(client, "/autoscaler/scale", action="scale_up", models=["echo"])
    assert (up["steps"][0]["workers_after"], up["steps"][0]["state"]) == (1, "ready")
