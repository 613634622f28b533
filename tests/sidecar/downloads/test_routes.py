"""Downloads through the API: a real process fetches, and the model can be asked afterwards."""

import asyncio
import json
import shutil
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import jwt
import pytest

from tests.fake_torchserve import FakeTorchServe
from tests.hub import FakeHub
from tests.sidecar.conftest import CATALOG, SECRET, Client, StartSidecar
from tests.sidecar.downloads.conftest import TINY, Files
from tests.waiting import until, until_awaited

KNOWN = {
    "display_name": "Known",
    "description": "in the catalog, and on the hub",
    "source": "huggingface",
    "model_id": "tests/known",
    "task": "embedding",
    "handler": "text_embedding_handler",
    "size_mb": 1.0,
}
VOICE = KNOWN | {
    "model_id": "tests/voice",
    "task": "speech_synthesis",
    "handler": "speech_synthesis_handler",
    "handler_options": {"network": "auto", "voices": {"default": {}}},
    "speech": {"sample_rate": 16000, "languages": ["en"]},
}
MODELS = CATALOG | {"known": KNOWN, "voice": VOICE}
ASKED = {"source": "huggingface", "model_id": TINY, "name": "tiny"}

StartWithHub = Callable[..., Awaitable[Client]]


@pytest.fixture
async def begin(
    start: StartSidecar, hub: FakeHub, tmp_path: Path, torchserve: FakeTorchServe
) -> AsyncIterator[StartWithHub]:
    """Starts a sidecar with *hub*."""
    torchserve.archives |= {"tiny.mar", "known.mar"}

    async def begin(**settings: Any) -> Client:
        usual: dict[str, Any] = {
            "hub_endpoint": hub.url,
            "model_store": tmp_path / "store",
            "min_free_disk_mb": 1.0,
            "auto_download": "off",
        }
        return await start(catalog=MODELS, **usual | settings)

    yield begin
    hub.release()


def token(scope: str = "admin") -> dict[str, str]:
    claims = {"sub": "tester", "scope": scope, "exp": int(time.time()) + 60}
    return {"Authorization": f"Bearer {jwt.encode(claims, SECRET, 'HS256')}"}


async def ask(
    client: Client, method: str, path: str, status: int = 200, **kwargs: Any
) -> dict[str, Any]:
    response = await client.request(method, path, headers=token(), **kwargs)
    body: dict[str, Any] = await response.json()
    assert response.status == status, body
    return body


async def download_until(
    client: Client, download_id: str, done: Callable[[dict[str, Any]], bool]
) -> dict[str, Any]:
    """Return the status of the download as soon as it is *done*."""
    path = f"/models/download/status/{download_id}"
    return await until_awaited(lambda: ask(client, "GET", path), done)


def ended(body: dict[str, Any]) -> bool:
    return body["status"] in ("completed", "failed", "cancelled")


async def arrived(folder: Path, name: str, size: int) -> None:
    """Wait until *size* bytes of the file *name* are on disk."""

    def is_there() -> bool:
        return any(path.stat().st_size >= size for path in folder.rglob(f"{name}.partial"))

    await until(is_there)


async def predict(client: Client, model: str, status: int) -> dict[str, Any]:
    """Return the answer of *model* once it has *status*: before, it may be loading."""
    body = {"model_name": model, "inputs": "a text"}
    response = await until_awaited(
        lambda: client.post("/predict", json=body),
        lambda response: response.status == status,
    )
    return dict(await response.json())


async def test_a_downloaded_model_answers_and_can_be_removed(
    begin: StartWithHub, hub: FakeHub, checkpoint: Files, tmp_path: Path
) -> None:
    commit = hub.add(TINY, checkpoint)
    client = await begin(hub_token="hf_secret")
    await predict(client, "tiny", 404)
    accepted = await ask(client, "POST", "/models/download", json=ASKED)
    assert (accepted["success"], accepted["model_name"]) == (True, "tiny")
    status = await download_until(client, accepted["download_id"], ended)
    assert (status["status"], status["progress"], status["error"]) == ("completed", 1.0, None)
    assert (await predict(client, TINY, 200))["result"] == "a text"
    info = await ask(client, "GET", "/models/download/tiny/info")
    assert (info["revision"], info["downloaded"], info["state"]) == (commit, True, "ready")
    managed = await ask(client, "GET", "/models/managed")
    assert "tiny" in managed["categories"]["other_models"]
    cache = await ask(client, "GET", "/models/cache/info")
    assert [model["name"] for model in cache["models"]] == ["tiny"]
    assert cache["total_size_mb"] > 1
    again = await ask(client, "POST", "/models/download", json=ASKED)
    assert (again["status"], again["download_id"]) == ("already_exists", None)
    for path in ("/config", "/models/downloads", "/models/available"):
        assert "hf_secret" not in json.dumps(await ask(client, "GET", path))
    assert "Bearer hf_secret" in hub.tokens
    assert not any(b"hf_secret" in path.read_bytes() for path in _files(tmp_path))
    await ask(client, "DELETE", "/models/download/tiny")
    await predict(client, "tiny", 404)
    assert not (tmp_path / "store" / "tiny.mar").exists()
    assert not (tmp_path / "var" / "models" / "tiny").exists()
    await ask(client, "DELETE", "/models/download/tiny", 404)


def _files(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]


async def test_a_model_that_was_downloaded_is_there_after_a_restart(
    begin: StartWithHub, hub: FakeHub, checkpoint: Files
) -> None:
    hub.add(TINY, checkpoint)
    client = await begin()
    accepted = await ask(client, "POST", "/models/download", json=ASKED)
    await download_until(client, accepted["download_id"], ended)
    await client.close()
    client = await begin()
    assert (await predict(client, "tiny", 200))["result"] == "a text"


async def test_two_downloads_of_a_model_are_one(
    begin: StartWithHub, hub: FakeHub, checkpoint: Files
) -> None:
    hub.add(TINY, checkpoint)
    hub.hold()
    client = await begin()
    first = await ask(client, "POST", "/models/download", json=ASKED)
    second = await ask(client, "POST", "/models/download", json=ASKED | {"force": True})
    assert first["download_id"] == second["download_id"]
    assert (await ask(client, "GET", "/models/downloads"))["total"] == 1


async def test_a_second_download_under_one_name_is_refused(
    begin: StartWithHub, hub: FakeHub, checkpoint: Files
) -> None:
    hub.add(TINY, checkpoint)
    hub.hold()
    client = await begin()
    first = await ask(client, "POST", "/models/download", json=ASKED)
    other = ASKED | {"revision": "another"}
    refusal = await ask(client, "POST", "/models/download", 409, json=other)
    assert refusal["detail"] == f"name: tiny is being downloaded as {first['download_id']}"


async def test_a_partial_download_can_be_removed(
    begin: StartWithHub, hub: FakeHub, checkpoint: Files, tmp_path: Path
) -> None:
    hub.add(TINY, checkpoint)
    hub.hold()
    client = await begin()
    accepted = await ask(client, "POST", "/models/download", json=ASKED)
    await arrived(tmp_path, "model.safetensors", 196_608)
    (partial,) = (await ask(client, "GET", "/models/cache/info"))["partial_downloads"]
    assert (partial["name"], partial["size_mb"] >= 0.187) == ("tiny", True)
    await ask(client, "DELETE", "/models/download/tiny")
    assert (await ask(client, "GET", "/models/cache/info"))["partial_downloads"] == []
    await ask(client, "GET", f"/models/download/status/{accepted['download_id']}", 404)
    assert not list((tmp_path / "var" / "downloads").iterdir())
    await ask(client, "DELETE", "/models/download/tiny", 404)


async def test_a_present_model_is_not_downloaded_under_another_name(
    begin: StartWithHub, hub: FakeHub, checkpoint: Files
) -> None:
    hub.add(TINY, checkpoint)
    client = await begin()
    accepted = await ask(client, "POST", "/models/download", json=ASKED)
    await download_until(client, accepted["download_id"], ended)
    again = ASKED | {"name": "second"}
    refusal = await ask(client, "POST", "/models/download", 422, json=again)
    assert refusal["detail"] == f"model_id: {TINY} is already a name of the model tiny"
    alias = {"source": "local", "model_id": "x", "name": "third", "config": {"aliases": ["echo"]}}
    refusal = await ask(client, "POST", "/models/download", 422, json=alias)
    assert refusal["detail"] == "config: echo is already a name of the model echo"


async def test_a_cancelled_download_goes_on_when_it_is_asked_for_again(
    begin: StartWithHub, hub: FakeHub, checkpoint: Files, tmp_path: Path
) -> None:
    hub.add(TINY, checkpoint)
    hub.hold()
    client = await begin()
    accepted = await ask(client, "POST", "/models/download", json=ASKED)
    await arrived(tmp_path, "model.safetensors", 196_608)
    body = await ask(client, "POST", f"/models/download/{accepted['download_id']}/cancel")
    assert (body["status"], body["progress"] < 1) == ("cancelled", True)
    hub.release()
    accepted = await ask(client, "POST", "/models/download", json=ASKED)
    assert (await download_until(client, accepted["download_id"], ended))["status"] == "completed"
    assert hub.gets("model.safetensors") == [None, "bytes=196608-"]


async def test_a_restart_goes_on_with_what_was_not_finished(
    begin: StartWithHub, hub: FakeHub, checkpoint: Files, tmp_path: Path
) -> None:
    hub.add(TINY, checkpoint)
    hub.hold()
    client = await begin()
    accepted = await ask(client, "POST", "/models/download", json=ASKED)
    await arrived(tmp_path, "model.safetensors", 196_608)
    await client.close()
    hub.release()
    client = await begin()
    assert (await download_until(client, accepted["download_id"], ended))["status"] == "completed"
    assert hub.gets("model.safetensors") == [None, "bytes=196608-"]
    assert (await predict(client, "tiny", 200))["result"] == "a text"


async def test_no_more_than_the_set_number_run_at_once(
    begin: StartWithHub, hub: FakeHub, checkpoint: Files, tmp_path: Path
) -> None:
    hub.hold()
    client = await begin(max_downloads=1)
    ids = []
    for name in ("first", "second"):
        hub.add(f"tests/{name}", checkpoint)
        asked = ASKED | {"model_id": f"tests/{name}", "name": name}
        ids.append((await ask(client, "POST", "/models/download", json=asked))["download_id"])
    await arrived(tmp_path, "model.safetensors", 1)
    assert (await ask(client, "GET", f"/models/download/status/{ids[1]}"))["status"] == "pending"
    await ask(client, "POST", f"/models/download/{ids[1]}/cancel")
    await download_until(client, ids[1], ended)


async def test_without_a_hub_the_sentence_says_so(begin: StartWithHub) -> None:
    client = await begin(hub_endpoint="http://127.0.0.1:9")
    asked = {"source": "huggingface", "model_id": "tests/known", "name": "known"}
    accepted = await ask(client, "POST", "/models/download", json=asked)
    status = await download_until(client, accepted["download_id"], ended)
    assert status["status"] == "failed"
    assert status["error"].startswith("the model hub 127.0.0.1:9 cannot be reached from here")
    refused = await predict(client, "known", 404)
    assert "cannot be reached" in refused["detail"]
    assert refused["model_info"]["state"] == "available"


async def test_a_known_model_says_how_to_get_it(begin: StartWithHub) -> None:
    client = await begin()
    refused = await predict(client, "known", 404)
    assert refused["model_info"] == {"model": "known", "available": False, "state": "available"}
    assert "scripts/models download known" in refused["detail"]


async def test_what_is_not_here_and_small_is_recommended(begin: StartWithHub) -> None:
    client = await begin()
    available = await ask(client, "GET", "/models/available")
    assert available["available_models"]["known"]["state"] == "available"
    assert "known" in available["download_recommendations"]["fast_setup"]


async def test_the_first_request_downloads_where_that_is_set(
    begin: StartWithHub, hub: FakeHub, checkpoint: Files
) -> None:
    hub.add("tests/known", checkpoint)
    hub.hold()
    client = await begin(auto_download="catalog")
    response = await client.post("/predict", json={"model_name": "known", "inputs": "a text"})
    body = await response.json()
    assert response.status == 503
    assert int(response.headers["Retry-After"]) > 0
    assert body["model_info"]["state"] == "downloading"
    available = await ask(client, "GET", "/models/available")
    assert available["available_models"]["known"]["state"] == "downloading"
    assert "known" not in available["download_recommendations"]["fast_setup"]
    hub.release()
    await download_until(client, body["download_id"], ended)
    assert (await predict(client, "known", 200))["result"] == "a text"


@pytest.mark.parametrize(
    "settings",
    [{"auto_download": "tts"}, {"auto_download": "catalog", "auto_download_max_mb": 0.5}],
)
async def test_only_allowed_models_are_downloaded_on_demand(
    begin: StartWithHub, hub: FakeHub, settings: dict[str, Any]
) -> None:
    client = await begin(**settings)
    await predict(client, "known", 404)
    refusal = await ask(client, "POST", "/models/known/load", 404, json={})
    assert "scripts/models download known gets it" in refusal["detail"]
    assert (await ask(client, "GET", "/models/downloads"))["total"] == 0
    assert hub.asked == []


@pytest.mark.parametrize("model_id", ["../../etc/passwd", "a/b/c", "owner/", "a--b", "-x", "a/.."])
async def test_an_impossible_hub_id_is_refused_without_asking(
    begin: StartWithHub, hub: FakeHub, model_id: str
) -> None:
    client = await begin()
    refusal = await ask(
        client, "POST", "/models/download", 422, json=ASKED | {"model_id": model_id}
    )
    assert refusal["detail"] == "model_id: must be the id of a model on the hub: owner/name"
    assert hub.asked == []


async def test_an_operator_who_loads_what_is_not_here_begins_its_download(
    begin: StartWithHub, hub: FakeHub, checkpoint: Files
) -> None:
    hub.add("tests/known", checkpoint)
    client = await begin(auto_download="catalog")
    body = await ask(client, "POST", "/models/known/load", 503, json={})
    await download_until(client, body["download_id"], ended)
    assert (await ask(client, "POST", "/models/known/load", json={}))["state"] == "ready"


async def test_a_voice_is_downloaded_on_demand_and_a_failure_not_retried_at_once(
    begin: StartWithHub,
) -> None:
    client = await begin(auto_download="tts")
    response = await client.post("/synthesize", json={"model": "voice", "text": "Hello."})
    download_id = (await response.json())["download_id"]
    assert response.status == 503
    await download_until(client, download_id, ended)
    response = await client.post("/synthesize", json={"model": "voice", "text": "Hello."})
    assert response.status == 404
    assert (await ask(client, "GET", "/models/downloads"))["total"] == 1


async def test_a_voice_can_be_asked_for_by_any_of_its_names(
    begin: StartWithHub, hub: FakeHub
) -> None:
    client = await begin()
    asked = {"source": "tts_auto", "model_id": "tests/voice", "name": "my voice"}
    accepted = await ask(client, "POST", "/models/download", json=asked)
    assert (accepted["model_name"], accepted["source"]) == ("voice", "huggingface")
    assert accepted["download_info"]["model_type"] == "speech_synthesis"
    other = asked | {"model_id": "tests/known"}
    await ask(client, "POST", "/models/download", 422, json=other)
    await ask(client, "POST", "/models/download", 404, json=asked | {"model_id": "nobody"})


REFUSED: dict[str, Any] = {
    "another model's name": ASKED | {"name": "echo"},
    "a name that is none": ASKED | {"name": "../tiny"},
    "a source that is none": ASKED | {"source": "pytorch_hub"},
    "an unknown field": ASKED | {"trust_remote_code": True},
    "a field of another source": ASKED | {"sha256": "0" * 64},
    "a path": ASKED | {"source": "local", "model_id": "../tiny"},
    "a task of another model": ASKED | {"model_id": "tests/known", "task": "fill_mask"},
    "config that may not be set": ASKED | {"config": {"handler": "tensor_handler"}},
    "an address that is none": {"source": "url", "model_id": "https://[::1/a.zip", "name": "x"},
    "an octal address": {"source": "url", "model_id": "https://0177.0.0.1/a.zip", "name": "x"},
    "a port that is none": {"source": "url", "model_id": "https://e.com:x/a.zip", "name": "x"},
    "a password": {"source": "url", "model_id": "https://a:b@e.com/a.zip", "name": "x"},
    "a private address": {"source": "url", "model_id": "https://10.0.0.1/a.zip", "name": "x"},
    "a page": {"source": "url", "model_id": "https://e.com/a.html", "name": "x"},
    "control characters": ASKED | {"revision": "a\nb"},
    "a vocoder that is none": ASKED | {"vocoder_model": "../../x"},
    "a field that is missing": {"source": "huggingface", "model_id": TINY},
}


@pytest.mark.parametrize("reason", REFUSED)
async def test_a_request_is_refused_for(begin: StartWithHub, reason: str) -> None:
    client = await begin()
    body = await ask(client, "POST", "/models/download", 422, json=REFUSED[reason])
    assert ": " in body["detail"]
    assert (await ask(client, "GET", "/models/downloads"))["total"] == 0


async def test_a_bad_record_of_an_earlier_version_spoils_no_answer(
    begin: StartWithHub, tmp_path: Path
) -> None:
    address = {"key": "x", "source": "url", "model_id": "https://[::1/a.zip", "name": "x"}
    record = {"id": "1", "wish": address, "created_at": 1.0, "state": "failed", "error": "no"}
    (tmp_path / "var").mkdir(exist_ok=True)
    (tmp_path / "var" / "downloads.json").write_text(json.dumps([{"id": 7}, record]))
    client = await begin()
    (shown,) = (await ask(client, "GET", "/models/downloads"))["downloads"]
    assert (shown["download_id"], shown["model_id"]) == ("1", "(no web address)")
    assert (await ask(client, "GET", "/models/download/status/1"))["status"] == "failed"


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/models/download"),
        ("POST", "/models/download/1/cancel"),
        ("DELETE", "/models/download/tiny"),
    ],
)
async def test_changes_need_the_scope_admin(begin: StartWithHub, method: str, path: str) -> None:
    client = await begin()
    body: dict[str, Any] = {"json": ASKED} if path == "/models/download" else {}
    assert (await client.request(method, path, **body)).status == 401
    response = await client.request(method, path, headers=token("stats"), **body)
    assert response.status == 403


async def test_a_loaded_model_of_the_catalog_is_removed_only_with_force(
    begin: StartWithHub, hub: FakeHub, checkpoint: Files
) -> None:
    hub.add("tests/known", checkpoint)
    client = await begin()
    asked = ASKED | {"model_id": "tests/known", "name": "known"}
    accepted = await ask(client, "POST", "/models/download", json=asked)
    await download_until(client, accepted["download_id"], ended)
    await predict(client, "known", 200)
    await ask(client, "DELETE", "/models/download/known", 409)
    await ask(client, "DELETE", "/models/download/known?force=maybe", 422)
    await ask(client, "DELETE", "/models/download/echo?force=true", 404)
    await ask(client, "DELETE", "/models/download/known?force=true")
    assert (await predict(client, "known", 404))["model_info"]["state"] == "available"


async def test_sizes_are_told_while_downloads_come_and_go(
    begin: StartWithHub, tmp_path: Path
) -> None:
    """Folders vanish between being listed and being read."""
    client = await begin()
    folder = tmp_path / "var" / "downloads" / "another"
    ended = threading.Event()

    def come_and_go() -> None:
        while not ended.is_set():
            for number in range(20):
                (folder / f"whole-{number}" / "part").mkdir(parents=True)
            shutil.rmtree(folder)

    changing = asyncio.create_task(asyncio.to_thread(come_and_go))
    try:
        for _ in range(100):
            await ask(client, "GET", "/models/cache/info")
    finally:
        ended.set()
        await changing
