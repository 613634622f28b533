"""Kept connections to TorchServe's inference API.

Every request is one POST, for which aiohttp's client, made for much more, takes ten times as long;
its parser is used here too.
"""

import asyncio
import errno
from abc import ABC, abstractmethod
from contextvars import Context
from typing import Any, Generic, TypeVar
from urllib.parse import urlsplit

from aiohttp.base_protocol import BaseProtocol
from aiohttp.http_exceptions import HttpProcessingError
from aiohttp.http_parser import HttpResponseParser, RawResponseMessage
from aiohttp.streams import StreamReader

CONNECT_SECONDS = 2.0
COPIED_BYTES = 1 << 16  # up to which copying costs less than a second buffer


class NotConnected(OSError):
    """No connection could be made, so nothing was sent."""


Call = TypeVar("Call")


class KeptConnection(BaseProtocol, Generic[Call]):
    """One connection, which carries one request at a time.

    A subclass says who is told of the answer: `hear` is called with its head, and `fail` when the
    connection ends, in the turn of the event loop in which that is known.
    """

    max_buffered_bytes: int  # of an answer, before no more of it is read

    _call: Call | None = None  # whose answer is due

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        parser = HttpResponseParser(
            self, loop, self.max_buffered_bytes, read_until_eof=True, auto_decompress=False
        )
        super().__init__(loop, parser)
        self.reusable = True

    @abstractmethod
    def hear(self, message: RawResponseMessage, body: StreamReader) -> None:
        """Handle the head of an answer that is due; its *body* may still be on its way."""

    @abstractmethod
    def fail(self, exc: Exception) -> None:
        """Tell whoever waits for an answer that none will come; often nobody does."""

    def ask(self, call: Call, head: bytes, body: bytes) -> None:
        """Send one request, whose answer is for *call*.  Raises ConnectionError."""
        if self.transport is None:
            raise ConnectionResetError("TorchServe hung up")
        if len(body) < COPIED_BYTES:
            self.transport.write(head + body)
        else:
            self.transport.writelines((head, body))
        self._call = call

    def close(self) -> None:
        """Close the connection, whatever it waits for."""
        self.reusable = False
        if self.transport is not None:
            self.transport.abort()

    def data_received(self, data: bytes) -> None:
        """Parse *data*."""
        assert self._parser is not None
        try:
            messages, _, _ = self._parser.feed_data(data)
        except HttpProcessingError as exc:
            self.close()
            self.fail(ConnectionError(f"TorchServe's answer is not HTTP: {exc.message}"))
            return
        for message, body in messages:
            if self._call is not None:
                self.hear(message, body)
            else:
                self.close()

    def resume_reading(self, resume_parser: bool = True) -> None:
        """Go on reading if that was paused.

        aiohttp's streams call this for every piece that is taken, also while the parser tells the
        end of a body; the parser must not be called from within itself.
        """
        if self._reading_paused:
            super().resume_reading(resume_parser)

    def connection_lost(self, exc: BaseException | None) -> None:
        """Report it to whoever waits, unless that was the end of the answer."""
        super().connection_lost(exc)
        self.reusable = False
        reason = exc if isinstance(exc, Exception) else ConnectionResetError("TorchServe hung up")
        if self._parser is not None and exc is None and self._call is not None:
            try:
                self._parser.feed_eof()
            except HttpProcessingError as broken:
                reason = ConnectionError(broken.message)
        self.fail(reason)


Kept = TypeVar("Kept", bound=KeptConnection[Any])


class ConnectionPool(Generic[Kept]):
    """Connections of *kind* to *url*, at most *most* at a time; who finds none free waits.

    Whoever takes one gives it back, with nothing under way.
    """

    def __init__(self, url: str, most: int, kind: type[Kept]) -> None:
        self._url = url
        self._kind = kind
        self._free: asyncio.LifoQueue[Kept | None] = asyncio.LifoQueue()
        for _ in range(most):
            self._free.put_nowait(None)  # stands for one that can be made
        self.host = "torchserve" if url.startswith("unix:") else urlsplit(url).netloc

    def close(self) -> None:
        """Close all that are idle."""
        idle = [self._free.get_nowait() for _ in range(self._free.qsize())]
        for connection in idle:
            if connection is not None:
                connection.close()
            self._free.put_nowait(None)

    def take_idle(self) -> Kept | None:
        """Return the connection that was used last; None if it is not open: then await `take`."""
        if self._free.empty():
            return None
        connection = self._free.get_nowait()
        if connection is not None and connection.reusable:
            return connection
        self._free.put_nowait(None)
        return None

    async def take(self, seconds: float) -> Kept:
        """Return the connection that was used last, if it is still open, or a new one.

        Wait until one is free, for *seconds* at most.  Raises NotConnected.
        """
        try:
            async with asyncio.timeout(seconds):
                connection = await self._free.get()
        except TimeoutError as exc:
            raise NotConnected(errno.ETIMEDOUT, "no connection to TorchServe became free") from exc
        if connection is not None and connection.reusable:
            return connection
        try:
            return await self._connect()
        except BaseException:
            self._free.put_nowait(None)
            raise

    def give_back(self, connection: Kept) -> None:
        """Let others use *connection*, or another in its place if it has been closed."""
        self._free.put_nowait(connection if connection.reusable else None)

    async def _connect(self) -> Kept:
        loop, kind = asyncio.get_running_loop(), self._kind
        scheme, _, address = self._url.partition(":")
        try:
            async with asyncio.timeout(CONNECT_SECONDS):
                if scheme == "unix":
                    _, made = await loop.create_unix_connection(lambda: kind(loop), address)
                else:
                    parts = urlsplit(self._url)
                    _, made = await loop.create_connection(
                        lambda: kind(loop),
                        parts.hostname or "localhost",
                        parts.port or (443 if scheme == "https" else 80),
                        ssl=scheme == "https" or None,
                    )
        except TimeoutError as exc:
            raise NotConnected(errno.ETIMEDOUT, "TorchServe does not accept connections") from exc
        except OSError as exc:
            raise NotConnected(exc.errno, exc.strerror or str(exc)) from exc
        return made


class KeptCall(ABC, Generic[Kept]):
    """One request on its way to TorchServe, and its answer.

    To make the call is to send the request: at once where a connection is open and idle, else from
    a task of its own, once one is.
    *seconds* may pass until a connection is free, and once more until the connection's `hear`.
    """

    __slots__ = ("_body", "_connecting", "_connection", "_head", "_pool", "_seconds", "_timer")

    def __init__(
        self, pool: ConnectionPool[Kept], head: bytes, body: bytes, seconds: float
    ) -> None:
        self._pool = pool
        self._head = head
        self._body = body
        self._seconds = seconds
        self._connection: Kept | None = None
        self._connecting: asyncio.Task[None] | None = None
        self._begin()

    def _begin(self) -> None:
        """Send the request over an idle connection, or over the next one that is free."""
        self._connection = None
        connection = self._pool.take_idle()
        if connection is not None:
            self._send(connection)
        else:
            # The connection outlives this request: what is logged because of it must not name the
            # one that is being served now.
            self._connecting = asyncio.create_task(self._connect(), context=Context())

    @abstractmethod
    def fail(self, exc: Exception) -> None:
        """Pass on why there is no answer.

        *exc* is NotConnected where nothing was sent, else ConnectionError or TimeoutError.
        """

    def _stop_connecting(self) -> None:
        if self._connecting is not None:
            self._connecting.cancel()

    async def _connect(self) -> None:
        try:
            connection = await self._pool.take(self._seconds)
        except Exception as exc:  # noqa: BLE001 - whatever it is, whoever waits has to know
            self._connecting = None
            self.fail(exc)
        else:
            self._send(connection)

    def _send(self, connection: Kept) -> None:
        self._connection = connection
        self._timer = asyncio.get_running_loop().call_later(self._seconds, self._time_out)
        try:
            connection.ask(self, self._head, self._body)
        except ConnectionError as exc:
            self.fail(exc)

    def _time_out(self) -> None:
        assert self._connection is not None
        self._connection.close()
        self._connection.fail(TimeoutError())
