"""TorchServe's management API: what is asked of it is done to the sidecar's own models."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from aiohttp.test_utils import TestClient
from yarl import URL

from sidecar.app import create_management_app
from sidecar.models.model import Model
from sidecar.program import PROGRAM
from tests.fake_torchserve import FakeTorchServe
from tests.sidecar.catalog.test_own_archives import as_mar, files
from tests.sidecar.conftest import ECHO, Client, SidecarServer, StartSidecar
from tests.sidecar.web.test_refusals_by_limits import bearer
from tests.waiting import until

ADMIN = bearer("operator", "admin")


class Managed:
    """A sidecar with both its ports: *client* asks the first, `ask` the management API."""

    def __init__(self, client: Client, management: Client) -> None:
        self.client = client
        self.management = management

    async def ask(
        self, method: str, path: str | URL, status: int = 200, headers: Any = ADMIN, **kwargs: Any
    ) -> Any:
        response = await self.management.request(method, path, headers=headers, **kwargs)
        assert response.status == status, await response.text()
        assert response.content_type == "application/json"
        return await response.json()

    def model(self, key: str) -> Model:
        assert self.client.app is not None
        found: Model = self.client.app[PROGRAM].models[key]
        return found

    async def predict(self, key: str) -> int:
        return (await self.client.post(f"/predictions/{key}", data=b"x")).status


Start = Callable[..., Awaitable[Managed]]


def put(store: Path, torchserve: FakeTorchServe, file: str, *said: Any) -> None:
    """Put an archive into the model store."""
    as_mar(store / file, files(*said))
    torchserve.archives.add(file)
    torchserve.versions[file] = said[1] if len(said) > 1 else "1.0"


@pytest.fixture
def store(tmp_path: Path, torchserve: FakeTorchServe) -> Path:
    store = tmp_path / "store"
    store.mkdir()
    put(store, torchserve, "net.mar", "net")
    return store


@pytest.fixture
async def start_managed(start: StartSidecar, store: Path) -> AsyncIterator[Start]:
    clients: list[Client] = []

    async def start_managed(catalog: Any = None, **settings: Any) -> Managed:
        client = await start(catalog=catalog or {"echo": ECHO}, model_store=store, **settings)
        assert client.app is not None
        management: Client = TestClient(SidecarServer(create_management_app(client.app[PROGRAM])))
        await management.start_server()
        clients.append(management)
        return Managed(client, management)

    yield start_managed
    for client in clients:
        await client.close()


@pytest.fixture
async def managed(start_managed: Start) -> Managed:
    return await start_managed()


async def test_an_archive_of_the_store_is_registered_loaded_and_answers(
    managed: Managed, torchserve: FakeTorchServe
) -> None:
    answer = await managed.ask("POST", "/models?url=net.mar&initial_workers=2&batch_size=4")
    assert answer == {"status": 'Model "net" Version: 1.0 registered with 2 initial workers'}
    assert await managed.predict("net") == 200
    assert (torchserve.models["net"]["batchSize"], torchserve.models["net"]["minWorkers"]) == (4, 2)


async def test_a_registration_without_workers_waits_for_a_request(managed: Managed) -> None:
    answer = await managed.ask("POST", "/models?url=net.mar&model_name=other_name")
    assert answer["status"] == (
        'Model "other_name" Version: 1.0 registered with 0 initial workers. '
        "Use scale workers API to add workers for the model."
    )
    assert managed.model("other_name").state == "archived"
    assert await managed.predict("other_name") == 200


async def test_parameters_may_come_as_json(managed: Managed) -> None:
    asked = {"url": "net.mar", "model_name": "mine", "initial_workers": 1, "response_timeout": 7}
    await managed.ask("POST", "/models", json=asked)
    assert managed.model("mine").spec.inference.job_timeout_seconds == 7


async def test_an_asynchronous_change_gets_202_and_completes_later(managed: Managed) -> None:
    path = "/models?url=net.mar&initial_workers=1&synchronous=false"
    assert await managed.ask("POST", path, 202) == {"status": "Processing worker updates..."}
    await until(lambda: managed.model("net").loaded)


async def test_the_workers_of_an_archive_take_precedence_over_the_query(
    managed: Managed, store: Path, torchserve: FakeTorchServe
) -> None:
    put(store, torchserve, "two.mar", "two", "1.0", {"minWorkers": 2, "maxWorkers": 3})
    answer = await managed.ask("POST", "/models?url=two.mar&initial_workers=1")
    assert answer["status"].endswith("registered with 2 initial workers")


@pytest.mark.parametrize(
    ("url", "status", "kind", "told"),
    [
        ("", 400, "BadRequestException", "url is required"),
        ("url=", 400, "BadRequestException", "url is required"),
        ("url=nothing.mar", 404, "ModelNotFoundException", "Model not found at: nothing.mar"),
        ("url=https://x.example/net.mar", 404, "ModelNotFoundException", "never fetched"),
        ("url=file:///tmp/net.mar", 404, "ModelNotFoundException", "never fetched"),
        ("url=s3://bucket/net.mar", 404, "ModelNotFoundException", "never fetched"),
        ("url=../store/net.mar", 404, "ModelNotFoundException", "never fetched"),
        ("url=/etc/passwd", 404, "ModelNotFoundException", "never fetched"),
        ("url=..", 404, "ModelNotFoundException", "never fetched"),
        ("url=broken.mar", 400, "BadRequestException", "broken.mar"),
        ("url=net.mar&model_name=a/b", 400, "BadRequestException", "name"),
        ("url=net.mar&handler=mine.py", 400, "BadRequestException", "handler"),
        ("url=net.mar&batch_size=many", 400, "BadRequestException", "batch_size"),
        ("url=net.mar&initial_workers=1000", 400, "BadRequestException", "initial_workers"),
        ("url=net.mar&model_name=echo", 409, "ConflictStatusException", "already registered"),
    ],
)
async def test_an_impossible_registration_is_refused_in_torchserves_form(
    managed: Managed, store: Path, url: str, status: int, kind: str, told: str
) -> None:
    (store / "broken.mar").write_bytes(b"no archive")
    answer = await managed.ask("POST", f"/models?{url}", status)
    assert (answer["code"], answer["type"]) == (status, kind)
    assert told in answer["message"] + answer["detail"]


async def test_a_path_into_the_store_is_a_name_in_it(managed: Managed, store: Path) -> None:
    await managed.ask("POST", f"/models?url={store}/net.mar")


async def test_the_same_version_twice_is_a_conflict(managed: Managed) -> None:
    await managed.ask("POST", "/models?url=net.mar")
    answer = await managed.ask("POST", "/models?url=net.mar", 409)
    assert answer["message"] == "Model version 1.0 is already registered for model net"


async def test_two_at_once_register_one_model(managed: Managed) -> None:
    async def register() -> int:
        response = await managed.management.post("/models?url=net.mar", headers=ADMIN)
        return response.status

    assert sorted(await asyncio.gather(register(), register())) == [200, 409]


async def test_an_unloadable_archive_is_not_registered(
    managed: Managed, torchserve: FakeTorchServe
) -> None:
    torchserve.broken.add("net.mar")
    answer = await managed.ask("POST", "/models?url=net.mar&initial_workers=1", 500)
    assert answer["message"] == "Failed to start workers for model net version: 1.0"
    assert await managed.predict("net") == 404


async def test_versions_are_registered_chosen_and_unregistered(
    managed: Managed, store: Path, torchserve: FakeTorchServe
) -> None:
    put(store, torchserve, "next.mar", "net", "2.0")
    await managed.ask("POST", "/models?url=net.mar&initial_workers=1")
    answer = await managed.ask("POST", "/models?url=next.mar&model_name=net&initial_workers=1")
    assert answer["status"] == 'Model "net" Version: 2.0 registered with 1 initial workers'
    both = await managed.ask("GET", "/models/net/all")
    assert sorted(each["modelVersion"] for each in both) == ["1.0", "2.0"]
    answer = await managed.ask("DELETE", "/models/net", 403)
    assert answer["type"] == "InvalidModelVersionException"
    answer = await managed.ask("PUT", "/models/net/2.0/set-default")
    assert answer["status"] == 'Default version successfully updated for model "net" to "2.0"'
    assert (await managed.ask("GET", "/models/net"))[0]["modelVersion"] == "2.0"
    await managed.ask("DELETE", "/models/net/1.0")
    assert len(await managed.ask("GET", "/models/net/all")) == 1
    for path in ("/models/net/7", "/models/net/7?customized=true"):
        answer = await managed.ask("GET", path, 404)
        assert answer["type"] == "ModelVersionNotFoundException"
    await managed.ask("PUT", "/models/net/7/set-default", 404)
    await managed.ask("DELETE", "/models/net/7", 404)


async def test_workers_have_the_limits_that_were_asked_for(
    managed: Managed, torchserve: FakeTorchServe
) -> None:
    await managed.ask("POST", "/models?url=net.mar")
    answer = await managed.ask("PUT", "/models/net?min_worker=2&max_worker=3&synchronous=true")
    assert answer == {"status": "Workers scaled to 2 for model: net"}
    assert len(managed.model("net").workers) == 2
    (shown,) = await managed.ask("GET", "/models/net")
    assert (shown["minWorkers"], shown["maxWorkers"]) == (2, 3)
    await managed.ask("PUT", "/models/net/1.0?min_worker=3", 202)
    await until(lambda: len(managed.model("net").workers) == 3)
    answer = await managed.ask("PUT", "/models/net?min_worker=2&max_worker=1", 400)
    assert answer["message"] == "max_worker cannot be less than min_worker."
    await managed.ask("PUT", "/models/net/2.0?min_worker=1", 404)
    torchserve.ready_at_most = 3
    answer = await managed.ask("PUT", "/models/net?min_worker=4&synchronous=true", 500)
    assert answer["message"] == "Failed to start workers for model net version: 1.0"


async def test_scaling_to_zero_puts_a_model_to_sleep(managed: Managed) -> None:
    await managed.ask("POST", "/models?url=net.mar&initial_workers=1")
    answer = await managed.ask("PUT", "/models/net?min_worker=0&max_worker=0&synchronous=true")
    assert answer["status"] == "Workers scaled to 0 for model: net"
    (shown,) = await managed.ask("GET", "/models/net")
    assert (managed.model("net").state, shown["workers"]) == ("idle", [])
    assert await managed.predict("net") == 200


async def test_an_unregistered_model_is_gone_until_registered_again(
    managed: Managed, store: Path
) -> None:
    assert await managed.ask("DELETE", "/models/echo") == {"status": 'Model "echo" unregistered'}
    assert await managed.predict("echo") == 404
    await managed.ask("DELETE", "/models/echo", 404)
    assert managed.client.app is not None
    await managed.client.app[PROGRAM].catalog_watch.look()  # models.json still has it
    assert await managed.predict("echo") == 404
    as_mar(store / "echo.mar", files("echo", build__json=b"{}"))
    await managed.ask("POST", "/models?url=echo.mar&initial_workers=1")
    assert managed.model("echo").loaded


async def test_an_offered_archive_takes_the_requested_settings(
    start_managed: Start,
) -> None:
    managed = await start_managed(serve_archives=True)
    assert await managed.predict("net") == 200
    await managed.ask("POST", "/models?url=net.mar&batch_size=3&initial_workers=1")
    assert managed.model("net").spec.inference.batch_size == 3
    assert managed.client.app is not None
    await managed.client.app[PROGRAM].catalog_watch.look()  # the store still has it
    assert managed.model("net").spec.inference.batch_size == 3
    await managed.ask("POST", "/models?url=net.mar", 409)


async def test_models_are_listed_by_pages(managed: Managed) -> None:
    await managed.ask("POST", "/models?url=net.mar")
    echo = {"modelName": "echo", "modelUrl": "echo.mar"}
    net = {"modelName": "net", "modelUrl": "net.mar"}
    assert await managed.ask("GET", "/models") == {"models": [echo, net]}
    first = await managed.ask("GET", "/models?limit=1")
    assert first == {"models": [echo], "nextPageToken": "1"}
    assert (await managed.ask("GET", "/models?limit=5&next_page_token=1"))["models"] == [net]


async def test_a_model_that_is_not_loaded_is_described_too(managed: Managed) -> None:
    await managed.ask("POST", "/models?url=net.mar&batch_size=6&max_batch_delay=40")
    for path in ("/models/net", "/models/net/1.0", "/models/net/all"):
        (shown,) = await managed.ask("GET", path)
        assert (shown["modelName"], shown["modelVersion"], shown["workers"]) == ("net", "1.0", [])
        assert (shown["batchSize"], shown["maxBatchDelay"]) == (6, 40)
        assert shown["jobQueueStatus"] == {"remainingCapacity": 2048, "pendingRequests": 0}


async def test_the_description_by_the_handler_is_shown_on_request(managed: Managed) -> None:
    (shown,) = await managed.ask("GET", "/models/echo?customized=true")
    assert "customizedMetadata" in shown
    (shown,) = await managed.ask("GET", "/models/echo?customized=false")
    assert "customizedMetadata" not in shown


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/models"),
        ("POST", "/models?url=net.mar"),
        ("GET", "/models/echo"),
        ("PUT", "/models/echo"),
        ("PUT", "/models/echo/1.0/set-default"),
        ("DELETE", "/models/echo"),
    ],
)
async def test_every_route_needs_the_scope_admin(managed: Managed, method: str, path: str) -> None:
    answer = await managed.ask(method, path, 401, headers={})
    assert (answer["code"], answer["type"]) == (401, "InvalidKeyException")
    answer = await managed.ask(method, path, 403, headers=bearer("somebody"))
    assert (answer["code"], answer["type"]) == (403, "InvalidKeyException")


async def test_other_paths_and_methods_are_refused_in_torchserves_form(managed: Managed) -> None:
    assert (await managed.ask("GET", "/predictions/echo", 404))["code"] == 404
    answer = await managed.ask("POST", "/models/echo", 405)
    assert (answer["code"], answer["type"]) == (405, "MethodNotAllowedException")
    assert (await managed.ask("GET", "/models/nobody", 404))["type"] == "ModelNotFoundException"


async def test_the_management_api_is_not_on_the_public_port(managed: Managed) -> None:
    response = await managed.client.delete("/models/echo", headers=ADMIN)
    assert response.status == 405


async def test_the_port_of_the_management_api_runs_no_model(managed: Managed) -> None:
    body = {"model_name": "echo", "inputs": [1, 2, 3]}
    assert (await managed.ask("POST", "/predict", 404, json=body))["code"] == 404


@pytest.mark.parametrize("version", ["..%2F..%2Fping", "9%3Fcustomized=true", "1.0%3Fx=1"])
async def test_a_version_is_nothing_but_a_version_to_torchserve(
    managed: Managed, version: str
) -> None:
    refused = await managed.ask("GET", URL(f"/models/echo/{version}", encoded=True), 404)
    assert refused["type"] == "ModelVersionNotFoundException"
