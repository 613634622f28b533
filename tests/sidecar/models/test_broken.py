"""One broken entry or model: the others are served, and the fault is reported once."""

import asyncio
import json
import logging
from pathlib import Path
from typing import Any, Literal

import pytest

from sidecar.announcement import announce
from sidecar.program import Program
from sidecar.settings import Secret, Settings
from tests.fake_torchserve import FakeTorchServe
from tests.sidecar.conftest import CATALOG, ECHO, SECRET, Client, StartSidecar
from tests.sidecar.models.test_sleep_and_wake import ask, change, model_of, services_of, until_state
from tests.sidecar.torchserve.test_worker_log import failure
from tests.waiting import until

WRONG = CATALOG | {"wrong": ECHO | {"task": "tensr"}}
LOST = CATALOG | {"other": ECHO}
SENTENCE = "my_net has no model class MyNett"


async def ready(client: Client) -> int:
    return (await client.get("/readyz")).status


async def health(client: Client) -> dict[str, str]:
    failing: dict[str, str] = (await (await client.get("/health")).json())["failing_models"]
    return failing


@pytest.mark.parametrize(("strict", "status"), [(None, 200), (True, 503)])
async def test_a_setting_decides_whether_a_wrong_entry_prevents_readiness(
    start: StartSidecar, strict: bool | None, status: int
) -> None:
    client = await start(catalog=WRONG, ready=False, require_all_models=strict)
    await until_state("ready", client)
    assert await ask(client) == 200
    assert await ready(client) == status
    said = "wrong: task: 'tensr' is not allowed; expected one of: "
    assert said in (await health(client))["wrong"]
    refused = await client.post("/predict", json={"model_name": "wrong", "inputs": 1})
    assert refused.status == 404
    assert said in (await refused.json())["detail"]
    shown = await client.get("/models/wrong")
    assert (shown.status, said in (await shown.json())["detail"]) == (404, True)


@pytest.mark.parametrize(
    ("settings", "status"),
    [
        ({}, 200),
        ({"require_all_models": True}, 503),
        ({"environment": "production"}, 503),
        ({"environment": "production", "require_all_models": False}, 200),
    ],
)
async def test_a_model_that_cannot_be_loaded_counts_as_the_setting_says(
    start: StartSidecar, torchserve: FakeTorchServe, settings: dict[str, Any], status: int
) -> None:
    torchserve.broken = {"other.mar"}
    client = await start(catalog=LOST, ready=False, **settings)
    await until_state("failed", client, "other")
    await until_state("ready", client)
    assert await ready(client) == status
    assert list(await health(client)) == ["other"]
    model_of(client, "other").retry.end_pause()
    torchserve.slow = {"other.mar"}
    services_of(client).reconciler.nudge()
    await until_state("loading", client, "other")
    assert await ready(client) == status  # also while it is tried again
    assert list(await health(client)) == ["other"]


async def test_a_failed_model_that_an_operator_loads_is_not_usable_before_it_is_ready(
    start: StartSidecar, torchserve: FakeTorchServe
) -> None:
    torchserve.broken = {"other.mar"}
    client = await start(catalog=LOST, ready=False, require_all_models=True)
    await until_state("failed", client, "other")
    torchserve.slow, torchserve.broken = {"other.mar"}, set()
    loading = asyncio.create_task(change(client, "/models/other/load"))
    await until(lambda: "workersStatus" in torchserve.models.get("other", {}))  # it is loading
    assert model_of(client, "other").state.shown == "loading"
    assert await ready(client) == 503
    torchserve.models["other"]["workersStatus"] = "READY"
    await loading
    assert await ready(client) == 200


async def test_a_server_of_which_no_model_can_be_loaded_is_not_ready(
    start: StartSidecar, torchserve: FakeTorchServe
) -> None:
    torchserve.broken = {"echo.mar"}
    client = await start(ready=False)
    await until_state("failed", client)
    assert await ready(client) == 503


async def test_the_sentence_of_a_handler_is_shown_everywhere_and_logged_once(
    start: StartSidecar,
    torchserve: FakeTorchServe,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO)
    log = tmp_path / "workers.log"
    client = await start(torchserve_worker_log=log)
    torchserve.broken = {"other.mar"}
    for _ in range(4):
        loading = asyncio.create_task(change(client, "/models/other/load", 503))

        def has_ended(loading: asyncio.Task[Any] = loading) -> bool:
            with log.open("a") as file:
                file.write(failure("other", SENTENCE))
            return loading.done()

        await until(has_ended)
        assert SENTENCE in (await loading)["detail"]
    shown = await (await client.get("/models/other")).json()
    assert (shown["state"], shown["error"]) == ("failed", SENTENCE)
    assert (await health(client))["other"] == SENTENCE
    assert caplog.text.count(SENTENCE) == 1


async def test_the_cause_of_death_of_an_archives_own_workers_is_reported(
    start: StartSidecar, torchserve: FakeTorchServe, tmp_path: Path
) -> None:
    log = tmp_path / "workers.log"
    client = await start(torchserve_worker_log=log)
    torchserve.dies_at_registration["other.mar"] = lambda: log.write_text(
        failure("other", SENTENCE)
    )
    refused = await change(client, "/models/other/load", 503)
    assert refused["detail"] == f"model_name: other: {SENTENCE}"


async def test_a_model_whose_files_are_missing_says_which(
    start: StartSidecar, torchserve: FakeTorchServe
) -> None:
    lost = {
        **ECHO,
        "source": "local",
        "path": "my_models/net",
        "handler_options": {"module": "my_net", "class": "MyNet"},
    }
    client = await start(catalog=CATALOG | {"lost": lost})
    await until_state("available", client, "lost")
    assert (await health(client))["lost"] == "path: my_models/net is not there"


async def test_the_terminal_says_what_is_not_ready_and_when_it_is(
    start: StartSidecar, torchserve: FakeTorchServe
) -> None:
    torchserve.broken = {"other.mar"}
    client = await start(catalog=LOST, ready=False, require_all_models=True)
    said: list[str] = []
    announcing = asyncio.create_task(announce(services_of(client), said.append))
    await until(lambda: len(said) == 2)
    assert said[0].startswith("Starting on ")
    assert "Not ready: " in said[1]
    assert "SIDECAR_REQUIRE_ALL_MODELS=false" in said[1]
    assert "  other: its workers die as they load" in said[1]
    torchserve.broken = set()
    await change(client, "/models/other/load")
    await announcing
    assert said[2].startswith("\nReady: ")
    assert "other" not in said[2]


async def test_the_terminal_of_a_ready_server_names_what_is_not_served(
    start: StartSidecar,
) -> None:
    client = await start(catalog=WRONG)
    said: list[str] = []
    await announce(services_of(client), said.append)
    assert len(said) == 2
    assert "Not served:\n  wrong: models-0.json, line 1, column " in said[1]


@pytest.mark.parametrize(
    ("torchserve", "is_there", "refused"),
    [("managed", False, True), ("managed", True, False), ("external", False, False)],
)
def test_an_entry_without_options_is_refused_unless_its_archive_exists(
    tmp_path: Path,
    torchserve: Literal["managed", "external"],
    is_there: bool,
    refused: bool,
) -> None:
    models, store = tmp_path / "models.json", tmp_path / "store"
    models.write_text(json.dumps({"models": {"bare": ECHO}}))
    store.mkdir()
    if is_there:
        (store / "bare.mar").touch()
    settings = Settings(
        torchserve=torchserve,
        models_file=models,
        model_store=store,
        state_dir=tmp_path / "var",
        jwt_secret=Secret(SECRET),
    )
    program = Program(settings, None)
    broken = {
        "bare": "models.json, line 1, column 13: bare: handler_options: "
        "format eager needs module and class"
    }
    assert program.catalog.broken == (broken if refused else {})


async def test_a_changed_file_heals_a_wrong_entry(
    start: StartSidecar, torchserve: FakeTorchServe, tmp_path: Path
) -> None:
    client = await start(catalog=WRONG)
    torchserve.archives.add("wrong.mar")
    healed = CATALOG | {"wrong": ECHO | {"auto_load": False}}
    (tmp_path / "models-0.json").write_text(json.dumps({"models": healed}))
    await services_of(client).catalog_watch.look()
    assert await health(client) == {}
    assert await ask(client, "wrong") == 200
