"""Pages: GET answers that are the same for everybody, and computed once a second at most."""

import functools
from collections.abc import Awaitable, Callable
from typing import Any

import msgspec
from aiohttp import hdrs, web

from sidecar.services import SERVICES, Services
from sidecar.web import request_head

_encode = msgspec.json.Encoder().encode
Compute = Callable[[Services], Awaitable[Any]]


def page(compute: Compute) -> Callable[[web.Request], Awaitable[web.Response]]:
    """The handler of a page that *compute* makes, a msgspec type; with ETag and 304."""

    @functools.wraps(compute)
    async def handler(request: web.Request) -> web.Response:
        services = request.app[SERVICES]

        async def encoded() -> bytes:
            return _encode(await compute(services))

        newest = await services.pages[request.path].get(encoded, fresh=wants_fresh(request))
        seconds = services.settings.page_cache_seconds
        headers = {hdrs.ETAG: newest.etag, hdrs.CACHE_CONTROL: f"max-age={seconds:g}"}
        if _has(request, newest.etag):
            return web.Response(status=304, headers=headers)
        headers[hdrs.CONTENT_TYPE] = "application/json"
        return web.Response(body=newest.body, headers=headers)

    return handler


def wants_fresh(request: web.Request) -> bool:
    """Whether the client asks for an answer of its own: RFC 9111, section 5.2.1."""
    asked = request_head.cache_control(request)
    return "no-cache" in asked or "no-store" in asked


def _has(request: web.Request, etag: str) -> bool:
    return any(known in ("*", etag.strip('"')) for known in request_head.etags(request))
