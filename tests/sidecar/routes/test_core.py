"""/, /health, /info, /stats, /config and the probes, field by field, before speech and scaling."""

import errno
import re
import time
from typing import Any

import jwt
import pytest

import sidecar
from sidecar.program import PROGRAM
from sidecar.routes.groups import ROUTES
from tests.fake_torchserve import FakeTorchServe
from tests.sidecar.conftest import SECRET, Client, StartSidecar
from tests.waiting import until

ISO_SECONDS = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ")
ISO_MICROSECONDS = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}")


def token(scope: str = "stats") -> dict[str, str]:
    claims = {"sub": "tester", "scope": scope, "exp": int(time.time()) + 3600}
    return {"Authorization": f"Bearer {jwt.encode(claims, SECRET, 'HS256')}"}


async def get(client: Client, path: str, status: int = 200, **kwargs: Any) -> Any:
    response = await client.get(path, **kwargs)
    assert response.status == status
    return await response.json()


async def test_root_tells_what_answers_and_nothing_else(client: Client) -> None:
    root = await get(client, "/")
    assert ISO_SECONDS.fullmatch(root.pop("timestamp"))
    endpoints = root.pop("endpoints")
    assert root == {
        "message": "PyTorch Inference Framework API - Enhanced with TTS Support",
        "version": sidecar.__version__,
        "status": "running",
        "environment": "development",
        "tts_support": {"enabled": False, "supported_models": [], "features": []},
    }
    assert {"inference", "audio", "models"} <= set(endpoints)
    for group in endpoints.values():
        for path in group.values():
            assert path in {route.path for route in ROUTES}


async def test_root_says_starting_until_every_model_is_ready(
    start: StartSidecar, torchserve: FakeTorchServe
) -> None:
    torchserve.workers_status = "LOADING"
    client = await start(ready=False)
    assert (await get(client, "/"))["status"] == "starting"


async def test_root_says_degraded_when_torchserve_has_gone(
    client: Client, torchserve: FakeTorchServe
) -> None:
    await torchserve.stop()
    await client.post("/predict", json={"model_name": "echo", "inputs": 1})
    await get(client, "/health", 503)
    while (await get(client, "/"))["status"] == "running":
        pass
    assert (await get(client, "/"))["status"] == "degraded"


async def test_health_is_200_when_all_is_well(client: Client) -> None:
    await client.post("/predict", json={"model_name": "echo", "inputs": 1})
    health = await get(client, "/health")
    assert abs(health.pop("timestamp") - time.time()) < 5
    assert health["engine_stats"].pop("avg_processing_time") > 0
    loaded_at = health["autoscaler"]["components"]["zero_scaler"]["last_activity"]
    assert abs(loaded_at - time.time()) < 5
    assert health == {
        "healthy": True,
        "checks": {"inference_engine": True, "model": True, "device": True},
        "engine_stats": {"requests_processed": 1, "active_requests": 0},
        "autoscaler": {
            "healthy": True,
            "state": "running",
            "components": {
                "zero_scaler": {"status": "healthy", "last_activity": loaded_at},
                "model_loader": {"status": "healthy", "active_loaders": 0},
            },
        },
        "failing_models": {},
    }


async def test_health_is_503_with_the_same_body_when_torchserve_is_away(
    client: Client, torchserve: FakeTorchServe
) -> None:
    await torchserve.stop()
    health = await get(client, "/health", 503)
    assert health["healthy"] is False
    assert health["checks"]["inference_engine"] is False


async def test_health_sees_workers_that_are_not_ready_though_ping_is_well(
    start: StartSidecar, torchserve: FakeTorchServe
) -> None:
    torchserve.workers_status = "UNLOADING"
    client = await start(ready=False)
    health = await get(client, "/health", 503)
    assert health["checks"]["model"] is False


async def test_livez_is_always_200_and_readyz_goes_red_when_draining(client: Client) -> None:
    assert await get(client, "/livez") == {"status": "ok"}
    assert await get(client, "/readyz") == {"status": "ok"}
    assert client.app is not None
    client.app[PROGRAM].draining.set()
    assert await get(client, "/livez") == {"status": "ok"}
    assert await get(client, "/readyz", 503) == {"status": "unavailable"}
    assert (await get(client, "/"))["status"] == "draining"
    refused = await client.post("/predict", json={"model_name": "echo", "inputs": 1})
    assert refused.status == 503
    assert "Retry-After" in refused.headers


async def test_info_tells_the_truth_before_speech_and_caching(client: Client) -> None:
    info = await get(client, "/info")
    assert ISO_MICROSECONDS.fullmatch(info.pop("timestamp"))
    system = info["performance_metrics"].pop("system_metrics")
    assert 0 < system["memory_percent"] < 100
    assert system["memory_available_gb"] > 0
    assert set(system) == {"cpu_percent", "memory_percent", "memory_available_gb"}
    gpus = info["performance_metrics"].pop("gpu_metrics")
    assert set(gpus) == {"gpu_available", "gpu_count", "memory_allocated_mb", "gpu_utilization"}
    assert info == {
        "server_config": {
            "optimization_level": "low",
            "caching_strategy": "off",
            "tts_backend": None,
            "auto_optimization": True,
            "server_features": [
                "batch_processing",
                "inflight_batching",
                "priority_queue",
                "request_timeouts",
                "auto_optimization",
            ],
        },
        "performance_metrics": {
            "cache_hit_rate": None,
            "models_in_memory": 1,
            "tts_metrics": {
                "tts_models_loaded": 0,
                "avg_synthesis_time_ms": None,
                "synthesis_requests_total": 0,
            },
        },
        "tts_service": {
            "status": "disabled",
            "available_voices": [],
            "supported_languages": [],
            "loaded_tts_models": [],
            "capabilities": {
                "text_to_speech": False,
                "voice_cloning": False,
                "emotion_synthesis": False,
                "real_time": None,
            },
        },
    }


async def test_stats_before_any_request_are_zero_or_null(client: Client) -> None:
    stats = await get(client, "/stats", headers=token())
    assert stats["stats"].pop("memory_usage_mb") > 10
    assert stats["stats"] == {
        "requests_processed": 0,
        "total_processing_time": 0.0,
        "avg_processing_time": None,
        "active_requests": 0,
        "queue_size": 0,
    }
    stats["performance_report"].pop("device_utilization")
    assert set(stats["performance_report"].values()) == {None}


async def test_stats_count_what_was_asked_and_what_torchserve_counted(client: Client) -> None:
    for inputs in ([1], [[1], [2], [3]]):
        await client.post("/predict", json={"model_name": "echo", "inputs": inputs})
    await client.post("/predict", json={"model_name": "nobody", "inputs": 1})
    stats = await get(client, "/stats", headers=token("admin"))
    assert stats["stats"]["requests_processed"] == 3
    report = stats["performance_report"]
    assert 0 < report["latency_p50"] <= report["latency_p95"] <= report["latency_p99"]
    assert report["throughput_fps"] > 0
    assert stats["torchserve"]["models"]["echo"]["jobs"] == 2


@pytest.mark.parametrize(
    ("headers", "status"),
    [({}, 401), ({"Authorization": "Bearer nonsense"}, 401), (token("other"), 403)],
)
async def test_stats_need_a_credential_with_the_scope(
    client: Client, headers: dict[str, str], status: int
) -> None:
    response = await client.get("/stats", headers=headers)
    assert response.status == status
    assert response.headers["WWW-Authenticate"].startswith("Bearer")
    body = await response.json()
    assert body["status_code"] == status
    if status == 401:
        assert body["detail"] == "Not authenticated"
    else:
        assert 'error="insufficient_scope"' in response.headers["WWW-Authenticate"]


async def test_stats_tell_null_of_what_cannot_be_asked(
    client: Client, torchserve: FakeTorchServe
) -> None:
    await torchserve.stop()
    assert (await get(client, "/stats", headers=token()))["torchserve"] is None


async def test_config_tells_the_defaults_and_each_model(client: Client) -> None:
    config = await get(client, "/config")
    assert config["configuration"]["batch"] == {"batch_size": 8, "max_batch_size": 16}
    device = config["configuration"]["device"]
    assert set(device) == {"device_type", "device_id", "use_fp16", "use_tensorrt"}
    assert config["inference_config"] == {
        "device_type": device["device_type"],
        "batch_size": 8,
        "use_fp16": False,
        "enable_profiling": False,
    }
    assert config["models"]["echo"]["state"] == "ready"
    assert config["models"]["echo"]["device"] == "cpu"
    assert config["models"]["disabled"]["state"] == "disabled"
    assert config["rate_limiting"]["enabled"] is False
    assert set(config["rate_limiting"]["resources"].values()) == {None}
    assert set(config["logging_config"]) == {"log_level", "log_directory", "log_files"}
    assert SECRET not in str(config)


async def test_a_failed_background_task_turns_readiness_red_until_it_restarts(
    client: Client,
) -> None:
    assert client.app is not None
    services = client.app[PROGRAM]
    look = services.reconciler.look

    async def fail() -> None:
        services.reconciler.look = look
        raise OSError(errno.EMFILE, "Too many open files")

    services.reconciler.look = fail
    services.reconciler.nudge()
    await until(lambda: services.background.down)
    health = await get(client, "/health", 503)
    assert health["autoscaler"]["state"] == "failed"
    assert health["autoscaler"]["components"]["model_loader"]["status"] == "unhealthy"
    await get(client, "/readyz", 503)
    assert (
        'sidecar_background_failures_total{task="loader"} 1.0' in services.metrics.text().decode()
    )
    await until(lambda: not services.background.down)
    await get(client, "/readyz", 200)
