"""What workers measure of their own memory: told, and budgeted, in front of the fake TorchServe."""

import asyncio
import sys
from typing import Any

import pytest

from sidecar.settings import MB
from tests.fake_torchserve import FakeTorchServe
from tests.sidecar.conftest import ECHO, StartSidecar
from tests.sidecar.models.test_sleep_and_wake import ask, model_of, services_of
from tests.sidecar.telemetry.test_gpus import FakeNvml
from tests.waiting import until, until_awaited

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
async def test_the_memory_of_a_loaded_worker_is_shown_and_budgeted(start: StartSidecar) -> None:
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


async def test_a_gpu_that_no_model_can_use_is_not_the_device(
    start: StartSidecar, monkeypatch: pytest.MonkeyPatch
) -> None:
    """NVML counts it, but torch is a CPU build: the models run on the CPU."""
    monkeypatch.setitem(sys.modules, "pynvml", FakeNvml())
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    client = await start()
    assert services_of(client).gpus.count == 2
    device = (await page(client, "/config"))["configuration"]["device"]
    assert (device["device_type"], device["device_id"]) == ("cpu", None)


async def test_memory_that_grows_is_told_with_the_jobs(
    start: StartSidecar, torchserve: FakeTorchServe
) -> None:
    client = await start(poll_seconds=0.05)
    torchserve.memory = ON_GPU_1 | {"rss_bytes": 900 * MB}
    assert await ask(client) == 200
    model = model_of(client)
    await until(lambda: model.memory_mb == 900.0)
    assert model.held_gpu_mb == {1: 500.0}


async def test_the_memory_of_a_gone_worker_is_forgotten(
    start: StartSidecar, torchserve: FakeTorchServe
) -> None:
    client = await start(poll_seconds=0.05)
    torchserve.memory = ON_GPU_1
    assert await ask(client) == 200
    model = model_of(client)
    (pid,) = model.dispatcher.worker_memory
    torchserve.models["echo"]["pids"] = [pid + 1000]
    await until(lambda: pid not in model.dispatcher.worker_memory)


FIVE = {name: ECHO | {"auto_load": True} for name in ("one", "two", "three", "four", "five")}
WEIGHED = {"device": "cpu", "precision": "fp32", "memory": {"rss_bytes": 280 * MB}}


async def in_memory(client: Any) -> list[str]:
    return [key for key, model in services_of(client).models.items() if model.in_memory]


async def until_in_memory(client: Any, count: int) -> None:
    await until_awaited(lambda: in_memory(client), lambda keys: len(keys) == count)


@pytest.fixture
def weighed(torchserve: FakeTorchServe) -> FakeTorchServe:
    """Every worker says that it holds 280 MB."""
    torchserve.archives |= {f"{name}.mar" for name in FIVE}
    torchserve.described = WEIGHED
    return torchserve


@pytest.mark.usefixtures("weighed")
async def test_models_that_declare_nothing_share_a_budget_that_fits_one(
    start: StartSidecar,
) -> None:
    client = await start(catalog=FIVE, memory_budget_mb=300, autoscale_seconds=0.02)
    await until_in_memory(client, 1)
    for name in (*FIVE, "one", "five"):
        assert await ask(client, name) == 200
        await until_in_memory(client, 1)
    stats = await page(client, "/autoscaler/stats")
    usage = stats["resource_usage"]
    assert (usage["models_memory_mb"], usage["memory_budget_mb"]) == (280.0, 300.0)


@pytest.mark.usefixtures("weighed")
async def test_models_within_the_budget_stay(start: StartSidecar) -> None:
    client = await start(catalog=FIVE, memory_budget_mb=5 * 280, autoscale_seconds=0.02)
    for _ in range(10):
        services_of(client).autoscaler.think()
    assert len(await in_memory(client)) == 5


async def test_a_model_too_large_is_refused_with_both_figures(
    start: StartSidecar, torchserve: FakeTorchServe
) -> None:
    torchserve.described = WEIGHED
    client = await start(memory_budget_mb=200, autoscale_seconds=0.02)
    await until_in_memory(client, 0)
    refused = await client.post("/predict", json={"model_name": "echo", "inputs": 1})
    assert refused.status == 503
    detail = (await refused.json())["detail"]
    assert detail == (
        "model_name: echo: it is too large: it needs 280 MB, and the budget is 200 MB"
    )


async def test_memory_that_nobody_has_measured_is_null_and_not_zero(start: StartSidecar) -> None:
    client = await start()
    usage = (await page(client, "/autoscaler/stats"))["resource_usage"]
    assert usage["models_memory_mb"] is None


@pytest.mark.usefixtures("weighed")
async def test_a_pinned_model_stays_and_others_are_evicted_for_it(start: StartSidecar) -> None:
    catalog = FIVE | {"five": ECHO | {"pinned": True}}
    client = await start(catalog=catalog, memory_budget_mb=300, autoscale_seconds=0.02)
    await until_awaited(lambda: in_memory(client), lambda keys: keys == ["five"])


async def test_a_worker_that_says_nothing_is_measured_from_outside(
    start: StartSidecar, torchserve: FakeTorchServe
) -> None:
    """As the handler of somebody else's archive, whose process this machine can see."""
    worker = await asyncio.create_subprocess_exec(
        sys.executable, "-c", "input()", "model_service_worker", stdin=asyncio.subprocess.PIPE
    )
    client = await start()
    torchserve.models["echo"]["pids"] = [worker.pid]
    await until(lambda: model_of(client).pids == [worker.pid])
    (told,) = (await page(client, "/models/echo"))["workers"]
    assert 1 < told["memory_mb"] < 200
    worker.kill()
    await worker.wait()
