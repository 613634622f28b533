"""The headers that every answer has, and whole heads for answers without aiohttp's response."""

from collections.abc import Iterable, Mapping
from http import HTTPStatus

from aiohttp import hdrs
from aiohttp.helpers import rfc822_formatted_time

from sidecar.web.request_head import REQUEST_ID


def fixed_headers(request_id: str) -> dict[str, str]:
    """Return the headers that every answer has, whichever way it goes, in their order.

    aiohttp's own Server header would disclose versions.
    """
    return {hdrs.SERVER: "sidecar", REQUEST_ID: request_id}


def _lines(headers: Iterable[tuple[str, str]]) -> str:
    return "".join([f"{name}: {value}\r\n" for name, value in headers])


CLOSE = "Connection: close\r\n"
# The lines of `fixed_headers`, written once: only the id differs from answer to answer.
_BEFORE_ID, _AFTER_ID = _lines(fixed_headers("\0").items()).split("\0")
_JSON_LINES = {
    each.value: f"HTTP/1.1 {each.value} {each.phrase}\r\nContent-Type: application/json\r\n"
    for each in HTTPStatus
}


def json_head(
    status: int,
    length: int,
    request_id: str,
    *,
    headers: Mapping[str, str] | None = None,
    close: bool = False,
) -> bytes:
    """Return the head of a JSON answer of *length* bytes, with the headers of every answer.

    *close*: no other answer follows on the connection.
    """
    first = _JSON_LINES[status]
    if headers:
        first += _lines(headers.items())
    return _head(first, f"Content-Length: {length}\r\n", request_id, close)


def whole_head(
    status: int,
    reason: str,
    headers: Iterable[tuple[str, str]],
    framing: str,
    request_id: str,
    *,
    close: bool = False,
) -> bytes:
    """Return the head of an answer with *headers* of a handler, and those of every answer.

    *framing* is the header that tells where the body ends, with its line break; nothing, where
    there is no body.
    """
    return _head(f"HTTP/1.1 {status} {reason}\r\n{_lines(headers)}", framing, request_id, close)


def _head(first: str, framing: str, request_id: str, close: bool) -> bytes:
    """Return a whole head.  *first* is its status line and the headers of this answer alone."""
    return (
        f"{first}{_BEFORE_ID}{request_id}{_AFTER_ID}{framing}Date: {rfc822_formatted_time()}\r\n"
        f"{CLOSE if close else ''}\r\n"
    ).encode()
