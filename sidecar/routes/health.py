"""GET /health, /livez and /readyz.  None needs a token, none is ever cached."""

import asyncio
import time
from dataclasses import dataclass
from typing import Literal

from aiohttp import web

from sidecar.background import BackgroundTasks
from sidecar.caching.shared_look import SharedLook
from sidecar.models.autoscaler import Autoscaler
from sidecar.models.history import History
from sidecar.models.reconciler import Reconciler
from sidecar.models.registry import ModelRegistry
from sidecar.schemas.core import (
    AutoscalerComponents,
    AutoscalerHealth,
    Checks,
    EngineStats,
    Health,
    ModelLoaderHealth,
    Probe,
    ZeroScaler,
)
from sidecar.telemetry.gpus import Gpus
from sidecar.telemetry.statistics import Statistics
from sidecar.web.route import Route, json_response


@dataclass(frozen=True, slots=True)
class HealthParts:
    """The parts whose health is checked."""

    models: ModelRegistry
    autoscaler: Autoscaler
    reconciler: Reconciler
    history: History
    background: BackgroundTasks
    engine_answers: SharedLook[bool]
    gpus: Gpus
    statistics: Statistics
    draining: asyncio.Event


PARTS = web.AppKey("health", HealthParts)


async def health(request: web.Request) -> web.Response:
    """Answer with all checks: 200 if every one passes, else 503 with the same body."""
    parts = request.app[PARTS]
    checks = await _checks(parts)
    statistics, alive = parts.statistics, not parts.background.down
    body = Health(
        checks.all,
        checks,
        time.time(),
        EngineStats(statistics.finished, statistics.average, statistics.active),
        AutoscalerHealth(
            healthy=alive,
            state=_scaling_state(parts),
            components=AutoscalerComponents(
                _zero_scaler(parts),
                ModelLoaderHealth("healthy" if alive else "unhealthy", parts.models.active_loads),
            ),
        ),
        parts.models.troubles(),
    )
    return json_response(body, 200 if checks.all else 503)


def _scaling_state(parts: HealthParts) -> Literal["running", "disabled", "draining", "failed"]:
    if parts.background.down:
        return "failed"
    if parts.draining.is_set():
        return "draining"
    return "running" if parts.autoscaler.config.enabled else "disabled"


def _zero_scaler(parts: HealthParts) -> ZeroScaler:
    config, last = parts.autoscaler.config, parts.history.last
    status: Literal["healthy", "unhealthy", "disabled"] = "healthy"
    if not (config.enabled and config.zero_scaling_enabled):
        status = "disabled"
    elif parts.background.down:
        status = "unhealthy"
    return ZeroScaler(status, last.timestamp if last else None)


async def livez(request: web.Request) -> web.Response:
    """Answer 200: whoever gets this answer knows that the event loop runs."""
    return json_response(Probe("ok"))


async def readyz(request: web.Request) -> web.Response:
    """Answer 200 if the server is healthy and not draining."""
    ready = await is_ready(request.app[PARTS])
    return json_response(Probe("ok" if ready else "unavailable"), 200 if ready else 503)


async def is_ready(parts: HealthParts) -> bool:
    """Return whether the server is healthy and not draining."""
    return not parts.draining.is_set() and (await _checks(parts)).all


async def _checks(parts: HealthParts) -> Checks:
    ready = not parts.background.down and parts.reconciler.settled
    return Checks(await parts.engine_answers.get(), ready, _device_is_usable(parts))


def _device_is_usable(parts: HealthParts) -> bool:
    """Return False if a GPU is missing that a loaded model uses, or an auto_load model requires."""
    runtimes = parts.models.runtimes()
    on_gpu = any(runtime.device.startswith("cuda") for runtime in runtimes)
    catalog = parts.models.catalog
    wanted = [catalog[key].requirements for key in catalog.auto_load()]
    needed = on_gpu or any(requirement.gpu_required for requirement in wanted)
    return not needed or parts.gpus.count > 0


ROUTES = [
    Route(
        "GET",
        "/health",
        health,
        "Health of all parts",
        response=Health,
        statuses=(503,),
        limited=False,
    ),
    Route(
        "GET",
        "/livez",
        livez,
        "Whether the process is alive",
        response=Probe,
        limited=False,
        prompt=True,
    ),
    Route(
        "GET",
        "/readyz",
        readyz,
        "Whether to send requests",
        response=Probe,
        statuses=(503,),
        limited=False,
        prompt=True,
    ),
]
