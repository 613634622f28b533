"""GET /v2 and the health of the server."""

from aiohttp import web

import sidecar
from sidecar.routes.health import PARTS, is_ready
from sidecar.schemas.open_inference import ServerLive, ServerMetadata, ServerReady
from sidecar.web.route import Route, json_response

EXTENSIONS = ("binary_tensor_data", "model_repository", "parameters")


def server_facts() -> ServerMetadata:
    """Return the server's name and version, and the extensions of the protocol it supports."""
    return ServerMetadata("torchserve-sidecar", sidecar.__version__, list(EXTENSIONS))


async def server_metadata(request: web.Request) -> web.Response:
    """Answer with the server's name, version and extensions."""
    return json_response(server_facts())


async def server_live(request: web.Request) -> web.Response:
    """Answer 200: that it is answered shows that the event loop runs."""
    return json_response(ServerLive(live=True))


async def server_ready(request: web.Request) -> web.Response:
    """Answer as /readyz does: 200 if the server is healthy and not draining, else 503."""
    ready = await is_ready(request.app[PARTS])
    return json_response(ServerReady(ready), 200 if ready else 503)


ROUTES = [
    Route(
        "GET",
        "/v2",
        server_metadata,
        "The server's name, version and extensions",
        response=ServerMetadata,
    ),
    Route(
        "GET",
        "/v2/health/live",
        server_live,
        "Whether the server is alive",
        response=ServerLive,
        limited=False,
        prompt=True,
    ),
    Route(
        "GET",
        "/v2/health/ready",
        server_ready,
        "Whether the server is ready",
        response=ServerReady,
        statuses=(503,),
        limited=False,
        prompt=True,
    ),
]
