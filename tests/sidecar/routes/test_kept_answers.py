"""Pages with ETags, and results of models that may be kept."""

import asyncio
from typing import Any

import pytest

from sidecar.program import PROGRAM
from tests.fake_torchserve import FakeTorchServe
from tests.sidecar.conftest import CATALOG, ECHO, Client, StartSidecar
from tests.waiting import until

KEPT = CATALOG | {"echo": ECHO | {"cache": True, "aliases": ["the-echo"]}, "other": ECHO}


@pytest.fixture
async def client(start: StartSidecar) -> Client:
    return await start(catalog=KEPT, page_cache_seconds=3600.0)


async def ask(client: Client, headers: dict[str, str] | None = None, **fields: Any) -> Any:
    body = {"model_name": "echo", "inputs": [1, 2, 3]} | fields
    response = await client.post("/predict", json=body, headers=headers)
    assert response.status == 200
    answer = await response.json()
    return answer["result"], answer["model_info"]["processing_path"]


@pytest.mark.parametrize("path", ["/", "/info", "/config"])
async def test_a_page_is_computed_once_and_has_an_etag(client: Client, path: str) -> None:
    first, second = await client.get(path), await client.get(path)
    assert await first.read() == await second.read()
    assert first.headers["ETag"] == second.headers["ETag"]
    assert first.headers["Cache-Control"] == "max-age=3600"
    fresh = await client.get(path, headers={"Cache-Control": "no-cache"})
    assert fresh.status == 200


@pytest.mark.parametrize("known", ["{etag}", 'W/{etag}, "other"', '"other", {etag}', "*"])
async def test_a_known_etag_gets_304_without_a_body(client: Client, known: str) -> None:
    etag = (await client.get("/info")).headers["ETag"]
    again = await client.get("/info", headers={"If-None-Match": known.format(etag=etag)})
    assert again.status == 304
    assert await again.read() == b""
    assert again.headers["ETag"] == etag
    other = await client.get("/info", headers={"If-None-Match": '"other"'})
    assert other.status == 200


@pytest.mark.parametrize("path", ["/health", "/livez", "/readyz", "/metrics"])
async def test_health_pages_are_never_cached(client: Client, path: str) -> None:
    assert "ETag" not in (await client.get(path)).headers


async def test_an_equal_request_is_answered_without_the_model(
    client: Client, torchserve: FakeTorchServe
) -> None:
    assert await ask(client) == ([1, 2, 3], "optimized")
    jobs = len(torchserve.jobs)
    assert await ask(client, priority=5, timeout=3) == ([1, 2, 3], "cached")
    assert await ask(client, model_name="the-echo") == ([1, 2, 3], "cached")
    assert len(torchserve.jobs) == jobs
    assert await ask(client, inputs=[1, 2, 3.0]) == ([1, 2, 3.0], "optimized")
    assert await ask(client, inputs=[[1, 2, 3]]) == ([[1, 2, 3]], "optimized")


async def test_a_model_that_does_not_say_so_is_asked_each_time(
    client: Client, torchserve: FakeTorchServe
) -> None:
    for _ in range(2):
        assert await ask(client, model_name="other") == ([1, 2, 3], "optimized")
    assert len([job for job in torchserve.jobs if job == [[1, 2, 3]]]) == 2


async def test_no_cache_and_batching_off_bypass_the_cache(
    client: Client, torchserve: FakeTorchServe
) -> None:
    await ask(client)
    jobs = len(torchserve.jobs)
    assert (await ask(client, {"Cache-Control": "no-cache"}))[1] == "optimized"
    assert (await ask(client, enable_batching=False))[1] == "direct"
    assert len(torchserve.jobs) == jobs + 2


async def test_equal_requests_in_flight_share_one_job(
    client: Client, torchserve: FakeTorchServe
) -> None:
    torchserve.hold()
    asked = [asyncio.create_task(ask(client)) for _ in range(5)]
    assert client.app is not None
    statistics = client.app[PROGRAM].statistics
    await until(lambda: statistics.active == len(asked))
    torchserve.release()
    paths = sorted(path for _, path in await asyncio.gather(*asked))
    assert paths == ["coalesced"] * 4 + ["optimized"]
    assert torchserve.jobs == [[[1, 2, 3]]]


async def test_a_coalesced_request_has_its_own_time_out(
    client: Client, torchserve: FakeTorchServe
) -> None:
    torchserve.hold()
    leader = asyncio.create_task(ask(client))
    await until(lambda: torchserve.jobs)
    body = {"model_name": "echo", "inputs": [1, 2, 3], "timeout": 0.1}
    assert (await client.post("/predict", json=body)).status == 504
    torchserve.release()
    assert (await leader)[1] == "optimized"


async def test_a_failure_is_not_kept(client: Client, torchserve: FakeTorchServe) -> None:
    torchserve.refusals = [(500, "InternalServerException")] * 2
    body = {"model_name": "echo", "inputs": [1, 2, 3]}
    assert (await client.post("/predict", json=body)).status == 503
    assert await ask(client) == ([1, 2, 3], "optimized")


async def test_info_tells_how_often_the_caches_helped(client: Client) -> None:
    for _ in range(4):
        await ask(client)
    info = await (await client.get("/info")).json()
    assert info["server_config"]["caching_strategy"] == "aggressive"
    assert "result_caching" in info["server_config"]["server_features"]
    assert info["performance_metrics"]["cache_hit_rate"] == 0.75
