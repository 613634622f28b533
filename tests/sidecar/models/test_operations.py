"""What operations leave behind: in front of the fake TorchServe."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from sidecar.errors import ModelNotReady
from sidecar.models.model import Model
from sidecar.models.states import State
from sidecar.program import Program
from tests.fake_torchserve import FakeTorchServe
from tests.sidecar.conftest import CATALOG, ECHO, Client, StartSidecar
from tests.sidecar.models.test_sleep_and_wake import ask, change, model_of, services_of
from tests.waiting import until

Operation = Callable[[Program, Model], Coroutine[Any, Any, None]]
GONE = ModelNotReady("model_name: other is removed", retry_after=5)


class Deletion:
    """Files that go when they are told to."""

    def __init__(self, error: OSError | None = None) -> None:
        self._error = error
        self.begun = asyncio.Event()
        self.goes_on = asyncio.Event()

    async def __call__(self) -> None:
        self.begun.set()
        await self.goes_on.wait()
        if self._error is not None:
            raise self._error


async def test_a_model_cannot_wake_while_its_files_are_deleted(
    client: Client, torchserve: FakeTorchServe
) -> None:
    services, model, deletion = services_of(client), model_of(client, "other"), Deletion()
    assert await ask(client, "other") == 200
    removal = asyncio.create_task(services.operations.remove(model, GONE, deletion))
    await deletion.begun.wait()
    assert "other" not in torchserve.models
    response = await client.post("/predict", json={"model_name": "other", "inputs": 1})
    assert response.status == 503
    assert (await response.json())["detail"] == GONE.detail
    refused = await change(client, "/models/other/load", 503)
    assert refused["detail"] == "model_name: other is being removed"
    assert "other" not in torchserve.models
    deletion.goes_on.set()
    await removal
    assert model.state is State.AVAILABLE  # it is in models.json, and can be had again


async def test_a_model_whose_files_cannot_be_deleted_stays(client: Client) -> None:
    services, model = services_of(client), model_of(client, "other")
    deletion = Deletion(PermissionError("other.mar"))
    deletion.goes_on.set()
    with pytest.raises(PermissionError):
        await services.operations.remove(model, GONE, deletion)
    assert model.state is State.ARCHIVED
    assert await ask(client, "other") == 200


async def test_a_disabled_model_stays_disabled_when_its_files_are_deleted(client: Client) -> None:
    services, model, deletion = services_of(client), model_of(client, "disabled"), Deletion()
    deletion.goes_on.set()
    await services.operations.remove(model, GONE, deletion)
    assert model.state is State.DISABLED


async def sleep(services: Program, model: Model) -> None:
    services.operations.put_to_sleep(model, "to see it")
    await end(model)


async def unload(services: Program, model: Model) -> None:
    services.operations.unload(model, "to see it")
    await end(model)


async def scale_down(services: Program, model: Model) -> None:
    services.operations.scale(model, 1, "to see it")
    await end(model)


async def remove(services: Program, model: Model) -> None:
    await services.operations.remove(model, GONE, nothing_to_delete)


async def install(services: Program, model: Model) -> None:
    await services.operations.install(model.key, model.spec, GONE)


async def end(model: Model) -> None:
    """Wait for the operation that was begun."""
    while model.operation is not None:
        await asyncio.wait({model.operation})


async def nothing_to_delete() -> None:
    """As if there were no files."""


@pytest.mark.parametrize("operation", [sleep, unload, scale_down, remove, install])
async def test_no_operation_ends_a_worker_that_holds_a_job(
    start: StartSidecar, torchserve: FakeTorchServe, operation: Operation
) -> None:
    two = ECHO | {"inference": {"workers": {"min": 2, "max": 2}}}
    client = await start(catalog=CATALOG | {"echo": two})
    services, model = services_of(client), model_of(client)
    torchserve.hold()
    asked = asyncio.create_task(ask(client))
    await until(lambda: torchserve.jobs)
    done = asyncio.create_task(operation(services, model))
    for _ in range(3):
        await services.reconciler.look()
    assert model.state in (State.PAUSED, State.REMOVING)
    torchserve.release()
    assert await asked == 200
    await done
    assert not torchserve.dropped
    assert model.state in (State.IDLE, State.ARCHIVED, State.READY, State.AVAILABLE, State.REMOVED)


async def test_workers_that_we_end_are_no_deaths(start: StartSidecar) -> None:
    workers = {"workers": {"min": 1, "max": 4}}
    client = await start(catalog=CATALOG | {"echo": ECHO | {"inference": workers}})
    for count in (4, 1):
        await change(client, "/models/echo/scale", workers=count)
        await services_of(client).reconciler.look()
    assert len(model_of(client).workers) == 1
    assert (await (await client.get("/health")).json())["failing_models"] == {}


async def test_waiting_requests_are_refused_when_the_program_stops(
    client: Client, torchserve: FakeTorchServe
) -> None:
    torchserve.hold()
    asked = [asyncio.create_task(ask(client))]
    await until(lambda: torchserve.jobs)
    asked += [asyncio.create_task(ask(client)) for _ in range(2)]
    await until(lambda: len(model_of(client).dispatcher.queue) >= 2)
    await services_of(client).operations.stop(GONE)
    assert await asyncio.gather(*asked) == [503] * 3
    await services_of(client).reconciler.look()
    assert model_of(client).state is State.REMOVED
    assert await ask(client) == 503
