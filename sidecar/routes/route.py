"""A route, and all that its document needs."""

from collections.abc import Awaitable, Callable
from typing import Any, Literal, NamedTuple

import msgspec
from aiohttp import hdrs, web

_encode = msgspec.json.Encoder().encode


class Route(NamedTuple):
    """Method, path and handler; *request* and *response* are msgspec types for the document."""

    method: str
    path: str
    handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
    summary: str
    response: Any = None
    request: Any = None
    statuses: tuple[int, ...] = ()  # errors beyond those of every route
    credential: Literal["optional", "required"] | None = None  # None: it is not looked at
    media_type: str = "application/json"


def json_response(value: Any, status: int = 200) -> web.Response:
    """*value*, a msgspec type, as a JSON answer."""
    return web.Response(
        body=_encode(value), status=status, headers={hdrs.CONTENT_TYPE: "application/json"}
    )
