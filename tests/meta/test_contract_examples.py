"""Every example of the contract, sent to a live sidecar: its answer has the example's shape.

`contract_examples.json` holds them: what to send, the status, and the contract's answer.
An answer may have more keys than the example, never fewer.
"""

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jwt
import pytest

from tests.fake_torchserve import FakeTorchServe, Refuse
from tests.sidecar.conftest import ECHO, SECRET, Client, StartSidecar

EXAMPLES = json.loads(Path(__file__).with_name("contract_examples.json").read_bytes())
NULLABLE = {  # a number is measured, or null; so is what nobody has or does
    "health.engine_stats.avg_processing_time",
    "health.autoscaler.components.zero_scaler.last_activity",
    "info.server_config.tts_backend",
    "info.performance_metrics.cache_hit_rate",
    "info.performance_metrics.system_metrics.cpu_percent",
    "info.performance_metrics.system_metrics.memory_percent",
    "info.performance_metrics.system_metrics.memory_available_gb",
    "info.performance_metrics.gpu_metrics.memory_allocated_mb",
    "info.performance_metrics.gpu_metrics.gpu_utilization",
    "info.performance_metrics.tts_metrics.avg_synthesis_time_ms",
    "info.tts_service.capabilities.real_time",
    "stats.stats.avg_processing_time",
    "stats.stats.memory_usage_mb",
    "stats.performance_report.throughput_fps",
    "stats.performance_report.latency_p50",
    "stats.performance_report.latency_p95",
    "stats.performance_report.latency_p99",
    "stats.performance_report.device_utilization",
    "config.configuration.device.device_id",
}
MAPS = {  # their keys are names of things: any may be missing, all values have one shape
    "root.endpoints.inference",
    "root.endpoints.audio",
    "root.endpoints.models",
    "config.logging_config.log_files",
}
SAID = {  # what the contract's errors say, word for word
    "model not found": ["success", "error", "model_info"],
    "timeout": ["success", "error"],
    "not authenticated": ["detail", "status_code"],
}


def kind(value: Any) -> str:
    """JSON's own types: one kind of number, and true is none."""
    if isinstance(value, bool):
        return "boolean"
    return "number" if isinstance(value, int | float) else type(value).__name__


def differences(live: Any, example: Any, path: str) -> Iterator[str]:
    """Where *live* is not of the shape of *example*."""
    if live is None and path in NULLABLE:
        return
    if kind(live) != kind(example):
        yield f"{path}: {kind(live)} instead of {kind(example)}"
    elif isinstance(example, list):
        for item in live:
            yield from differences(item, example[0], f"{path}[]")
    elif path in MAPS:
        for value in live.values():
            yield from differences(value, next(iter(example.values())), f"{path}.*")
    elif isinstance(example, dict):
        yield from (f"{path}.{key}: missing" for key in example.keys() - live.keys())
        for key in example.keys() & live.keys():
            yield from differences(live[key], example[key], f"{path}.{key}")


def answer(value: Any) -> float:
    if value == "refused":
        raise Refuse(400, "this one is refused")
    return 0.75


@pytest.fixture
async def client(start: StartSidecar, torchserve: FakeTorchServe, tmp_path: Path) -> Client:
    """A sidecar whose model `example` answers 0.75, with one log file."""
    torchserve.archives.add("example.mar")
    torchserve.answer = answer
    (tmp_path / "logs").mkdir()
    (tmp_path / "logs" / "server.log").write_text("a line\n")
    return await start(catalog={"example": ECHO}, log_dir=tmp_path / "logs")


async def ask(client: Client, *, path: str, scope: str | None = None, **request: Any) -> Any:
    claims = {"sub": "tester", "scope": scope, "exp": int(time.time()) + 60}
    token = {"Authorization": f"Bearer {jwt.encode(claims, SECRET, 'HS256')}"}
    response = await client.request(path=path, headers=token if scope else {}, **request)
    return response.status, await response.json()


@pytest.mark.parametrize("name", EXAMPLES)
async def test_every_example_of_the_contract_is_answered_in_its_shape(
    client: Client, torchserve: FakeTorchServe, name: str
) -> None:
    example = EXAMPLES[name]
    if name == "timeout":
        torchserve.hold()
    status, live = await ask(client, **example["request"])
    assert status == example["status"], live
    assert list(differences(live, example["response"], name)) == []
    for key in SAID.get(name, []):
        assert live[key] == example["response"][key]


async def test_measured_values_are_not_null(client: Client, torchserve: FakeTorchServe) -> None:
    """The same shapes after a prediction, when the averages and percentiles have numbers."""
    await ask(client, **EXAMPLES["predict"]["request"])
    _, stats = await ask(client, **EXAMPLES["stats"]["request"])
    _, health = await ask(client, **EXAMPLES["health"]["request"])
    measured = stats["performance_report"] | stats["stats"] | health["engine_stats"]
    del measured["device_utilization"]  # of two readings, some seconds apart
    assert {name for name, value in measured.items() if value is None} == set()


@pytest.mark.parametrize("missing", ["healthy", "checks", "autoscaler"])
def test_the_comparison_sees_what_is_missing(missing: str) -> None:
    health = dict(EXAMPLES["health"]["response"])
    assert list(differences(health, health, "health")) == []
    del health[missing]
    assert list(differences(health, EXAMPLES["health"]["response"], "health")) == [
        f"health.{missing}: missing"
    ]
