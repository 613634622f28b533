"""Kept connections to TorchServe's inference API.

Every request is one POST, for which aiohttp's client, made for much more, takes ten times as long;
its parser is used here too.
"""

import asyncio
import errno
from abc import abstractmethod
from collections import deque
from typing import Any, Generic, TypeVar
from urllib.parse import urlsplit

from aiohttp.base_protocol import BaseProtocol
from aiohttp.http_exceptions import HttpProcessingError
from aiohttp.http_parser import HttpResponseParser, RawResponseMessage
from aiohttp.streams import StreamReader

CONNECT_SECONDS = 2.0


class NotConnected(OSError):
    """No connection could be made, so nothing was sent."""


class KeptConnection(BaseProtocol):
    """One connection, which carries one request at a time."""

    max_buffered_bytes: int  # of an answer, before no more of it is read

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        parser = HttpResponseParser(self, loop, self.max_buffered_bytes, read_until_eof=True)
        super().__init__(loop, parser)
        self._answer: asyncio.Future[Any] | None = None
        self.reusable = True

    @abstractmethod
    def hear(self, message: RawResponseMessage, body: StreamReader) -> None:
        """Handle the head of an answer, whose *body* may still be on its way."""

    async def _ask(self, head: bytes, body: bytes, seconds: float | None = None) -> Any:
        """Send one request, and return what `hear` makes of the answer.

        Raises ConnectionError, and TimeoutError after *seconds*, where they are given.
        """
        if self.transport is None:
            raise ConnectionResetError("TorchServe hung up")
        self._answer = self._loop.create_future()
        self.transport.writelines((head, body))
        # asyncio.timeout would cost a job more than the rest of this method.
        timer = seconds and self._loop.call_later(seconds, self._fail, TimeoutError())
        try:
            return await self._answer
        except BaseException:  # an answer may still come, and would be taken for the next one's
            self.close()
            raise
        finally:
            if timer:
                timer.cancel()
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
            self._fail(ConnectionError(f"TorchServe's answer is not HTTP: {exc.message}"))
            return
        for message, body in messages:
            self.hear(message, body)

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
        if self._parser is not None and exc is None and self._answer is not None:
            try:
                self._parser.feed_eof()
            except HttpProcessingError as broken:
                exc = ConnectionError(broken.message)
        self._fail(exc or ConnectionResetError("TorchServe hung up"))

    def _tell(self, answer: Any) -> None:
        """Give *answer* to whoever waits for it."""
        if self._answer is None or self._answer.done():  # nobody has asked for this answer
            self.close()
        else:
            self._answer.set_result(answer)

    def _fail(self, exc: BaseException) -> None:
        self.reusable = False
        if self._answer is not None and not self._answer.done():
            self._answer.set_exception(exc)
        self.close()


Kept = TypeVar("Kept", bound=KeptConnection)


class ConnectionPool(Generic[Kept]):
    """Connections of *kind* to *url*, at most *most* at a time; who finds none free waits."""

    def __init__(self, url: str, most: int, kind: type[Kept]) -> None:
        self._url = url
        self._kind = kind
        self._idle: deque[Kept] = deque()
        self.free = asyncio.Semaphore(most)
        self.host = "torchserve" if url.startswith("unix:") else urlsplit(url).netloc

    def close(self) -> None:
        """Close all that are idle."""
        while self._idle:
            self._idle.pop().close()

    async def enter(self, seconds: float) -> None:
        """Wait until one more may be in use; whoever was let in releases `free`.

        Raises NotConnected after *seconds*.
        """
        if not self.free.locked():
            await self.free.acquire()
            return
        try:
            async with asyncio.timeout(seconds):
                await self.free.acquire()
        except TimeoutError as exc:
            raise NotConnected(errno.ETIMEDOUT, "no connection to TorchServe became free") from exc

    async def take(self) -> Kept:
        """Return the connection that was used last, if it is still open, or a new one.

        Raises NotConnected.
        """
        while self._idle:
            connection = self._idle.pop()
            if connection.reusable:
                return connection
        return await self._connect()

    def keep(self, connection: Kept) -> None:
        """Take back a connection that has nothing under way."""
        if connection.reusable:
            self._idle.append(connection)

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
