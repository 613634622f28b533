"""A request's body: received, inflated and bounded, a piece at a time.

aiohttp hands over the bytes as they came (`auto_decompress` is off): its own parser would
inflate a whole body before anybody could look at its size.  No step here works on more than
PIECE_BYTES, and the pieces of large bodies take turns with other requests.  All bodies together
have a budget, from which each takes what is held of it.
"""

import zlib
from collections import Counter
from collections.abc import AsyncIterator
from types import TracebackType
from typing import Protocol, Self

from aiohttp import hdrs, web
from aiohttp.http_exceptions import HttpProcessingError

from sidecar.errors import InvalidBody, Overloaded, PayloadTooLarge, UnsupportedEncoding
from sidecar.settings import MB, Settings
from sidecar.web.json_budget import SMALL_BYTES, JsonBudget
from sidecar.web.turns import Turns

PIECE_BYTES = 1 << 18  # inflated and counted at a time: less than a millisecond of work
FORM_BYTES = 2 * MB  # of a whole form, besides its file
RETRY_SECONDS = 2
UNCOUNTED_BYTES = 1 << 16  # of each body: small requests are served whatever else arrives
_WITHOUT_LINE_BREAKS = bytes.maketrans(b"\r\n", b"  ")
_WINDOW_BITS = {"gzip": 16 + zlib.MAX_WBITS, "deflate": zlib.MAX_WBITS}  # deflate is zlib's form


def content_encoding(request: web.Request) -> str | None:
    """Return the body's encoding, one of gzip and deflate; None for a plain body.

    Raises UnsupportedEncoding for any other, and for several on top of each other.
    """
    name = request.headers.get(hdrs.CONTENT_ENCODING)
    if name is None or (name := name.strip().lower()) in ("", "identity"):
        return None
    if name not in _WINDOW_BITS or len(request.headers.getall(hdrs.CONTENT_ENCODING)) > 1:
        raise UnsupportedEncoding(_WINDOW_BITS)
    return name


def is_form(request: web.Request) -> bool:
    """Return whether the body says that it is a multipart form."""
    return request.content_type == "multipart/form-data"


def max_form_bytes(settings: Settings) -> int:
    """Return how large a whole form may be."""
    return int(settings.max_upload_mb * MB) + FORM_BYTES


def check_declared(request: web.Request, max_bytes: int) -> None:
    """Check what the head says of the body.

    Raises PayloadTooLarge above *max_bytes*, UnsupportedEncoding for what is not inflated here.
    """
    check_declared_size(request, max_bytes)
    content_encoding(request)


def check_form_declared(request: web.Request, settings: Settings) -> None:
    """Check what the head says of a form.  Raises PayloadTooLarge, UnsupportedEncoding for any."""
    check_declared_size(request, max_form_bytes(settings))
    if content_encoding(request) is not None:
        raise UnsupportedEncoding(())


def check_declared_size(request: web.Request, max_bytes: int) -> None:
    """Raise PayloadTooLarge for a Content-Length above *max_bytes*."""
    if (request.content_length or 0) > max_bytes:
        raise too_large(max_bytes)


def too_large(max_bytes: int) -> PayloadTooLarge:
    """Return the refusal of a body above *max_bytes*."""
    return PayloadTooLarge(f"at most {round(max_bytes / MB, 3):g} MB", field="body")


class BodyBudget:
    """A limit for the bodies of all clients together, and of any one client.

    One client may hold half of *max_bytes*, so that no client alone can keep the others out.
    *turns* decides in which turn of the event loop the next piece of a body is handled.
    """

    def __init__(self, max_bytes: int, turns: Turns) -> None:
        self.turns = turns
        self._max_bytes = max_bytes
        self._max_of_client = max_bytes // 2
        self.held = 0  # bytes
        self._held_by: Counter[str] = Counter()

    def take(self, client: str, size: int) -> None:
        """Count *size* more bytes of *client*.  Raises Overloaded when they do not fit."""
        if self.held + size > self._max_bytes:
            raise Overloaded(
                "the bodies being received take all the memory set aside for them",
                field="body",
                retry_after=RETRY_SECONDS,
            )
        if self._held_by[client] + size > self._max_of_client:
            raise Overloaded(
                "the bodies this client is sending take all the memory set aside for it",
                field="body",
                retry_after=RETRY_SECONDS,
            )
        self.held += size
        self._held_by[client] += size

    def give_back(self, client: str, size: int) -> None:
        """Count *size* bytes of *client* no longer."""
        self.held -= size
        self._held_by[client] -= size
        if not self._held_by[client]:
            del self._held_by[client]


class Admitted(Protocol):
    """Whose body is read: `web.admission` counts it for a client."""

    request: web.Request
    bodies: BodyBudget

    @property
    def client(self) -> str:
        """Who the request is counted for, as far as is known."""


class BodyReader:
    """The pieces of one body: a context manager, in which somebody holds what was read.

    *max_bytes* bounds the body after inflating it.  What is above UNCOUNTED_BYTES counts in the
    budget of all bodies until the block ends, for the client of *admitted*.
    """

    def __init__(self, admitted: Admitted, max_bytes: int) -> None:
        self._admitted = admitted
        self._content = admitted.request.content
        self._encoding = content_encoding(admitted.request)
        self._max_bytes = max_bytes
        self._budget = admitted.bodies
        self._client: str | None = None  # once some of it counts
        self._counted = 0
        self.size = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> None:
        if self._client is not None:
            self._budget.give_back(self._client, self._counted)
            self._client, self._counted = None, 0

    async def read_json(self, max_values: int, *, line_breaks: bool = False) -> bytearray:
        """Return the whole body, which is JSON with at most *max_values* values and escapes.

        *line_breaks*: strings may hold raw line breaks, which count as spaces.  Raises what
        `pieces` raises.
        """
        body = bytearray()
        budget: JsonBudget | None = None
        async for piece in self.pieces():
            body += piece.translate(_WITHOUT_LINE_BREAKS) if line_breaks else piece
            if budget is not None:
                budget.count(piece)
            elif len(body) > SMALL_BYTES:
                budget = JsonBudget(max_values)
                budget.count(body)
        return body

    async def pieces(self) -> AsyncIterator[bytes]:
        """Yield the body, at most PIECE_BYTES or what the socket had at a time.

        Raises PayloadTooLarge, Overloaded, and InvalidBody for a body that is damaged or ends
        too early.
        """
        received = self._received()
        async for piece in received if self._encoding is None else self._inflated(received):
            self.size += len(piece)
            if self.size > self._max_bytes:
                raise too_large(self._max_bytes)
            if self.size > UNCOUNTED_BYTES:
                self._count()
            yield piece
            if self._client is not None and not self._budget.turns.take():
                await self._budget.turns.wait(self._client)

    def _count(self) -> None:
        """Take from the budget what has come since the last time.  Raises Overloaded."""
        if self._client is None:
            self._client = self._admitted.client
        more = self.size - UNCOUNTED_BYTES - self._counted
        self._budget.take(self._client, more)
        self._counted += more

    async def _received(self) -> AsyncIterator[bytes]:
        while True:
            try:
                chunk = await self._content.readany()
            except (HttpProcessingError, web.RequestPayloadError) as exc:
                raise InvalidBody("its transfer encoding is damaged", field="body") from exc
            if not chunk:
                return
            yield chunk

    async def _inflated(self, received: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
        assert self._encoding is not None
        inflater = zlib.decompressobj(_WINDOW_BITS[self._encoding])
        async for chunk in received:
            if inflater.eof:
                raise InvalidBody(
                    f"data follows the end of the {self._encoding} stream", field="body"
                )
            waiting = chunk
            while waiting:
                try:
                    piece = inflater.decompress(waiting, PIECE_BYTES)
                except zlib.error as exc:
                    raise InvalidBody(f"it is not valid {self._encoding}", field="body") from exc
                if piece:
                    yield piece
                waiting = inflater.unconsumed_tail
            if inflater.unused_data:
                raise InvalidBody(
                    f"data follows the end of the {self._encoding} stream", field="body"
                )
        while piece := inflater.decompress(b"", PIECE_BYTES):
            yield piece
        if not inflater.eof:
            raise InvalidBody(f"the {self._encoding} stream ends too early", field="body")
