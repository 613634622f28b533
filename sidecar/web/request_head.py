"""What may be taken from a request's head: each header against its own grammar.

aiohttp decodes headers and the request target with `surrogateescape`, so they may hold text that no
encoder takes, and line separators that forge lines wherever they are written.  Whatever is passed
on from here (to a worker, a log, an answer) is plain ASCII.  What does not match is dropped, as if
the client had not sent it; a target that does not match is refused.
"""

import itertools
import re
import uuid
from typing import Protocol

from aiohttp import hdrs, web
from multidict import CIMultiDictProxy, istr

from sidecar.errors import InvalidTarget
from sidecar.telemetry.trace_context import TRACEPARENT

REQUEST_ID = istr("X-Request-ID")
TRACEPARENT_HEADER = istr("traceparent")
FORWARDED_FOR = istr("X-Forwarded-For")

_REQUEST_ID = re.compile(r"[A-Za-z0-9_.:-]{1,128}")
_TRACEPARENT = re.compile(  # W3C Trace Context, level 2; later versions may append to it
    r"(?!ff)(?P<version>[0-9a-f]{2})"
    r"(?P<ids>-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-)"
    r"(?P<flags>[0-9a-f]{2})(?P<more>-[\x21-\x7e]*)?"
)
_KNOWN_FLAGS = 0b11  # sampled, and that the trace's id is random
_FORWARDED = re.compile(r"[0-9A-Za-z.:,\[\] \t_-]*")
_PRINTABLE = re.compile(r"[\t\x20-\x7e]*")


_PROCESS_ID = uuid.uuid4().hex[:24]  # followed by a serial number, the id of a request
_serial = itertools.count(1)


class Headed(Protocol):
    """A request, or what the parser has made of its head."""

    @property
    def headers(self) -> CIMultiDictProxy[str]:
        """Its headers."""


def new_request_id() -> str:
    """Return an id for a request that has brought none."""
    return f"{_PROCESS_ID}{next(_serial):08x}"


def request_id(request: Headed) -> str | None:
    """Return the client's own id of the request, if it sent one that is fit to be repeated."""
    given = request.headers.get(REQUEST_ID)
    return given if given and _REQUEST_ID.fullmatch(given) else None


def traceparent(request: Headed) -> str | None:
    """Return where in its trace *request* is: where its own span is, else where its client is."""
    return TRACEPARENT.get() or given_traceparent(request)


def given_traceparent(request: Headed) -> str | None:
    """Return the position in the client's trace.

    One of a later version than ours (00) goes on as one of ours: W3C Trace Context, section 4.3.
    Two of them, or one that breaks the grammar, count as none.
    """
    given = request.headers.getall(TRACEPARENT_HEADER, None)
    if given is None or len(given) > 1:
        return None
    found = _TRACEPARENT.fullmatch(given[0])
    if found is None or (found["version"] == "00" and found["more"] is not None):
        return None
    if found["version"] == "00":
        return given[0]
    return f"00{found['ids']}{int(found['flags'], 16) & _KNOWN_FLAGS:02x}"


def forwarded_for(request: Headed) -> str:
    """Return the addresses that proxies have put down, in order; some add a line each."""
    lines = request.headers.getall(FORWARDED_FOR, ())
    return ",".join(line if _FORWARDED.fullmatch(line) else "" for line in lines)


def accept(request: web.Request) -> str:
    """Return the header Accept in lower case, or "" if it is unreadable."""
    return _printable(request, hdrs.ACCEPT)


def cache_control(request: web.Request) -> str:
    """Return the header Cache-Control in lower case."""
    return _printable(request, hdrs.CACHE_CONTROL)


def etags(request: web.Request) -> tuple[str, ...]:
    """Return the versions that the client has already; ``*`` stands for any."""
    if not _PRINTABLE.fullmatch(request.headers.get(hdrs.IF_NONE_MATCH, "")):
        return ()
    return tuple(tag.value for tag in request.if_none_match or ())


def check_target(request: web.Request) -> None:
    """Raise InvalidTarget for a path or query with bytes that are not UTF-8.

    Percent-encoded ones are left as they stand, and match nothing.
    """
    target = request.raw_path
    if not target.isascii() and not target.isprintable():
        raise InvalidTarget("expected printable UTF-8, other bytes percent-encoded", field="path")


def _printable(request: web.Request, name: istr) -> str:
    given = request.headers.get(name, "")
    return given.lower() if _PRINTABLE.fullmatch(given) else ""
