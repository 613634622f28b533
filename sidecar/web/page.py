"""Pages: GET answers that are the same for everybody, and computed once a second at most."""

import functools
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import msgspec
from aiohttp import hdrs, web

from sidecar.caching.lookups import Lookups
from sidecar.caching.snapshot import Snapshot
from sidecar.web import request_head

_encode = msgspec.json.Encoder().encode
Parts = TypeVar("Parts")


class PageCache:
    """The newest page of each path, for *seconds*."""

    def __init__(self, lookups: Lookups, seconds: float) -> None:
        self._lookups = lookups
        self._snapshots: dict[str, Snapshot] = {}
        self.seconds = seconds

    def snapshot(self, path: str) -> Snapshot:
        """Return what is kept of the page at *path*."""
        if path not in self._snapshots:
            self._snapshots[path] = Snapshot(self._lookups, seconds=self.seconds)
        return self._snapshots[path]


PAGES = web.AppKey("pages", PageCache)


def page(
    key: web.AppKey[Parts],
) -> Callable[
    [Callable[[Parts], Awaitable[Any]]], Callable[[web.Request], Awaitable[web.Response]]
]:
    """Make a handler, with ETag and 304, of a function that computes a page.

    It is given the parts that the application has under *key*.
    """

    def decorate(
        compute: Callable[[Parts], Awaitable[Any]],
    ) -> Callable[[web.Request], Awaitable[web.Response]]:
        @functools.wraps(compute)
        async def handler(request: web.Request) -> web.Response:
            async def encoded() -> bytes:
                return _encode(await compute(request.app[key]))

            pages = request.app[PAGES]
            newest = await pages.snapshot(request.path).get(encoded, fresh=wants_fresh(request))
            headers = {hdrs.ETAG: newest.etag, hdrs.CACHE_CONTROL: f"max-age={pages.seconds:g}"}
            if _has(request, newest.etag):
                return web.Response(status=304, headers=headers)
            headers[hdrs.CONTENT_TYPE] = "application/json"
            return web.Response(body=newest.body, headers=headers)

        return handler

    return decorate


def wants_fresh(request: web.Request) -> bool:
    """Return whether the client asks for an answer of its own: RFC 9111, section 5.2.1."""
    asked = request_head.cache_control(request)
    return "no-cache" in asked or "no-store" in asked


def _has(request: web.Request, etag: str) -> bool:
    return any(known in ("*", etag.strip('"')) for known in request_head.etags(request))
