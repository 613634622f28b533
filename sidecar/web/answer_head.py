"""The head of an answer that is written at once, without aiohttp's response."""

from collections.abc import Iterable, Mapping
from http import HTTPStatus

from aiohttp.helpers import rfc822_formatted_time

SERVER_NAME = "sidecar"  # aiohttp's own header would disclose versions
CLOSE = "Connection: close\r\n"
_STATUS_LINES = {each.value: f"HTTP/1.1 {each.value} {each.phrase}\r\n" for each in HTTPStatus}


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
    more = ""
    if headers:
        more = "".join([f"{name}: {value}\r\n" for name, value in headers.items()])
    return (
        f"{_STATUS_LINES[status]}Content-Type: application/json\r\n{more}"
        f"Server: {SERVER_NAME}\r\nX-Request-ID: {request_id}\r\n"
        f"Content-Length: {length}\r\nDate: {rfc822_formatted_time()}\r\n"
        f"{CLOSE if close else ''}\r\n"
    ).encode()


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
    lines = "".join([f"{name}: {value}\r\n" for name, value in headers])
    return (
        f"HTTP/1.1 {status} {reason}\r\n{lines}"
        f"Server: {SERVER_NAME}\r\nX-Request-ID: {request_id}\r\n"
        f"{framing}Date: {rfc822_formatted_time()}\r\n"
        f"{CLOSE if close else ''}\r\n"
    ).encode()
