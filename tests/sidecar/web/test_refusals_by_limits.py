"""429 and 503 by limits: who is limited, what they are told, and who never is."""

import asyncio
import time
from typing import Any

import jwt
import pytest
from msgspec.structs import replace

from sidecar.program import PROGRAM
from sidecar.settings import Secret
from sidecar.telemetry.gpus import GpuFigures
from tests.fake_torchserve import FakeTorchServe
from tests.sidecar.conftest import CATALOG, ECHO, SECRET, Client, StartSidecar
from tests.waiting import until, until_awaited

BODY = {"model_name": "echo", "inputs": [1, 2, 3]}


def bearer(subject: str, scope: str = "stats") -> dict[str, str]:
    claims = {"sub": subject, "scope": scope, "exp": int(time.time()) + 3600}
    return {"Authorization": f"Bearer {jwt.encode(claims, SECRET, 'HS256')}"}


async def statuses(client: Client, count: int, **kwargs: Any) -> list[int]:
    return [(await client.post("/predict", json=BODY, **kwargs)).status for _ in range(count)]


async def test_a_client_over_its_rate_gets_429_with_retry_after(
    start: StartSidecar,
) -> None:
    client = await start(rate_limit_requests_per_second=0.02, rate_limit_burst=2)
    first = await client.post("/predict", json=BODY)
    assert first.headers["RateLimit-Policy"] == '"client";q=2;w=100'
    assert first.headers["RateLimit"].startswith('"client";r=1;t=')
    assert await statuses(client, 1) == [200]
    refused = await client.post("/predict", json=BODY)
    assert refused.status == 429
    assert 0 < int(refused.headers["Retry-After"]) <= 200
    assert refused.headers["RateLimit"].startswith('"client";r=0;t=')
    answer = await refused.json()
    assert answer["error"] == "Too many requests"
    assert answer["detail"] == "at most 2 requests per client in 100 s"
    assert answer["status_code"] == 429


async def test_each_token_has_a_rate_of_its_own_wherever_it_comes_from(
    start: StartSidecar,
) -> None:
    client = await start(rate_limit_requests_per_second=0.02, rate_limit_burst=2)
    assert await statuses(client, 3, headers=bearer("anna")) == [200, 200, 429]
    assert await statuses(client, 3, headers=bearer("bert")) == [200, 200, 429]
    assert await statuses(client, 3) == [200, 200, 429]
    body = BODY | {"token": bearer("anna")["Authorization"].removeprefix("Bearer ")}
    assert (await client.post("/predict", json=body)).status == 429


async def test_behind_a_trusted_proxy_the_address_is_the_clients(start: StartSidecar) -> None:
    limit = {"rate_limit_requests_per_second": 0.01}
    direct = await start(**limit)
    behind = await start(**limit, trusted_proxies=("127.0.0.1",))
    anna, bert = {"X-Forwarded-For": "203.0.113.1"}, {"X-Forwarded-For": "203.0.113.2"}
    assert await statuses(direct, 1, headers=anna) + await statuses(direct, 1, headers=bert) == [
        200,
        429,
    ]
    assert await statuses(behind, 2, headers=anna) == [200, 429]
    assert await statuses(behind, 2, headers=bert) == [200, 429]


async def test_a_proxy_may_add_a_line_of_its_own_and_the_last_one_counts(
    start: StartSidecar,
) -> None:
    client = await start(rate_limit_requests_per_second=0.01, trusted_proxies=("127.0.0.1",))
    for forged, status in (("203.0.113.8", 200), ("203.0.113.9", 429)):
        headers = [("X-Forwarded-For", forged), ("X-Forwarded-For", "203.0.113.1")]
        assert await statuses(client, 1, headers=headers) == [status]


@pytest.mark.parametrize(
    ("wrong", "status"),
    [
        ({"data": b"{"}, 400),
        ({"data": b" " * 2**20}, 413),
        ({"json": BODY, "headers": {"Authorization": "Bearer no"}}, 401),
        ({"json": BODY | {"token": "no"}}, 401),
    ],
)
async def test_early_refusals_count_for_the_address(
    start: StartSidecar, wrong: dict[str, Any], status: int
) -> None:
    client = await start(rate_limit_requests_per_second=0.02, rate_limit_burst=2, max_body_mb=0.5)
    asked = [(await client.post("/predict", **wrong)).status for _ in range(3)]
    assert asked == [status, status, 429]
    assert await statuses(client, 1) == [429]
    assert await statuses(client, 1, headers=bearer("anna")) == [200]


async def test_a_missing_scope_counts_too(start: StartSidecar) -> None:
    client = await start(rate_limit_requests_per_second=0.02, rate_limit_burst=2)
    asked = [(await client.get("/stats")).status for _ in range(3)]
    assert asked == [401, 401, 429]


async def test_an_invalid_request_counts_for_the_rate(
    start: StartSidecar,
) -> None:
    client = await start(rate_limit_requests_per_second=0.01)
    wrong = BODY | {"priority": 99}
    assert (await client.post("/predict", json=wrong)).status == 422
    assert (await client.post("/predict", json=wrong)).status == 429


async def test_pages_are_limited_and_health_checks_never(start: StartSidecar) -> None:
    client = await start(rate_limit_requests_per_second=0.01)
    assert (await client.get("/info")).status == 200
    assert (await client.get("/config")).status == 429
    assert (await client.get("/stats", headers=bearer("ops"))).status == 200
    assert (await client.get("/stats", headers=bearer("ops"))).status == 429
    for path in ("/health", "/livez", "/readyz", "/metrics"):
        for _ in range(3):
            answer = await client.get(path)
            assert answer.status == 200
            assert "RateLimit" not in answer.headers


async def test_the_concurrent_requests_of_a_client_are_limited(
    start: StartSidecar, torchserve: FakeTorchServe
) -> None:
    client = await start(rate_limit_concurrent_requests=2)
    assert client.app is not None
    statistics = client.app[PROGRAM].statistics
    torchserve.hold()
    asked = [asyncio.create_task(client.post("/predict", json=BODY)) for _ in range(2)]
    await until(lambda: torchserve.jobs)
    refused = await client.post("/predict", json=BODY)
    assert refused.status == 429
    assert refused.headers["Retry-After"] == "1"
    other = asyncio.create_task(client.post("/predict", json=BODY, headers=bearer("anna")))
    await until(lambda: statistics.active == 3)
    assert not other.done()
    torchserve.release()
    assert [each.status for each in await asyncio.gather(*asked, other)] == [200, 200, 200]
    assert await statuses(client, 3) == [200, 200, 200]


async def test_a_client_that_leaves_gives_its_place_back(
    start: StartSidecar, torchserve: FakeTorchServe
) -> None:
    client = await start(rate_limit_concurrent_requests=1)
    torchserve.hold()
    asked = asyncio.create_task(client.post("/predict", json=BODY))
    await until(lambda: torchserve.jobs)
    asked.cancel()
    await asyncio.gather(asked, return_exceptions=True)
    torchserve.release()
    await until_awaited(lambda: statuses(client, 1), lambda found: found == [200])


async def test_a_model_has_limits_for_all_clients_together(start: StartSidecar) -> None:
    catalog = CATALOG | {"echo": ECHO | {"limits": {"requests_per_second": 0.02, "burst": 2}}}
    client = await start(catalog=catalog)
    assert await statuses(client, 2, headers=bearer("anna")) == [200, 200]
    refused = await client.post("/predict", json=BODY, headers=bearer("bert"))
    assert refused.status == 429
    assert (await refused.json())["detail"] == "at most 2 requests per model in 100 s"


async def test_an_overloaded_machine_refuses_requests(start: StartSidecar) -> None:
    client = await start(throttle_memory_percent=90.0, throttle_gpu_memory_percent=80.0)
    assert client.app is not None
    system = client.app[PROGRAM].system
    system.figures = replace(system.figures, memory_percent=95.0, gpus=GpuFigures())
    refused = await client.post("/predict", json=BODY)
    assert refused.status == 503
    assert refused.headers["Retry-After"] == "2"
    assert (await refused.json())["detail"] == "memory_percent: 95, the limit is 90"
    full = GpuFigures(1, 1, 1, 1, 81.0)
    system.figures = replace(system.figures, memory_percent=50.0, gpus=full)
    refused = await client.post("/predict", json=BODY)
    assert (await refused.json())["detail"] == "gpu_memory_percent: 81, the limit is 80"
    assert (await client.get("/health")).status == 200


async def test_a_queue_that_is_too_deep_sheds_load(
    start: StartSidecar, torchserve: FakeTorchServe
) -> None:
    client = await start(throttle_queue_depth=3)
    torchserve.hold()
    asked = [asyncio.create_task(client.post("/predict", json=BODY))]
    await until(lambda: torchserve.jobs)
    asked += [asyncio.create_task(client.post("/predict", json=BODY)) for _ in range(4)]
    assert client.app is not None
    models = client.app[PROGRAM].models
    await until(lambda: models.queued >= 3)
    refused = await client.post("/predict", json=BODY)
    assert refused.status == 503
    assert (await refused.json())["detail"].startswith("queue_depth: ")
    torchserve.release()
    assert 200 in [each.status for each in await asyncio.gather(*asked)]


async def test_config_shows_the_limits_in_force(start: StartSidecar) -> None:
    limits = {"requests_per_second": 5.0, "burst": None, "concurrent_requests": 1}
    client = await start(
        catalog=CATALOG | {"echo": ECHO | {"limits": limits}},
        rate_limit_requests_per_second=10.0,
        rate_limit_burst=50,
        rate_limit_concurrent_requests=4,
        throttle_memory_percent=90.0,
        throttle_queue_depth=100,
    )
    config = await (await client.get("/config")).json()
    assert config["rate_limiting"] == {
        "enabled": True,
        "backend": "memory",
        "requests_per_second": 10.0,
        "burst": 50,
        "concurrent_requests": 4,
        "per_model": {"echo": limits},
        "resources": {"memory_percent": 90.0, "gpu_memory_percent": None, "queue_depth": 100},
    }
    info = await (await client.get("/info")).json()
    assert "rate_limiting" in info["server_config"]["server_features"]


async def test_a_store_that_fails_refuses_nobody(start: StartSidecar) -> None:
    nobody_listens = Secret("redis://:password@127.0.0.1:1/0")
    client = await start(rate_limit_requests_per_second=0.01, rate_limit_storage=nobody_listens)
    assert await statuses(client, 3) == [200, 200, 200]
    config = await client.get("/config")
    assert (await config.json())["rate_limiting"]["backend"] == "redis"
    assert "password" not in await config.text()
