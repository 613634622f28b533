"""Whole requests over kept connections: with the client's own headers, answered as a stream."""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Protocol
from urllib.parse import quote

from aiohttp.http_parser import RawResponseMessage
from aiohttp.streams import StreamReader

from sidecar.torchserve.kept_connections import ConnectionPool, KeptCall, KeptConnection

IN_TARGETS = "/?&=%:@~!$'()*+,;[]"  # of a path and its query that are encoded already

Head = tuple[RawResponseMessage, StreamReader]


class HeadListener(Protocol):
    """Whoever forwards a request; one of the two is called, once."""

    def began(self, message: RawResponseMessage, body: StreamReader) -> None:
        """Take the head of the answer, and its *body*, all of which may have come already.

        Whoever has read that calls `ForwardCall.end`.
        """

    def failed(self, exc: Exception) -> None:
        """Take the reason why there is no answer.

        NotConnected where nothing was sent, else ConnectionError or TimeoutError.
        """


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
    """One request on its way to TorchServe, and its answer.

    *listener* is told in the turn of the event loop in which the answer begins.
    """

    __slots__ = ("_ended", "_listener", "_message", "_reader")

    def __init__(
        self,
        pool: ConnectionPool[_ForwardingConnection],
        head: bytes,
        body: bytes,
        seconds: float,
        listener: HeadListener,
    ) -> None:
        self._listener = listener
        self._ended = False
        self._message: RawResponseMessage | None = None
        self._reader: StreamReader | None = None
        super().__init__(pool, head, body, seconds)

    def begin(self, message: RawResponseMessage, body: StreamReader) -> None:
        """Pass the head of the answer on."""
        self._timer.cancel()
        self._message, self._reader = message, body
        self._listener.began(message, body)

    def fail(self, exc: Exception) -> None:
        """Pass on why there is no answer, unless nobody wants to know any more."""
        if not self._ended:
            self.end()
            self._listener.failed(exc)

    def end(self) -> None:
        """Give the connection back; an answer that is not whole is given up."""
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


class _HeadAwaited:
    """A listener that waits."""

    def __init__(self) -> None:
        self.head: asyncio.Future[Head] = asyncio.get_running_loop().create_future()

    def began(self, message: RawResponseMessage, body: StreamReader) -> None:
        """Return the head to whoever waits."""
        if not self.head.done():
            self.head.set_result((message, body))

    def failed(self, exc: Exception) -> None:
        """Raise *exc* in whoever waits."""
        if not self.head.done():
            self.head.set_exception(exc)


class ForwardingConnections:
    """Connections to *url*, at most *most* at a time; who finds none free waits for one."""

    def __init__(self, url: str, most: int) -> None:
        self._pool = ConnectionPool(url, most, _ForwardingConnection)

    def close(self) -> None:
        """Close all that are idle."""
        self._pool.close()

    def post(
        self,
        target: str,
        headers: Sequence[tuple[str, str]],
        ours: Mapping[str, str],
        body: bytes,
        seconds: float,
        listener: HeadListener,
    ) -> ForwardCall:
        """POST *body* with both kinds of headers; *listener* is told of the answer.

        *seconds* may pass until a connection is free, and once more until the answer begins.
        Whoever is told, or wants to hear no more, ends the call.
        """
        head = _head(self._pool.host, target, headers, ours, len(body))
        return ForwardCall(self._pool, head, body, seconds, listener)

    @asynccontextmanager
    async def open(
        self,
        target: str,
        headers: Sequence[tuple[str, str]],
        ours: Mapping[str, str],
        body: bytes,
        seconds: float,
    ) -> AsyncIterator[Head]:
        """Do what `post` does; give the head of the answer, and its body.

        Raises NotConnected where nothing was sent, else ConnectionError or TimeoutError.
        """
        waiter = _HeadAwaited()
        call = self.post(target, headers, ours, body, seconds, waiter)
        try:
            yield await waiter.head
        finally:
            call.end()


def _head(
    host: str,
    target: str,
    headers: Sequence[tuple[str, str]],
    ours: Mapping[str, str],
    length: int,
) -> bytes:
    """Return the head of a request.

    Raises ValueError for a header with a line break, behind which another request could follow.
    """
    lines = [f"POST {quote(target, safe=IN_TARGETS)} HTTP/1.1", f"Host: {host}"]
    lines += [f"{name}: {value}" for name, value in (*headers, *ours.items())]
    head = "\r\n".join([*lines, f"Content-Length: {length}", "", ""])
    breaks = len(lines) + 2
    if head.count("\r") != breaks or head.count("\n") != breaks:
        raise ValueError("a header of a request holds a line break")
    return head.encode("ascii")
