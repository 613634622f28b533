"""The door of every route, where what is asked for may be gone by the time it opens."""

import msgspec
import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from sidecar.errors import ModelNotFound, ModelNotReady
from sidecar.program import PROGRAM, Program
from sidecar.scheduling.scheduler import InferenceRequest
from sidecar.schemas.model_spec import ModelSpec
from sidecar.web.admission import ADMISSION
from sidecar.web.middleware import SERVER, around, guarded
from sidecar.web.route import Route
from tests.sidecar.conftest import ECHO, Client

SPEC = msgspec.convert(ECHO | {"source": "huggingface", "model_id": "tests/own"}, ModelSpec)
GONE = ModelNotReady("model_name: own is removed", retry_after=5)


async def nothing_to_delete() -> None:
    pass


@pytest.fixture
async def services(client: Client) -> Program:
    """A program with the downloaded model `own`."""
    assert client.app is not None
    services: Program = client.app[PROGRAM]
    await services.operations.install("own", SPEC, GONE)
    await services.reconciler.look()
    return services


async def remove_own(services: Program) -> None:
    await services.operations.remove(services.models["own"], GONE, nothing_to_delete)


async def test_a_model_removed_before_admission_is_not_found(
    client: Client, services: Program
) -> None:
    async def handler(request: web.Request) -> web.Response:
        model = services.models.require("tests/own")
        await remove_own(services)
        await request[ADMISSION].admit_to_model(model.key, "tests/own")
        raise AssertionError("the model is gone")

    app = web.Application(middlewares=[around])
    assert client.app is not None
    app[SERVER] = client.app[SERVER]
    app.router.add_get("/", guarded(services.admission, Route("GET", "/", handler, "")))
    async with TestClient(TestServer(app)) as other:
        response = await other.get("/")
        answer = await response.json()
    assert response.status == 404
    assert answer["model_info"] == {"model": "tests/own", "available": False}


async def test_a_model_removed_before_queueing_is_not_found(
    services: Program,
) -> None:
    await remove_own(services)
    with pytest.raises(ModelNotFound):
        services.scheduler.start(InferenceRequest("own", [b"1"], 0, 1.0, 0.0))
