"""Any request over kept connections; its answer comes as a whole, or piece by piece.

Requests to custom handlers go this way, with their clients' headers, and so do jobs whose answers
arrive as they are written.
"""

import asyncio
import functools
from collections.abc import AsyncIterator, Sequence
from typing import Protocol
from urllib.parse import quote

import msgspec
from aiohttp.http_parser import RawResponseMessage
from aiohttp.streams import StreamReader

from sidecar.torchserve.failures import EngineRefused, failure_of, refusal_of, telling_gone
from sidecar.torchserve.kept_connections import ConnectionPool, KeptCall, KeptConnection
from sidecar.torchserve.key_file import KeyFile

IN_TARGETS = "/?&=%:@~!$'()*+,;[]"  # of a path and its query that are encoded already


class ForwardedRequest(msgspec.Struct, frozen=True):
    """A request to TorchServe, whose *path* has the query; our token is added to its *headers*."""

    path: str
    headers: Sequence[tuple[str, str]]
    body: bytes

    def __bytes__(self) -> bytes:
        return self.body

    def __len__(self) -> int:
        return len(self.body) + sum(len(name) + len(value) for name, value in self.headers)


class EngineResponse(msgspec.Struct):
    """What TorchServe answered; *pieces* are those of a streamed body, which is not in *body*."""

    status: int
    reason: str
    headers: Sequence[tuple[str, str]]
    body: bytes
    pieces: AsyncIterator[bytes] | None = None

    def refusal(self) -> EngineRefused:
        """Return what TorchServe says in *body*; its kind is empty where a handler says it."""
        return refusal_of(self.status, self.body)


class ForwardListener(Protocol):
    """Whoever forwards a request.

    One of the three is called, once; `failed` also after `stream`, if that raises something.
    """

    def answered(self, response: EngineResponse) -> None:
        """Take a whole response, whatever its status."""

    async def stream(self, response: EngineResponse) -> None:
        """Take a response whose pieces are on their way.

        Reading them raises EngineGone where they are cut short.
        """

    def failed(self, exc: Exception) -> None:
        """Take EngineGone, or what went wrong here."""


class _ForwardingConnection(KeptConnection["ForwardCall"]):
    max_buffered_bytes = 1 << 16

    _body: StreamReader | None = None  # of the answer that is on its way

    def hear(self, message: RawResponseMessage, body: StreamReader) -> None:
        """Give the answer to the call, before its body is whole."""
        call, self._call, self._body = self._call, None, body
        if call is not None:
            call.begin(message, body)

    def fail(self, exc: Exception) -> None:
        """Report it to the call that waits for the answer, or to whoever reads it."""
        call, self._call = self._call, None
        if call is not None:
            call.fail(exc)
        if self._body is not None and not self._body.is_eof():
            self._body.set_exception(ConnectionResetError("TorchServe hung up"))


class ForwardCall(KeptCall[_ForwardingConnection]):
    """One request on its way to TorchServe and back: twice, if it has made new tokens meanwhile.

    A response that has come whole is given to *listener* in the same turn of the event loop; a
    task reads any other.
    """

    __slots__ = (
        "_connections",
        "_ended",
        "_listener",
        "_message",
        "_reader",
        "_reading",
        "_request",
        "_tried",
    )

    def __init__(
        self,
        connections: "ForwardingConnections",
        request: ForwardedRequest,
        seconds: float,
        listener: ForwardListener,
    ) -> None:
        self._connections = connections
        self._request = request
        self._listener = listener
        self._ended = False
        self._tried = False
        self._message: RawResponseMessage | None = None
        self._reader: StreamReader | None = None
        self._reading: asyncio.Task[None] | None = None
        super().__init__(connections.pool, connections.head(request), request.body, seconds)

    def cancel(self) -> None:
        """Wait no longer; the listener is not told."""
        if self._reading is not None:
            self._reading.cancel()
        self._end()

    def begin(self, message: RawResponseMessage, body: StreamReader) -> None:
        """Take the head of the response, and its *body*, all of which may have come already."""
        self._timer.cancel()
        self._message, self._reader = message, body
        if message.chunked or not body.is_eof():
            self._reading = asyncio.create_task(self._read(message, body))
            return
        try:
            whole = body.read_nowait()
        except Exception as exc:  # noqa: BLE001 - a body that cannot be unpacked
            self.fail(exc)
        else:
            self._finish(_response(message, whole))

    def fail(self, exc: Exception) -> None:
        """Pass on why there is no response, unless nobody wants to know any more."""
        if not self._ended:
            self._end()
            self._listener.failed(failure_of(exc, "POST", self._request.path))

    async def _read(self, message: RawResponseMessage, body: StreamReader) -> None:
        whole: bytes | None = None
        try:
            if message.chunked:
                response = _response(message, b"")
                response.pieces = self._pieces(body)
                await self._listener.stream(response)
            else:
                async with asyncio.timeout(self._seconds):
                    whole = await body.read()
        except Exception as exc:  # noqa: BLE001 - whatever it is, the listener has to know
            self.fail(exc)
            return
        finally:
            self._end()
        if whole is not None:
            self._finish(_response(message, whole))

    async def _pieces(self, body: StreamReader) -> AsyncIterator[bytes]:
        """Yield the pieces of *body* as they come.  Raises EngineGone."""
        with telling_gone("POST", self._request.path):
            while not body.at_eof():
                async with asyncio.timeout(self._seconds):
                    piece = await body.readany()
                if piece:
                    yield piece

    def _finish(self, response: EngineResponse) -> None:
        """Pass *response* on, unless it is one to our token."""
        self._end()
        refused = response.status == 400 and not self._tried
        if refused and response.refusal().wrong_key:
            self._tried = True
            self._ended, self._message = False, None
            self._head = self._connections.head_with_new_key(self._request)
            self._begin()
        else:
            self._listener.answered(response)

    def _end(self) -> None:
        """Give the connection back; a response that is not whole is given up."""
        if self._ended:
            return
        self._ended = True
        connection = self._connection
        if connection is None:
            self._stop_connecting()
            return
        self._timer.cancel()
        message, reader = self._message, self._reader
        if message is None or reader is None or not reader.is_eof() or message.should_close:
            connection.close()  # what may still come would be taken for the next one's answer
        self._pool.give_back(connection)


def _response(message: RawResponseMessage, body: bytes) -> EngineResponse:
    return EngineResponse(message.code, message.reason, list(message.headers.items()), body)


class ForwardingConnections:
    """Connections to *url*, at most *most* at a time; who finds none free waits for one."""

    def __init__(self, url: str, most: int, keys: KeyFile) -> None:
        self.pool = ConnectionPool(url, most, _ForwardingConnection)
        self._keys = keys

    def close(self) -> None:
        """Close all that are idle."""
        self.pool.close()

    def send(
        self, request: ForwardedRequest, seconds: float, listener: ForwardListener
    ) -> ForwardCall:
        """Send *request*; *listener* is told of the response, unless the call is cancelled.

        *seconds* may pass until a connection is free, once more until the response begins, and
        between two of its pieces.  Raises ValueError as `head` does.
        """
        return ForwardCall(self, request, seconds, listener)

    def head(self, request: ForwardedRequest) -> bytes:
        """Return the head of *request*, with our token.

        Raises ValueError for a header with a line break, behind which another request could follow.
        """
        lines = [f"POST {_quoted(request.path)} HTTP/1.1", f"Host: {self.pool.host}"]
        lines += [f"{name}: {value}" for name, value in request.headers]
        if authorization := self._keys.read("inference"):
            lines.append(f"Authorization: {authorization}")
        head = "\r\n".join([*lines, f"Content-Length: {len(request.body)}", "", ""])
        breaks = len(lines) + 2
        if head.count("\r") != breaks or head.count("\n") != breaks:
            raise ValueError("a header of a request holds a line break")
        return head.encode("latin-1")

    def head_with_new_key(self, request: ForwardedRequest) -> bytes:
        """Return the same with the token that TorchServe knows now."""
        self._keys.reload()
        return self.head(request)


@functools.lru_cache(maxsize=256)
def _quoted(target: str) -> str:
    """Return *target* with what a request line cannot hold percent-encoded."""
    return quote(target, safe=IN_TARGETS)
