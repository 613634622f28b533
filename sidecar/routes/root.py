"""GET /: what this is, and what answers."""

from datetime import UTC, datetime
from typing import Literal

from aiohttp import web

import sidecar
from sidecar.routes.route import Route, json_response
from sidecar.schemas.core import Root, TtsSupport
from sidecar.services import SERVICES, Services

MESSAGE = "PyTorch Inference Framework API - Enhanced with TTS Support"
ENDPOINTS = {
    "inference": {"predict": "/predict"},
    "audio": {},
    "models": {},
    "system": {
        "health": "/health",
        "live": "/livez",
        "ready": "/readyz",
        "info": "/info",
        "stats": "/stats",
        "config": "/config",
        "metrics": "/metrics",
    },
    "documents": {"swagger_ui": "/docs", "openapi": "/openapi.json"},
}


async def root(request: web.Request) -> web.Response:
    """The front page."""
    services = request.app[SERVICES]
    return json_response(
        Root(
            MESSAGE,
            sidecar.__version__,
            status_of(services),
            datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
            services.settings.environment,
            TtsSupport(enabled=False, supported_models=[], features=[]),
            ENDPOINTS,
        )
    )


def status_of(services: Services) -> Literal["starting", "running", "degraded", "draining"]:
    """The program's state in one word."""
    if services.draining():
        return "draining"
    if services.loader.settled:
        return "running"
    return "degraded" if services.loader.was_settled else "starting"


ROUTES = [Route("GET", "/", root, "What this is, and what answers", response=Root)]
