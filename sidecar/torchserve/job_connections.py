"""Kept connections to TorchServe's inference API, for jobs alone.

A job is one POST whose head is always the same, and whose answer is wanted as a whole.  aiohttp's
client, which does very much more, takes ten times as long for that; its parser is used here too.
"""

import asyncio
import errno
import functools
from collections import deque
from collections.abc import Mapping
from urllib.parse import quote, urlsplit

from aiohttp.base_protocol import BaseProtocol
from aiohttp.http_exceptions import HttpProcessingError
from aiohttp.http_parser import HttpResponseParser, RawResponseMessage
from aiohttp.streams import StreamReader

MAX_BUFFERED_BYTES = 1 << 30  # of an answer: TorchServe's own limit is below it, so it never pauses
CONNECT_SECONDS = 2.0

Answer = tuple[int, bytes]  # status and body


class NotConnected(OSError):
    """No connection could be made, so nothing was sent."""


class _Connection(BaseProtocol):
    """One connection, which carries one job at a time."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        parser = HttpResponseParser(self, loop, MAX_BUFFERED_BYTES, read_until_eof=True)
        super().__init__(loop, parser)
        self._answer: asyncio.Future[Answer] | None = None
        self.reusable = True

    async def ask(self, head: bytes, body: bytes) -> Answer:
        """Send one request, and return the answer.  Raises ConnectionError."""
        if self.transport is None:
            raise ConnectionResetError("TorchServe hung up")
        self._answer = self._loop.create_future()
        self.transport.writelines((head, body))
        try:
            return await self._answer
        except BaseException:  # an answer may still come, and would be taken for the next one's
            self.close()
            raise
        finally:
            self._answer = None

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
            self._fail(ConnectionError(f"TorchServe's answer is no HTTP: {exc.message}"))
            return
        for message, body in messages:
            body.on_eof(functools.partial(self._finish, message, body))

    def connection_lost(self, exc: BaseException | None) -> None:
        """Report it to whoever waits, unless that was the end of the answer."""
        super().connection_lost(exc)
        self.reusable = False
        if self._parser is not None and exc is None and self._answer is not None:
            try:
                self._parser.feed_eof()
            except HttpProcessingError as broken:
                exc = ConnectionError(broken.message)
        self._fail(exc or ConnectionResetError("TorchServe hung up"))

    def _finish(self, message: RawResponseMessage, body: StreamReader) -> None:
        if message.should_close:
            self.close()
        if self._answer is None:  # an answer that nobody has asked for
            self.close()
        elif not self._answer.done():
            self._answer.set_result((message.code, body.read_nowait()))

    def _fail(self, exc: BaseException) -> None:
        self.reusable = False
        if self._answer is not None and not self._answer.done():
            self._answer.set_exception(exc)
        self.close()


class JobConnections:
    """Connections to *url*, at most *most* at a time; who finds none free waits for one."""

    def __init__(self, url: str, most: int) -> None:
        self._url = url
        self._free = asyncio.Semaphore(most)
        self._idle: deque[_Connection] = deque()

    def close(self) -> None:
        """Close all that are idle."""
        while self._idle:
            self._idle.pop().close()

    async def post(
        self, path: str, body: bytes, headers: Mapping[str, str], seconds: float
    ) -> Answer:
        """Return the answer to *body*.

        Raises NotConnected where nothing was sent, else ConnectionError or TimeoutError.
        """
        head = f"{_head(self._url, path, tuple(headers.items()))}{len(body)}\r\n\r\n".encode()
        async with asyncio.timeout(seconds), self._free:
            connection = self._take() or await self._connect()
            answer = await connection.ask(head, body)
        if connection.reusable:
            self._idle.append(connection)
        return answer

    def _take(self) -> _Connection | None:
        """Return the connection that was used last, if it is still open."""
        while self._idle:
            connection = self._idle.pop()
            if connection.reusable:
                return connection
        return None

    async def _connect(self) -> _Connection:
        loop = asyncio.get_running_loop()
        scheme, _, address = self._url.partition(":")
        try:
            async with asyncio.timeout(CONNECT_SECONDS):
                if scheme == "unix":
                    _, made = await loop.create_unix_connection(lambda: _Connection(loop), address)
                else:
                    parts = urlsplit(self._url)
                    _, made = await loop.create_connection(
                        lambda: _Connection(loop),
                        parts.hostname or "localhost",
                        parts.port or (443 if scheme == "https" else 80),
                        ssl=scheme == "https" or None,
                    )
        except TimeoutError as exc:
            raise NotConnected(errno.ETIMEDOUT, "TorchServe does not accept connections") from exc
        except OSError as exc:
            raise NotConnected(exc.errno, exc.strerror or str(exc)) from exc
        return made


@functools.lru_cache(maxsize=1024)
def _head(url: str, path: str, headers: tuple[tuple[str, str], ...]) -> str:
    host = "torchserve" if url.startswith("unix:") else urlsplit(url).netloc
    lines = "".join([f"{name}: {value}\r\n" for name, value in headers])
    return (
        f"POST {quote(path)} HTTP/1.1\r\nHost: {host}\r\n{lines}"
        "Content-Type: application/octet-stream\r\nContent-Length: "
    )
