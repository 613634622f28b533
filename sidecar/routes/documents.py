"""GET /openapi.json, /docs (Swagger UI, its files shipped with us) and /metrics."""

import asyncio
import importlib.util
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import msgspec
from aiohttp import web

from sidecar.settings import Settings
from sidecar.telemetry.prometheus import Metrics
from sidecar.torchserve.client import TorchServeClient
from sidecar.torchserve.failures import EngineGone, EngineRefused
from sidecar.web.middleware import stamp
from sidecar.web.route import Route

API_DOCUMENT = web.AppKey("api_document", dict[str, object])


@dataclass(frozen=True, slots=True)
class MetricsParts:
    """What is measured, here and by TorchServe."""

    settings: Settings
    metrics: Metrics
    client: TorchServeClient


METRICS = web.AppKey("metrics", MetricsParts)

ASSETS = {
    "swagger-ui.css": "text/css",
    "swagger-ui-bundle.js": "text/javascript",
}
PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<title>TorchServe sidecar: API</title>
<link rel="icon" href="data:,">
<link rel="stylesheet" href="/docs/assets/swagger-ui.css">
</head>
<body>
<div id="swagger-ui"></div>
<script src="/docs/assets/swagger-ui-bundle.js"></script>
<script src="/docs/assets/start.js"></script>
</body>
</html>
"""
START = 'SwaggerUIBundle({ url: "/openapi.json", dom_id: "#swagger-ui", deepLinking: true });\n'
POLICY = (
    "default-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; "
    "frame-ancestors 'none'"
)


async def openapi(request: web.Request) -> web.Response:
    """Answer with the API document."""
    return web.json_response(body=msgspec.json.encode(request.app[API_DOCUMENT]))


async def docs(request: web.Request) -> web.Response:
    """Answer with Swagger UI."""
    return web.Response(
        text=PAGE, content_type="text/html", headers={"Content-Security-Policy": POLICY}
    )


async def asset(request: web.Request) -> web.StreamResponse:
    """Answer with one of Swagger UI's files."""
    name = request.match_info["name"]
    if name == "start.js":
        return web.Response(text=START, content_type="text/javascript")
    if name not in ASSETS:
        raise web.HTTPNotFound
    response = web.FileResponse(_swagger_folder() / name, headers={"Content-Type": ASSETS[name]})
    stamp(request, response)
    await response.prepare(request)  # here, so that an error becomes one of our own answers
    return response


async def metrics(request: web.Request) -> web.Response:
    """Answer in Prometheus' text format, with TorchServe's metrics if the settings ask for them."""
    parts = request.app[METRICS]
    text = parts.metrics.text() + await asyncio.to_thread(parts.metrics.process_text)
    if parts.settings.torchserve_metrics:
        with suppress(EngineGone, EngineRefused):  # without TorchServe there are no metrics of it
            text += await parts.client.fetch_metrics()
    return web.Response(
        body=text,
        headers={"Content-Type": "text/plain; version=0.0.4; charset=utf-8"},
    )


def _swagger_folder() -> Path:
    """Return the folder of the package swagger-ui-py, without importing it."""
    package = importlib.util.find_spec("swagger_ui")
    assert package is not None
    assert package.submodule_search_locations
    return Path(package.submodule_search_locations[0]) / "static"


ROUTES = [
    Route("GET", "/metrics", metrics, "Prometheus metrics", media_type="text/plain", limited=False),
    Route("GET", "/openapi.json", openapi, "This document"),
    Route("GET", "/docs", docs, "Swagger UI", media_type="text/html"),
]
ASSET_ROUTES = [("/docs/assets/{name}", asset)]  # files, not API: not in the document
