"""What workers measure of their own memory: told, and budgeted, in front of the fake TorchServe."""

import asyncio
from typing import Any

import pytest

from tests.fake_torchserve import FakeTorchServe
from tests.sidecar.conftest import StartSidecar
from tests.sidecar.models.test_sleep_and_wake import ask, model_of, services_of

MB = 2**20
ON_GPU_1 = {
    "rss_bytes": 300 * MB,
    "gpu": 1,
    "gpu_allocated_bytes": 400 * MB,
    "gpu_reserved_bytes": 500 * MB,
}


async def page(client: Any, path: str) -> Any:
    response = await client.get(path)
    assert response.status == 200
    return await response.json()


@pytest.fixture
def on_gpu(torchserve: FakeTorchServe) -> FakeTorchServe:
    torchserve.described = {"device": "cuda:1", "precision": "bf16", "memory": ON_GPU_1}
    return torchserve


async def test_a_worker_that_was_not_measured_is_told_as_null(start: StartSidecar) -> None:
    client = await start()
    (worker,) = (await page(client, "/models/echo"))["workers"]
    assert worker["memory_mb"] is None


@pytest.mark.usefixtures("on_gpu")
async def test_what_a_worker_holds_after_its_load_is_told_and_budgeted(start: StartSidecar) -> None:
    client = await start()
    told = await page(client, "/models/echo")
    assert [each["memory_mb"] for each in told["workers"]] == [300.0]
    assert told["gpu_memory_mb"] == {"1": 500.0}
    model = model_of(client)
    assert (model.memory_mb, model.gpu_memory_mb) == (300.0, 500.0)
    assert sum(each.memory_mb for each in services_of(client).room.residents()) >= 300


@pytest.mark.usefixtures("on_gpu")
async def test_config_tells_the_gpu_and_the_precision_that_models_run_with(
    start: StartSidecar,
) -> None:
    client = await start()
    assert (await page(client, "/config"))["configuration"]["device"] == {
        "device_type": "cuda",
        "device_id": 1,
        "use_fp16": True,  # half precision, bf16 too
        "use_tensorrt": False,
    }


async def test_a_gpu_that_no_model_can_use_is_not_the_device(start: StartSidecar) -> None:
    """NVML counts it, but torch is a CPU build: the models run on the CPU."""
    client = await start()
    services_of(client).gpus._handles = [object()]
    device = (await page(client, "/config"))["configuration"]["device"]
    assert (device["device_type"], device["device_id"]) == ("cpu", None)


async def test_memory_that_grows_is_told_with_the_jobs(
    start: StartSidecar, torchserve: FakeTorchServe
) -> None:
    client = await start(poll_seconds=0.05)
    torchserve.memory = ON_GPU_1 | {"rss_bytes": 900 * MB}
    assert await ask(client) == 200
    model = model_of(client)
    async with asyncio.timeout(10):
        while model.memory_mb != 900.0:
            await asyncio.sleep(0.01)
    assert model.held_gpu_mb == {1: 500.0}


async def test_what_a_worker_held_is_forgotten_when_it_has_gone(
    start: StartSidecar, torchserve: FakeTorchServe
) -> None:
    client = await start(poll_seconds=0.05)
    torchserve.memory = ON_GPU_1
    assert await ask(client) == 200
    model = model_of(client)
    (pid,) = model.dispatcher.worker_memory
    torchserve.models["echo"]["pids"] = [pid + 1000]
    async with asyncio.timeout(10):
        while pid in model.dispatcher.worker_memory:
            await asyncio.sleep(0.01)
