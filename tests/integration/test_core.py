"""The core API on the real TorchServe, as the contract's examples call it."""

import asyncio
import random
from collections.abc import Callable
from typing import Any

import aiohttp
import pytest

from tests.waiting import until_awaited

pytestmark = pytest.mark.integration
Token = Callable[[str], dict[str, str]]


async def predict(http: aiohttp.ClientSession, status: int = 200, **body: Any) -> Any:
    async with http.post("/predict", json=body) as response:
        answer = await response.json()
        assert response.status == status, answer
        return answer


@pytest.mark.parametrize(
    ("inputs", "count"),
    [
        ([1, 2, 3, 4, 5], None),
        ([[1, 2, 3], [4, 5, 6], [7, 8, 9]], 3),
        ([[1, 2, 3, 4, 5], [6, 7, 8, 9, 10], [11, 12, 13, 14, 15]], 3),
        ("Hello world", None),
        (7, None),
        (list(range(30)), None),
    ],
)
async def test_every_example_of_the_contract_is_answered(
    http: aiohttp.ClientSession, inputs: Any, count: int | None
) -> None:
    result = (await predict(http, model_name="example", inputs=inputs, priority=1))["result"]
    results = result if count else [result]
    assert len(results) == (count or 1)
    assert all(0 < number < 1 for number in results)


async def test_example_answers_the_same_alone_in_a_batch_and_again(
    http: aiohttp.ClientSession,
) -> None:
    inputs = [[float(number), 2.0] for number in range(40)]
    batch = (await predict(http, model_name="example", inputs=inputs))["result"]
    alone = [
        (await predict(http, model_name="example", inputs=each, enable_batching=False))["result"]
        for each in inputs
    ]
    assert batch == pytest.approx(alone, abs=1e-6)


async def test_one_bad_input_fails_alone_on_the_real_handler(http: aiohttp.ClientSession) -> None:
    inputs = [{"text": "good"}, {"colour": "red"}, {"text": "good"}]
    result = (await predict(http, model_name="minilm", inputs=inputs))["result"]
    assert len(result[0]) == len(result[2]) == 384
    assert set(result[1]) == {"error"}
    refused = await predict(http, 400, model_name="example", inputs={"a": 1})
    assert refused["detail"].startswith("inputs: ")


@pytest.mark.parametrize("body", [b"1e999", b"[1e999]", b"[" * 5000 + b"]" * 5000, b'"\xff"'])
async def test_hostile_inputs_are_refused_and_harm_nobody(
    http: aiohttp.ClientSession, body: bytes
) -> None:
    data = b'{"model_name": "example", "inputs": ' + body + b"}"
    good = predict(http, model_name="example", inputs=[1])
    async with http.post("/predict", data=data) as response:
        assert response.status in (400, 422)
    assert (await good)["success"] is True


async def test_health_info_and_config_tell_what_runs(http: aiohttp.ClientSession) -> None:
    async with http.get("/health") as response:
        assert response.status == 200
        assert (await response.json())["checks"] == {
            "inference_engine": True,
            "model": True,
            "device": True,
        }
    async with http.get("/info") as response:
        metrics = (await response.json())["performance_metrics"]
        assert metrics["models_in_memory"] == 5
    async with http.get("/config") as response:
        config = await response.json()
        wanted = [model for model in config["models"].values() if model["auto_load"]]
        assert {model["state"] for model in wanted} == {"ready"}
        assert {model["precision"] for model in wanted} <= {"fp32", "bf16", "int8"}
        assert config["models"]["joe_tts"]["state"] in ("available", "archived")
        files = config["logging_config"]["log_files"]
        assert {"server.log", "torchserve.log", "workers.log"} <= set(files)


async def test_stats_hold_what_torchserve_counted(
    http: aiohttp.ClientSession, token: Token
) -> None:
    await predict(http, model_name="example", inputs=[1])
    async with http.get("/stats", headers=token("stats")) as response:
        stats = await response.json()
    assert stats["stats"]["requests_processed"] >= 1
    assert stats["stats"]["memory_usage_mb"] > 300
    assert 0 <= stats["performance_report"]["device_utilization"] <= 1
    assert stats["torchserve"]["models"]["example"]["jobs"] >= 1
    assert stats["torchserve"]["models"]["example"]["inference_seconds"] > 0


async def test_metrics_hold_histograms_of_every_model(http: aiohttp.ClientSession) -> None:
    await predict(http, model_name="example", inputs=[1])
    async with http.get("/metrics") as response:
        text = await response.text()
    for name in ("queue_wait_seconds", "torchserve_seconds", "batch_size"):
        assert f'sidecar_{name}_bucket{{le="+Inf",model="example",version="1.0"}}' in text
    assert 'sidecar_workers{model="example"} 1.0' in text
    assert 'sidecar_request_seconds_count{route="/predict"}' in text


async def test_a_thousand_requests_of_mixed_priority_get_right_answers(
    http: aiohttp.ClientSession,
) -> None:
    chance = random.Random(3)
    inputs = [[chance.uniform(-1, 1) for _ in range(10)] for _ in range(1000)]
    expected = (await predict(http, model_name="example", inputs=inputs))["result"]
    answers = await asyncio.gather(
        *(
            predict(http, model_name="example", inputs=each, priority=index % 11)
            for index, each in enumerate(inputs)
        )
    )
    assert [answer["result"] for answer in answers] == pytest.approx(expected, abs=1e-6)
    assert any(answer["batch_info"]["processed_as_batch"] for answer in answers)


async def test_a_high_priority_overtakes_a_flood(http: aiohttp.ClientSession, token: Token) -> None:
    text = "a sentence that takes its time, " * 20
    flood = [
        asyncio.create_task(predict(http, model_name="minilm", inputs=text, timeout=120))
        for _ in range(150)
    ]

    async def queued() -> int:
        async with http.get("/stats", headers=token("stats")) as response:
            return int((await response.json())["stats"]["queue_size"])

    await until_awaited(queued, lambda size: size > 60)
    high = await predict(http, model_name="minilm", inputs="now!", priority=10, timeout=60)
    waiting = sum(not task.done() for task in flood)
    await asyncio.gather(*flood)
    assert high["success"]
    assert waiting > 40
