"""What strangers learn: no path of the machine, nothing of an error, nothing from a guess."""

import dataclasses
import logging
import os
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any, Never

import jwt
import pytest
from aiohttp.test_utils import TestClient
from msgspec.structs import replace

from sidecar.app import create_app
from sidecar.program import PROGRAM
from sidecar.routes import health
from sidecar.routes.documents import ASSET_ROUTES
from sidecar.routes.groups import ROUTES
from sidecar.settings import Settings
from sidecar.telemetry.logs import ERROR_LOG, open_logs
from sidecar.web.error_forms import Fault, form_of
from sidecar.web.route import Route
from tests.fake_torchserve import FakeTorchServe, Refuse
from tests.sidecar.conftest import SECRET, Client, SidecarServer, StartSidecar

OPEN = [route for route in ROUTES if route.credential is None]
UNCHECKED = {
    "/health",
    "/livez",
    "/metrics",
    "/ping",
    "/readyz",
    "/v2/health/live",
    "/v2/health/ready",
    "/v2/models/{name}/ready",
    "/v2/models/{name}/versions/{version}/ready",
}
PLACES = {"{version}": "1.0", "{file}": "server.log", "{name}": "echo", "{id}": "nobody"}
WRONG = [
    {"Authorization": "Bearer a.wrong.token"},
    {"X-API-Key": "wrong"},
    {"Authorization": "Basic eA=="},
]
INTERNAL = Fault(500, "Internal server error", "Internal Server Error")
HIDDEN = "a secret of the machine"


class Broken:
    """A part of the program of which every use raises what must not be told."""

    def __getattr__(self, _: str) -> Never:
        raise RuntimeError(HIDDEN)


def url_of(route: Route) -> str:
    url = route.path
    for place, name in PLACES.items():
        url = url.replace(place, name)
    return url


def named(route: Route) -> str:
    return f"{route.method} {route.path}"


def good_credential() -> dict[str, str]:
    claims = {"sub": "tester", "scope": "admin", "exp": int(time.time()) + 60}
    return {"Authorization": f"Bearer {jwt.encode(claims, SECRET, 'HS256')}"}


@pytest.mark.parametrize("route", OPEN, ids=named)
async def test_no_open_route_shows_a_path_of_the_machine(
    start: StartSidecar, tmp_path: Path, route: Route
) -> None:
    store = tmp_path / "store"
    store.mkdir()
    client = await start(model_store=store, log_dir=tmp_path / "elsewhere" / "logs")
    shown = await (await client.get(url_of(route))).text()
    for path in (tmp_path, Path.home(), Path.cwd(), Path(os.__file__).parent):
        assert str(path) not in shown


async def test_only_reading_routes_are_open() -> None:
    assert {route.method for route in OPEN} <= {"GET", "OPTIONS"}
    assert {route.path for route in OPEN if not route.is_open} == UNCHECKED


@pytest.mark.parametrize("headers", WRONG, ids=str)
async def test_a_wrong_credential_is_401_except_on_probes_and_metrics(
    client: Client, headers: dict[str, str]
) -> None:
    for route in ROUTES:
        extra: dict[str, Any] = {"json": {"model_name": "echo"}} if route.request else {}
        response = await client.request(route.method, url_of(route), headers=headers, **extra)
        assert (response.status == 401) == (route.path not in UNCHECKED), named(route)
        if response.status == 401:
            told = await response.json()
            assert told.get("detail", "Not authenticated") == "Not authenticated"


async def test_the_files_of_the_documentation_look_at_no_credential(client: Client) -> None:
    for path, _ in ASSET_ROUTES:
        url = path.replace("{name}", "start.js")
        assert (await client.get(url, headers=WRONG[0])).status == 200


async def test_a_good_credential_may_read_too(client: Client) -> None:
    for route in OPEN:
        response = await client.get(url_of(route), headers=good_credential())
        assert response.status in (200, 404), named(route)


async def test_failed_credentials_on_an_open_route_count_for_the_address(
    start: StartSidecar,
) -> None:
    client = await start(rate_limit_requests_per_second=0.01, rate_limit_burst=2)
    statuses = [(await client.get("/info", headers=WRONG[0])).status for _ in range(3)]
    assert statuses == [401, 401, 429]


@pytest.fixture
async def broken(start: StartSidecar, tmp_path: Path) -> AsyncIterator[Client]:
    """A sidecar of which every route raises, but for those that ask nothing of any part."""
    whole = await start()  # for the same settings
    settings = replace(whole.app[PROGRAM].settings, state_dir=tmp_path / "broken")
    app = await create_app(settings)
    part: Any = Broken()
    app[PROGRAM].admission.authenticator = part
    app[health.PARTS] = dataclasses.replace(app[health.PARTS], engine_answers=part)
    client: Client = TestClient(SidecarServer(app))
    await client.start_server()
    yield client
    await client.close()


@pytest.fixture
def told(tmp_path: Path) -> Iterator[list[str]]:
    """Gives a list; each line in it has to be in server_errors.log, with its traceback."""
    lines: list[str] = []
    with open_logs(Settings(log_dir=tmp_path / "logs")):
        yield lines
    log = (tmp_path / "logs" / ERROR_LOG).read_text()
    assert lines
    assert log.count(f"RuntimeError: {HIDDEN}") == len(lines)
    for line in lines:
        assert f"{line}\nTraceback" in log


async def test_a_500_tells_nothing_whichever_route_it_comes_from(
    broken: Client, told: list[str]
) -> None:
    for route in ROUTES:
        if route.path in UNCHECKED - {"/health", "/readyz"}:
            continue
        extra: dict[str, Any] = {"json": {"model_name": "echo"}} if route.request else {}
        headers = good_credential() | {"X-Request-ID": f"request-{len(told)}"}
        response = await broken.request(route.method, url_of(route), headers=headers, **extra)
        assert response.status == 500, named(route)
        assert await response.json() == form_of(route.path).body(INTERNAL)
        for hidden in (HIDDEN, "RuntimeError", "Traceback", ".py"):
            assert hidden not in await response.text() + str(response.headers)
        told.append(f"[request-{len(told)}] - unhandled error: {named(route)}")


async def test_a_500_of_a_model_is_one_log_line_and_reveals_nothing(
    client: Client, torchserve: FakeTorchServe, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(_: Any) -> Never:
        raise Refuse(500, "RuntimeError in forward, example_model.py:31")

    torchserve.answer = fail
    with caplog.at_level(logging.ERROR):
        response = await client.post(
            "/predict",
            json={"model_name": "echo", "inputs": ["a private text"]},
            headers={"X-Request-ID": "mine"},
        )
    assert response.status == 500
    assert "forward" not in await response.text()
    (record,) = caplog.records
    assert record.getMessage() == (
        "echo: an input failed with status 500: RuntimeError in forward, example_model.py:31"
    )
    assert vars(record)["request_id"] == "mine"


async def test_a_failed_input_of_a_batch_is_logged_although_the_answer_is_200(
    client: Client, torchserve: FakeTorchServe, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(value: Any) -> Any:
        if value == "bad":
            raise Refuse(500, "ValueError in decode, reader.py:7")
        return value

    torchserve.answer = fail
    with caplog.at_level(logging.ERROR):
        response = await client.post(
            "/predict", json={"model_name": "echo", "inputs": ["good", "bad"]}
        )
    assert response.status == 200
    (record,) = caplog.records
    assert record.getMessage().endswith("failed with status 500: ValueError in decode, reader.py:7")
