"""Server-sent events (https://html.spec.whatwg.org/multipage/server-sent-events.html)."""

import logging
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import NamedTuple

import msgspec
from aiohttp import hdrs, web

from sidecar.errors import SidecarError
from sidecar.web.error_forms import form_of
from sidecar.web.middleware import begin_stream, fault_of

log = logging.getLogger(__name__)

MEDIA_TYPE = "text/event-stream"


class Event(NamedTuple):
    """*data* is JSON, which holds no line break; without a *name* the data tells what it is."""

    name: str
    data: bytes

    def encode(self) -> bytes:
        """Return the bytes to send."""
        if not self.name:
            return b"data: %b\n\n" % self.data
        return b"event: %b\ndata: %b\n\n" % (self.name.encode(), self.data)


async def send_events(
    request: web.Request, events: AsyncGenerator[Event, None]
) -> tuple[web.StreamResponse, bool]:
    """Send *events* as they come; return the response, and whether all of them came.

    A failure before the first event is raised; a later one is the last event, `error`, with the
    body that the error would have had.
    """
    async with aclosing(events):
        first = await anext(events)
        response = web.StreamResponse(
            headers={hdrs.CONTENT_TYPE: MEDIA_TYPE, hdrs.CACHE_CONTROL: "no-store"}
        )
        try:
            await begin_stream(request, response)
            try:
                await response.write(first.encode())
                async for event in events:
                    await response.write(event.encode())
                whole = True
            except SidecarError as exc:
                log.warning("a stream of %s ended early: %s", request.path, exc)
                body = form_of(request.path).body(fault_of(request, exc))
                await response.write(Event("error", msgspec.json.encode(body)).encode())
                whole = False
            await response.write_eof()
        except ConnectionError:  # the client has left
            return response, False
    return response, whole
