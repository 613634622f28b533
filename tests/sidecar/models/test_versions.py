"""Versions of one model side by side: in front of the fake TorchServe."""

import json
import zipfile
from pathlib import Path
from typing import Any

import pytest

from tests.fake_torchserve import FakeTorchServe, Spoken
from tests.sidecar.conftest import CATALOG, ECHO, Client, StartSidecar
from tests.sidecar.models.test_sleep_and_wake import ask, change, model_of, services_of, until_state
from tests.sidecar.routes.test_speech_refusals import CLIP, FINDING, LISTENING, SPEAKING

RECORDING = f"data:audio/wav;base64,{CLIP}"  # a second


@pytest.fixture
async def both(
    start: StartSidecar, torchserve: FakeTorchServe, monkeypatch: pytest.MonkeyPatch
) -> Client:
    """Version 1.0 is the default, and 2.0 lies beside it in the model store."""
    torchserve.archives |= {"echo-2.0.mar"}
    torchserve.versions = {"echo-2.0.mar": "2.0"}
    monkeypatch.setattr(
        "sidecar.models.versions.find_version",
        lambda _, key, version: f"{key}-{version}.mar" if version == "2.0" else None,
    )
    return await start(catalog=CATALOG | {"echo": ECHO | {"cache": True}})


async def set_default(client: Client, version: str, status: int = 200) -> Any:
    return await change(client, "/models/echo/default", status, version=version)


async def test_a_second_version_is_made_the_default_and_rolled_back(both: Client) -> None:
    shown = await change(both, "/models/echo/load", version="2.0")
    assert (shown["version"], shown["loaded_versions"]) == ("1.0", ["1.0", "2.0"])
    assert (await set_default(both, "2.0"))["version"] == "2.0"
    assert await ask(both) == 200
    assert (await set_default(both, "1.0"))["version"] == "1.0"
    await change(both, "/models/echo/unload", 400, version="1.0")
    shown = await change(both, "/models/echo/unload", version="2.0")
    assert shown["loaded_versions"] == ["1.0"]
    await change(both, "/models/echo/load", 404, version="3.0")


async def test_a_default_whose_workers_die_can_be_rolled_back(
    both: Client, torchserve: FakeTorchServe
) -> None:
    await change(both, "/models/echo/load", version="2.0")
    await set_default(both, "2.0")
    torchserve.models["echo"]["workersStatus"] = "WORKER_ERROR"
    model_of(both).ready_at = float("-inf")  # long ago: their time to restart is over
    services_of(both).reconciler.nudge()
    await until_state("failed", both)
    assert (await set_default(both, "1.0"))["state"] == "ready"
    assert await ask(both) == 200


async def test_a_failed_default_version_is_unloaded_with_the_others_and_reloaded(
    both: Client, torchserve: FakeTorchServe
) -> None:
    await change(both, "/models/echo/load", version="2.0")
    await set_default(both, "2.0")
    model_of(both).mark_failed("as if its workers had died")
    model_of(both).retry.end_pause()
    services_of(both).reconciler.nudge()
    await until_state("ready", both)
    assert torchserve.models["echo"]["modelVersion"] == "1.0"
    assert not torchserve.others["echo"]


async def test_no_version_without_a_worker_is_made_the_default(
    both: Client, torchserve: FakeTorchServe
) -> None:
    await change(both, "/models/echo/load", version="2.0")
    torchserve.others["echo"]["2.0"]["workersStatus"] = "WORKER_ERROR"
    refusal = await set_default(both, "2.0", 503)
    assert refusal["detail"] == "version: no worker of 2.0 is READY"
    assert await ask(both) == 200


async def test_a_change_refused_by_torchserve_changes_nothing(
    both: Client, torchserve: FakeTorchServe
) -> None:
    await change(both, "/models/echo/load", version="2.0")
    torchserve.refuses_defaults = True
    refusal = await set_default(both, "2.0", 503)
    assert refusal["detail"] == "TorchServe did not make the change; server.log says why"
    assert model_of(both).state.shown == "ready"
    assert await ask(both) == 200


async def test_results_are_not_cached_across_default_versions(
    both: Client, torchserve: FakeTorchServe
) -> None:
    for version in ("1.0", "2.0", "1.0"):
        await change(both, "/models/echo/load", version="2.0")
        await set_default(both, version)
        jobs = len(torchserve.jobs)
        assert [await ask(both), await ask(both)] == [200, 200]
        assert len(torchserve.jobs) == jobs + 1


async def test_a_version_needs_room_for_its_workers(
    start: StartSidecar, both: Client, torchserve: FakeTorchServe
) -> None:
    large = ECHO | {"requirements": {"min_memory_mb": 100}}
    client = await start(catalog=CATALOG | {"echo": large}, memory_budget_mb=150)
    refusal = await change(client, "/models/echo/load", 503, version="2.0")
    assert refusal["detail"] == "version: the budget has no room for the workers of 2.0"
    assert await ask(client) == 200


async def predict(client: Client, status: int = 200, **fields: Any) -> Any:
    body = {"model_name": "echo", "inputs": [1, 2, 3]} | fields
    response = await client.post("/predict", json=body)
    answer = await response.json()
    assert response.status == status, answer
    return answer


async def test_an_answer_names_its_version_and_a_request_can_choose_one(
    both: Client, torchserve: FakeTorchServe
) -> None:
    await change(both, "/models/echo/load", version="2.0")
    assert (await predict(both))["model_info"]["version"] == "1.0"
    chosen = await predict(both, version="2.0", inputs=[[1], [2], [3]])
    assert (chosen["model_info"]["version"], chosen["result"]) == ("2.0", [[1], [2], [3]])
    assert [len(job) for job in torchserve.jobs[-3:]] == [1, 1, 1]  # no other version among them
    assert (await predict(both, version="1.0"))["model_info"]["version"] == "1.0"
    refused = await predict(both, 404, version="3.0")
    assert refused["detail"] == "version: echo has no version 3.0"
    assert (await predict(both, 422, version="two"))["detail"].startswith("version: ")
    await set_default(both, "2.0")
    assert (await predict(both))["model_info"]["version"] == "2.0"
    assert (await predict(both, version="1.0"))["model_info"]["version"] == "1.0"


async def test_a_version_in_a_path_is_the_one_that_answers(
    both: Client, torchserve: FakeTorchServe
) -> None:
    await change(both, "/models/echo/load", version="2.0")
    for version in ("1.0", "2.0"):
        response = await both.post(f"/predictions/echo/{version}", data=b"[1, 2]")
        assert (response.status, await response.json()) == (200, [1, 2])
        assert torchserve.answered[-1] == ("echo", version)
    refused = await both.post("/predictions/echo/3.0", data=b"[1, 2]")
    assert refused.status == 404
    assert (await refused.json())["detail"] == "version: echo has no version 3.0"


async def with_second_versions(
    start: StartSidecar, torchserve: FakeTorchServe, store: Path, **entries: dict[str, Any]
) -> Client:
    """Return a sidecar whose models are at 1.0, with 2.0 of each loaded beside it."""
    for key in entries:
        for name, version in ((f"{key}.mar", "1.0"), (f"{key}-2.0.mar", "2.0")):
            write_archive(store / name, key, version)
            torchserve.versions[name] = version
            torchserve.archives.add(name)
    client = await start(catalog=entries, model_store=store)
    for key in entries:
        await change(client, f"/models/{key}/load", version="2.0")
    return client


def write_archive(path: Path, key: str, version: str) -> None:
    manifest = {"model": {"modelName": key, "modelVersion": version, "handler": "mine.py"}}
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("MAR-INF/MANIFEST.json", json.dumps(manifest))


async def test_a_voice_speaks_in_the_version_that_is_asked_for(
    start: StartSidecar, torchserve: FakeTorchServe, tmp_path: Path
) -> None:
    torchserve.answer = lambda _: Spoken(bytes(4800))
    voice = SPEAKING | {"auto_load": True}
    client = await with_second_versions(start, torchserve, tmp_path, voice=voice)
    texts = ["Good morning. And good night.", "Hello."]
    for version, given in (("2.0", "2.0"), ("1.0", "1.0"), ("1.0", None)):
        torchserve.answered.clear()
        spoken = await predict(client, model_name="voice", inputs=texts, version=given)
        assert spoken["model_info"]["version"] == version
        assert torchserve.answered == [("voice", version)] * len(torchserve.answered)
        assert torchserve.answered
    refused = await predict(client, 404, model_name="voice", inputs="Hello.", version="3.0")
    assert refused["detail"] == "version: voice has no version 3.0"


@pytest.mark.parametrize("speech", [0.9, 0.0])
async def test_a_recogniser_listens_in_the_version_that_is_asked_for(
    start: StartSidecar, torchserve: FakeTorchServe, tmp_path: Path, speech: float
) -> None:
    def answer(_: Any) -> Any:
        if torchserve.answered[-1][0] == "finder":
            return {"probabilities": [speech] * 32, "state": ""}
        return {"text": "hello", "segments": []}

    torchserve.answer = answer
    models = {"ears": LISTENING | {"auto_load": True}, "finder": FINDING | {"auto_load": True}}
    client = await with_second_versions(start, torchserve, tmp_path, **models)
    for version in ("2.0", "1.0"):
        torchserve.answered.clear()
        heard = await predict(client, model_name="ears", inputs=RECORDING, version=version)
        assert heard["model_info"]["version"] == version
        listened = [("ears", version)] if speech else []
        assert torchserve.answered == [("finder", "1.0"), *listened]
    found = await predict(client, model_name="finder", inputs=RECORDING, version="2.0")
    assert found["model_info"]["version"] == "2.0"
    assert torchserve.answered[-1] == ("finder", "2.0")


async def test_an_own_handler_answers_in_the_requested_version(
    start: StartSidecar, torchserve: FakeTorchServe, tmp_path: Path
) -> None:
    mine = {"handler": "own", "auto_load": True}
    client = await with_second_versions(start, torchserve, tmp_path, mine=mine)
    for version in ("2.0", "1.0"):
        torchserve.answered.clear()
        inputs = [[1, 2], [3, 4]]
        answered = await predict(client, model_name="mine", inputs=inputs, version=version)
        assert answered["result"] == inputs
        assert answered["model_info"]["version"] == version
        assert torchserve.answered == [("mine", version)] * 2
    refused = await predict(client, 404, model_name="mine", version="3.0")
    assert refused["detail"] == "version: mine has no version 3.0"


async def test_unloading_the_default_says_what_cannot_be_done(both: Client) -> None:
    await change(both, "/models/echo/load", version="2.0")
    refused = await change(both, "/models/echo/unload", 400, version="1.0")
    assert refused["error"] == "This cannot be done with this version"
    advice = "make another version the default first"
    assert refused["detail"] == f"version: 1.0 is the default; {advice}"
