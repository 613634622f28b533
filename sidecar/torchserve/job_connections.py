"""Jobs over kept connections: the head is always the same, and the answer is wanted as a whole."""

import functools
import re
from collections.abc import Mapping
from typing import Protocol
from urllib.parse import quote

from aiohttp.http_parser import RawResponseMessage
from aiohttp.streams import StreamReader

from sidecar.torchserve.kept_connections import ConnectionPool, KeptCall, KeptConnection

# The head of nearly every answer, as TorchServe writes it.
_USUAL_HEAD = re.compile(
    rb"HTTP/1\.1 200 [^\r\n]*\r\n"
    rb"(?:(?!(?i:content-length|transfer-encoding|connection):)[!-9;-~]+: [^\r\n]*\r\n)*"
    rb"content-length: (\d{1,10})\r\nconnection: keep-alive\r\n\r\n"
)


class AnswerListener(Protocol):
    """Whoever sends a request; one of the two is called, once."""

    def answered(self, status: int, body: bytes) -> None:
        """Take the answer, whatever its status."""

    def failed(self, exc: Exception) -> None:
        """Take the reason why there is no answer.

        NotConnected where nothing was sent, else ConnectionError or TimeoutError.
        """


class _JobConnection(KeptConnection["JobCall"]):
    max_buffered_bytes = 1 << 30  # TorchServe's own limit is below it, so it never pauses

    _parsing = False  # a part of the answer

    def data_received(self, data: bytes) -> None:
        """Parse *data*; an answer that comes at once, with the usual head, is only cut."""
        call = self._call
        if call is not None and not self._parsing:
            head = _USUAL_HEAD.match(data)
            if head is not None and len(data) - head.end() == int(head[1]):
                self._call = None
                call.finish(200, data[head.end() :])
                return
        self._parsing = True
        super().data_received(data)

    def hear(self, message: RawResponseMessage, body: StreamReader) -> None:
        """Wait for the whole *body*."""
        body.on_eof(functools.partial(self._finish, message, body))

    def fail(self, exc: Exception) -> None:
        """Tell the call, if there is one, that no answer will come."""
        if (call := self.forget_call()) is not None:
            call.fail(exc)

    def forget_call(self) -> "JobCall | None":
        """Tell nobody of what comes from now on; return who has waited for it."""
        call, self._call = self._call, None
        return call

    def _finish(self, message: RawResponseMessage, body: StreamReader) -> None:
        self._parsing = False
        if message.should_close:
            self.close()
        if (call := self.forget_call()) is not None:
            call.finish(message.code, body.read_nowait())


class JobCall(KeptCall[_JobConnection]):
    """One job on its way to TorchServe and back.

    The answer is given to *listener* in the turn of the event loop in which its last bytes come.
    """

    __slots__ = ("_listener",)

    def __init__(
        self,
        pool: ConnectionPool[_JobConnection],
        head: bytes,
        body: bytes,
        seconds: float,
        listener: AnswerListener,
    ) -> None:
        self._listener = listener
        super().__init__(pool, head, body, seconds)

    def cancel(self) -> None:
        """Give the job up; the listener is not told."""
        if self._connection is None:
            self._stop_connecting()
            return
        self._connection.forget_call()
        self._connection.close()  # an answer may still come, and would be taken for the next job's
        self._end()

    def finish(self, status: int, body: bytes) -> None:
        """Pass the answer on."""
        self._end()
        self._listener.answered(status, body)

    def fail(self, exc: Exception) -> None:
        """Pass on why there is no answer."""
        self._end()
        self._listener.failed(exc)

    def _end(self) -> None:
        """Give the connection back, if there is one."""
        if self._connection is not None:
            self._timer.cancel()
            self._pool.give_back(self._connection)


class JobConnections:
    """Connections to *url*, at most *most* at a time; who finds none free waits for one."""

    def __init__(self, url: str, most: int) -> None:
        self._pool = ConnectionPool(url, most, _JobConnection)

    def close(self) -> None:
        """Close all that are idle."""
        self._pool.close()

    def post(
        self,
        path: str,
        body: bytes,
        headers: Mapping[str, str],
        seconds: float,
        listener: AnswerListener,
    ) -> JobCall:
        """Send *body*; *listener* is told of the answer, unless the call is cancelled.

        *seconds* may pass until a connection is free, and once more until the answer is there.
        """
        head = f"{_head(self._pool.host, path, tuple(headers.items()))}{len(body)}\r\n\r\n"
        return JobCall(self._pool, head.encode(), body, seconds, listener)


@functools.lru_cache(maxsize=1024)
def _head(host: str, path: str, headers: tuple[tuple[str, str], ...]) -> str:
    lines = "".join([f"{name}: {value}\r\n" for name, value in headers])
    return (
        f"POST {quote(path)} HTTP/1.1\r\nHost: {host}\r\n{lines}"
        "Content-Type: application/octet-stream\r\nContent-Length: "
    )
