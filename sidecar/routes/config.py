"""GET /config: the settings in force, without secrets."""

import asyncio
from dataclasses import dataclass
from typing import Any

from aiohttp import web

from sidecar.access.limits import Limits
from sidecar.models.model import Model
from sidecar.models.registry import ModelRegistry
from sidecar.schemas.core import (
    BatchConfig,
    Config,
    Configuration,
    DeviceConfig,
    InferenceConfig,
    LogFile,
    LoggingConfig,
    ModelConfig,
    RateLimiting,
    Resources,
    ServerConfig,
)
from sidecar.schemas.model_spec import Inference
from sidecar.settings import MB, Settings
from sidecar.telemetry.gpus import Gpus
from sidecar.telemetry.log_folder import LogFolder, LogStatus
from sidecar.web.page import page
from sidecar.web.route import Route, shown_folder, utc

HALF = ("fp16", "bf16")


@dataclass(frozen=True, slots=True)
class ConfigParts:
    """What the settings in force are."""

    settings: Settings
    models: ModelRegistry
    limits: Limits
    gpus: Gpus


PARTS = web.AppKey("config", ConfigParts)


@page(PARTS)
async def config(parts: ConfigParts) -> Config:
    """Return the defaults, each model's effective values, and where the logs are."""
    settings = parts.settings
    files = await asyncio.to_thread(LogFolder(settings.logs).files)
    device, batch = _default_device(parts), _default_batch()
    return Config(
        Configuration(device, batch),
        InferenceConfig(
            device.device_type, batch.batch_size, device.use_fp16, enable_profiling=False
        ),
        ServerConfig(settings.host, settings.port, settings.log_level),
        LoggingConfig(settings.log_level, shown_folder(settings.logs), _log_files(files)),
        {key: _model_config(model) for key, model in parts.models.items()},
        _rate_limiting(parts),
    )


def _rate_limiting(parts: ConfigParts) -> RateLimiting:
    limits, settings = parts.limits, parts.settings
    per_model = {
        key: spec.limits for key, spec in parts.models.catalog.items() if spec.limits is not None
    }
    limited = limits.clients_limited or bool(per_model)
    rate = limits.per_client.rate
    return RateLimiting(
        enabled=limited,
        backend=("redis" if settings.rate_limit_storage else "memory") if limited else None,
        requests_per_second=settings.rate_limit_requests_per_second,
        burst=rate.burst if rate else None,
        concurrent_requests=limits.per_client.concurrent_requests,
        per_model=per_model,
        resources=Resources(*limits.ceiling),
    )


def _log_files(files: list[LogStatus]) -> dict[str, LogFile]:
    return {each.name: LogFile(round(each.size / MB, 3), utc(each.modified)) for each in files}


def _default_device(parts: ConfigParts) -> DeviceConfig:
    runtimes = parts.models.runtimes()
    return DeviceConfig(
        **_device(parts, [runtime.device for runtime in runtimes]),
        use_fp16=any(runtime.precision in HALF for runtime in runtimes),
        use_tensorrt=any(runtime.tensorrt for runtime in runtimes),
    )


def _device(parts: ConfigParts, used: list[str]) -> dict[str, Any]:
    """Return what models run on or, until one has reported it, what the machine has.

    A driver alone proves nothing: torch may be a CPU build, or need a newer one.
    """
    gpus = sorted(
        int(device.partition(":")[2] or 0) for device in used if device.startswith("cuda")
    )
    if not used and parts.gpus.count:
        gpus = [0]
    return {
        "device_type": "cuda" if gpus else "cpu",
        "device_id": gpus[0] if gpus else None,
    }


def _default_batch() -> BatchConfig:
    default = Inference()
    return BatchConfig(default.batch_size, default.max_batch_size)


def _model_config(model: Model) -> ModelConfig:
    spec, runtime, inference = model.spec, model.runtime, model.spec.inference
    return ModelConfig(
        enabled=spec.enabled,
        auto_load=spec.auto_load,
        state=model.state.shown,
        version=model.version or spec.version,
        max_batch_size=inference.max_batch_size,
        batch_size=inference.batch_size,
        batch_delay_ms=inference.batch_delay_ms,
        queue_size=inference.queue_size,
        workers=inference.workers,
        job_timeout_seconds=inference.job_timeout_seconds,
        device=runtime.device if runtime else None,
        precision=runtime.precision if runtime else None,
        compile=runtime.compile if runtime else None,
    )


ROUTES = [Route("GET", "/config", config, "The settings in force", response=Config, page=True)]
