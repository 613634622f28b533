"""A route, all that its document needs, and what answers of all routes have in common."""

from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal, NamedTuple

import msgspec
from aiohttp import hdrs, web

from sidecar.access.identity import SCOPES
from sidecar.settings import MB, Settings

CHANGE_BYTES = MB  # of a body that only changes something here

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
_encode = msgspec.json.Encoder().encode


class Route(NamedTuple):
    """Method, path and handler; *request*, *query* and *response* are msgspec types.

    They are for the document.  *or_response* is the answer's other form.  *form*: the body may be
    multipart as well, or must be ("only"), with the request's fields and the part `file`.
    *other_media* are the answer's types besides JSON.  *events* are the names and the types of
    data of its server-sent events, where it may be a stream of them; `error` goes without saying.

    *credential* is what `web.admission` asks for: nothing (None), one where the settings require
    it ("optional"), or one that has this scope.  Where there is a *request*, it may come in the
    body.

    *example* is a body that works as it is, with the models that come with the project; of a form
    its fields, without the file.
    """

    method: str
    path: str
    handler: Handler
    summary: str
    response: Any = None
    request: Any = None
    query: Any = None
    statuses: tuple[int, ...] = ()  # errors beyond those of every route
    credential: Literal["optional", "stats", "admin"] | None = None
    empty_body: bool = False  # no body is an empty object; where something is changed, always
    max_body_bytes: int | None = None  # of a JSON body; None: what `max_bytes` says
    media_type: str = "application/json"
    or_response: Any = None
    form: Literal["only"] | bool = False
    other_media: tuple[str, ...] = ()
    events: tuple[tuple[str, Any], ...] = ()
    limited: bool = True  # False: health checks and metrics, whose use is not limited
    page: bool = False  # computed at intervals, and shared by all who ask
    prompt: bool = False  # answered at once, ahead of requests that wait for their turn
    measured_as: Literal["inference", "synthesis"] | None = None  # by the statistics
    example: Any = None
    placeholders: bool = False  # a bearer token that cannot be a credential here counts as absent
    open_ended: bool = False  # the last name in the path stands for one segment or several
    also: tuple[str, ...] = ()  # other methods, which do the same
    may_end_in_slash: bool = False  # which makes no difference

    @property
    def methods(self) -> tuple[str, ...]:
        """Return all methods that it answers; HEAD goes without saying where GET is the first."""
        return (self.method, *self.also)

    @property
    def patterns(self) -> tuple[str, ...]:
        """Return the paths as aiohttp's router takes them."""
        pattern = f"{self.path[:-1]}:.+}}" if self.open_ended else self.path
        return (pattern, f"{pattern}/") if self.may_end_in_slash else (pattern,)

    @property
    def is_open(self) -> bool:
        """Whether it answers everybody, and only a wrong credential is refused."""
        return self.credential is None and self.limited

    @property
    def scope(self) -> str | None:
        """What a credential must allow; None: anything."""
        return self.credential if self.credential in SCOPES else None

    def max_bytes(self, settings: Settings) -> int:
        """Return how large a JSON body may be."""
        if self.max_body_bytes is not None:
            return self.max_body_bytes
        return int(settings.max_body_mb * MB) if self.scope is None else CHANGE_BYTES


class RouteGroup(NamedTuple):
    """Routes that belong together in the document.

    *description* tells a newcomer what they are for.
    """

    name: str
    description: str
    routes: Sequence[Route]


def shown_folder(folder: Path) -> str:
    """Return *folder* as strangers may see it: as it was set, or its name where that is a path."""
    return folder.name if folder.is_absolute() or ".." in folder.parts else str(folder)


def utc(epoch_seconds: float) -> str:
    """Return a time in UTC, to the second: ``2026-11-23T10:30:00Z``."""
    return datetime.fromtimestamp(epoch_seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def now() -> str:
    """Return the time of day in UTC, as `utc` does."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def json_response(value: Any, status: int = 200) -> web.Response:
    """Return *value*, which is of a msgspec type, as a JSON answer."""
    return web.Response(
        body=_encode(value), status=status, headers={hdrs.CONTENT_TYPE: "application/json"}
    )
