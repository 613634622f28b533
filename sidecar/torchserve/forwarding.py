"""Whole requests over kept connections: with the client's own headers, answered as a stream."""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from urllib.parse import quote

from aiohttp.http_parser import RawResponseMessage
from aiohttp.streams import StreamReader

from sidecar.torchserve.kept_connections import ConnectionPool, KeptConnection

IN_TARGETS = "/?&=%:@~!$'()*+,;[]"  # of a path and its query that are encoded already

Head = tuple[RawResponseMessage, StreamReader]


class _ForwardingConnection(KeptConnection):
    max_buffered_bytes = 1 << 16

    _answer: asyncio.Future[Head] | None = None  # which is due
    _body: StreamReader | None = None  # of the answer that is on its way

    @property
    def asked(self) -> bool:
        """Whether an answer is due, or has begun and is not whole."""
        return self._answer is not None

    async def ask(self, head: bytes, body: bytes) -> Head:
        """Send one request, and return the head of the answer, and its body as it comes.

        Raises ConnectionError.
        """
        self.send(head, body)
        self._answer = self._loop.create_future()
        try:
            return await self._answer
        except BaseException:  # an answer may still come, and would be taken for the next one's
            self.close()
            raise
        finally:
            self._answer = None

    def hear(self, message: RawResponseMessage, body: StreamReader) -> None:
        """Give the answer to whoever waits, before its body is whole."""
        self._body = body
        if self._answer is None or self._answer.done():
            self.close()
        else:
            self._answer.set_result((message, body))

    def fail(self, exc: Exception) -> None:
        """Report it to whoever waits for the answer, or reads it."""
        if self._answer is not None and not self._answer.done():
            self._answer.set_exception(exc)
        if self._body is not None and not self._body.is_eof():
            self._body.set_exception(ConnectionResetError("TorchServe hung up"))


class ForwardingConnections:
    """Connections to *url*, at most *most* at a time; who finds none free waits for one."""

    def __init__(self, url: str, most: int) -> None:
        self._pool = ConnectionPool(url, most, _ForwardingConnection)

    def close(self) -> None:
        """Close all that are idle."""
        self._pool.close()

    @asynccontextmanager
    async def open(
        self,
        target: str,
        headers: Sequence[tuple[str, str]],
        ours: Mapping[str, str],
        body: bytes,
        seconds: float,
    ) -> AsyncIterator[Head]:
        """POST *body* with both kinds of headers; give the head of the answer, and its body.

        *seconds* may pass until a connection is free, and once more until the answer begins.
        Raises NotConnected where nothing was sent, else ConnectionError or TimeoutError.
        """
        pool = self._pool
        head = _head(pool.host, target, headers, ours, len(body))
        connection = await pool.take(seconds)
        try:
            async with asyncio.timeout(seconds):
                message, reader = await connection.ask(head, body)
            try:
                yield message, reader
            finally:
                if not reader.is_eof() or message.should_close:
                    connection.close()
        finally:
            pool.give_back(connection)


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
