"""A request's body: received, inflated and bounded, a piece at a time.

aiohttp hands over the bytes as they came (`auto_decompress` is off): its own parser would
inflate a whole body before anybody could look at its size.  No step here works on more than
PIECE_BYTES, and the pieces of large bodies take turns with other requests.
"""

import zlib
from collections.abc import AsyncIterator

from aiohttp import hdrs, web
from aiohttp.http_exceptions import HttpProcessingError

from sidecar.errors import InvalidBody, PayloadTooLarge, UnsupportedEncoding
from sidecar.settings import MB, Settings
from sidecar.web.body_budget import BodyShare

PIECE_BYTES = 1 << 18  # inflated and counted at a time: less than a millisecond of work
FORM_BYTES = 2 * MB  # of a whole form, besides its file
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


class BodyReader:
    """The pieces of one body.

    *max_bytes* bounds the body after inflating it; it may be raised while the body is read.
    *share* counts the bytes, as long as somebody holds them.
    """

    def __init__(self, request: web.Request, max_bytes: int, share: BodyShare) -> None:
        self._content = request.content
        self._encoding = content_encoding(request)
        self._share = share
        self.max_bytes = max_bytes
        self.size = 0

    async def pieces(self) -> AsyncIterator[bytes]:
        """Yield the body, at most PIECE_BYTES or what the socket had at a time.

        Raises PayloadTooLarge, Overloaded, and InvalidBody for a body that is damaged or ends
        too early.
        """
        received = self._received()
        async for piece in received if self._encoding is None else self._inflated(received):
            self.size += len(piece)
            if self.size > self.max_bytes:
                raise too_large(self.max_bytes)
            self._share.grow(len(piece))
            yield piece
            await self._share.turn()

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
