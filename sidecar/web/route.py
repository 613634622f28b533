"""A route, and all that its document needs."""

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, Literal, NamedTuple

import msgspec
from aiohttp import hdrs, web

_encode = msgspec.json.Encoder().encode


class Route(NamedTuple):
    """Method, path and handler; *request*, *query* and *response* are msgspec types.

    They are for the document.  *or_response* is the answer's other form.  *form*: the body may be
    multipart as well, with the request's fields and the part `file`.  *other_media* are the
    answer's types besides JSON.
    """

    method: str
    path: str
    handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
    summary: str
    response: Any = None
    request: Any = None
    query: Any = None
    statuses: tuple[int, ...] = ()  # errors beyond those of every route
    credential: Literal["optional", "required"] | None = None  # None: the handler asks for none
    media_type: str = "application/json"
    or_response: Any = None
    form: bool = False
    other_media: tuple[str, ...] = ()
    limited: bool = True  # False: health checks and metrics, which no client can use up
    page: bool = False  # computed once in a while, for all who ask
    prompt: bool = False  # answered at once, however many other requests came first

    @property
    def is_open(self) -> bool:
        """Whether it answers everybody, and only a wrong credential is refused."""
        return self.credential is None and self.limited


def shown_folder(folder: Path) -> str:
    """Return *folder* as strangers may see it: as it was set, or its name where that is a path."""
    return folder.name if folder.is_absolute() or ".." in folder.parts else str(folder)


def json_response(value: Any, status: int = 200) -> web.Response:
    """*value*, a msgspec type, as a JSON answer."""
    return web.Response(
        body=_encode(value), status=status, headers={hdrs.CONTENT_TYPE: "application/json"}
    )
