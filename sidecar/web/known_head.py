"""A request's head that its connection has sent before.

Most clients send the same head with each request on a connection; only the length of the body
differs.  What was made of the first holds for the next ones, which the parser then need not see.
Many clients send head and body apart, and so they may arrive.
"""

from typing import NamedTuple

from aiohttp.http_parser import RawRequestMessage

MAX_KNOWN_BYTES = 2048  # of a head that is remembered, for as long as its connection is open
MAX_DIGITS = 7  # of a body's length; the fast path takes no body as long
_LENGTH = b"\r\ncontent-length: "


class Body(NamedTuple):
    """What there is of a body, and how many bytes are missing: below 0, something follows it."""

    data: bytes
    missing: int


class KnownHead(NamedTuple):
    """The bytes of a head before and after the digits of its Content-Length."""

    before: bytes
    after: bytes

    def find_body(self, data: bytes) -> Body | None:
        """Return what there is of the body if *data* begins with this head, else None."""
        before, after = self
        if not data.startswith(before):
            return None
        start = len(before)
        end = data.find(b"\r\n", start, start + MAX_DIGITS + 2)
        digits = data[start:end]
        if not digits.isdigit() or digits.startswith(b"0") or not data.startswith(after, end):
            return None
        body = data[end + len(after) :]
        return Body(body, int(digits) - len(body))


def known_head(message: RawRequestMessage, head: bytes) -> KnownHead | None:
    """Return *head*, of which the parser made *message*; None if it is not worth remembering.

    It must be what *message* says, written in the usual way.  Thus nothing that the parser held
    from before belongs to *message*.
    """
    if len(head) > MAX_KNOWN_BYTES:
        return None
    first, *lines = head.removesuffix(b"\r\n\r\n").split(b"\r\n")
    told = f"{message.method} {message.path} HTTP/1.1".encode(errors="surrogateescape")
    if first != told or lines != [b"%b: %b" % pair for pair in message.raw_headers]:
        return None
    found = head.lower().find(_LENGTH)
    if found < 0:
        return None
    start = found + len(_LENGTH)
    return KnownHead(head[:start], head[head.index(b"\r\n", start) :])
