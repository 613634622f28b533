"""GET /health, /livez and /readyz.  None needs a token, none is ever cached."""

import time
from typing import Literal

from aiohttp import web

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
from sidecar.services import SERVICES, Services
from sidecar.web.route import Route, json_response


async def health(request: web.Request) -> web.Response:
    """All checks; 200 when every one is well, else 503 with the same body."""
    services = request.app[SERVICES]
    checks = await _checks(services)
    statistics, alive = services.statistics, not services.background.down
    body = Health(
        checks.all,
        checks,
        time.time(),
        EngineStats(statistics.finished, statistics.average, statistics.active),
        AutoscalerHealth(
            healthy=alive,
            state=_scaling_state(services),
            components=AutoscalerComponents(
                _zero_scaler(services),
                ModelLoaderHealth(
                    "healthy" if alive else "unhealthy", services.models.active_loads
                ),
            ),
        ),
        services.models.troubles(),
    )
    return json_response(body, 200 if checks.all else 503)


def _scaling_state(services: Services) -> Literal["running", "disabled", "draining", "failed"]:
    if services.background.down:
        return "failed"
    if services.draining.is_set():
        return "draining"
    return "running" if services.autoscaler.config.enabled else "disabled"


def _zero_scaler(services: Services) -> ZeroScaler:
    config, last = services.autoscaler.config, services.history.last
    status: Literal["healthy", "unhealthy", "disabled"] = "healthy"
    if not (config.enabled and config.zero_scaling_enabled):
        status = "disabled"
    elif services.background.down:
        status = "unhealthy"
    return ZeroScaler(status, last.timestamp if last else None)


async def livez(request: web.Request) -> web.Response:
    """The event loop turns."""
    return json_response(Probe("ok"))


async def readyz(request: web.Request) -> web.Response:
    """Healthy and not draining."""
    services = request.app[SERVICES]
    ready = not services.draining.is_set() and (await _checks(services)).all
    return json_response(Probe("ok" if ready else "unavailable"), 200 if ready else 503)


async def _checks(services: Services) -> Checks:
    ready = not services.background.down and services.reconciler.settled
    return Checks(await services.engine_answers.get(), ready, _device_is_usable(services))


def _device_is_usable(services: Services) -> bool:
    """A GPU is there when a loaded model runs on one, or one of auto_load cannot do without."""
    runtimes = services.models.runtimes()
    on_gpu = any(runtime.device.startswith("cuda") for runtime in runtimes)
    catalog = services.models.catalog
    wanted = [catalog[key].requirements for key in catalog.auto_load()]
    needed = on_gpu or any(requirement.gpu_required for requirement in wanted)
    return not needed or services.gpus.count > 0


ROUTES = [
    Route(
        *("GET", "/health", health, "Health of all parts"),
        response=Health,
        statuses=(503,),
        limited=False,
    ),
    Route(
        *("GET", "/livez", livez, "Whether the process is alive"),
        response=Probe,
        limited=False,
        prompt=True,
    ),
    Route(
        *("GET", "/readyz", readyz, "Whether to send requests"),
        response=Probe,
        statuses=(503,),
        limited=False,
        prompt=True,
    ),
]
