"""Jobs over kept connections: each has the same headers, and its answer is wanted as a whole."""

import functools
import re
from typing import Protocol
from urllib.parse import quote

from aiohttp.http_parser import RawResponseMessage
from aiohttp.streams import StreamReader

from sidecar.torchserve.failures import failure_of, refusal_of
from sidecar.torchserve.kept_connections import ConnectionPool, KeptCall, KeptConnection
from sidecar.torchserve.key_file import KeyFile

PREDICTIONS = "/predictions/"

# The head of nearly every answer, as TorchServe writes it.
_USUAL_HEAD = re.compile(
    rb"HTTP/1\.1 200 [^\r\n]*\r\n"
    rb"(?:(?!(?i:content-length|transfer-encoding|connection):)[!-9;-~]+: [^\r\n]*\r\n)*"
    rb"content-length: (\d{1,10})\r\nconnection: keep-alive\r\n\r\n"
)


class JobListener(Protocol):
    """Whoever sends a job; one of the two is called, once."""

    def answered(self, body: bytes) -> None:
        """Take the answer."""

    def failed(self, exc: Exception) -> None:
        """Take EngineRefused or EngineGone, where there is no answer."""


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
    """One job on its way to TorchServe and back: twice, if it has made new tokens meanwhile.

    The answer is given to *listener* in the turn of the event loop in which its last bytes come.
    """

    __slots__ = ("_jobs", "_listener", "_model", "_tried")

    def __init__(
        self, jobs: "JobConnections", model: str, job: bytes, seconds: float, listener: JobListener
    ) -> None:
        self._jobs = jobs
        self._model = model
        self._listener = listener
        self._tried = False
        super().__init__(jobs.pool, jobs.head(model, len(job)), job, seconds)

    def cancel(self) -> None:
        """Give the job up; the listener is not told."""
        if self._connection is None:
            self._stop_connecting()
            return
        self._connection.forget_call()
        self._connection.close()  # an answer may still come, and would be taken for the next job's
        self._end()

    def finish(self, status: int, body: bytes) -> None:
        """Pass the answer on, unless it is one to our token."""
        self._end()
        if status < 300:
            self._listener.answered(body)
            return
        refusal = refusal_of(status, body)
        if refusal.wrong_key and not self._tried:
            self._tried = True
            self._head = self._jobs.head_with_new_key(self._model, len(self._body))
            self._begin()
        else:
            self._listener.failed(refusal)

    def fail(self, exc: Exception) -> None:
        """Pass on why there is no answer."""
        self._end()
        self._listener.failed(failure_of(exc, "POST", f"{PREDICTIONS}{self._model}"))

    def _end(self) -> None:
        """Give the connection back, if there is one."""
        if self._connection is not None:
            self._timer.cancel()
            self._pool.give_back(self._connection)


class JobConnections:
    """Connections to *url*, at most *most* at a time; who finds none free waits for one."""

    def __init__(self, url: str, most: int, keys: KeyFile) -> None:
        self.pool = ConnectionPool(url, most, _JobConnection)
        self._keys = keys

    def close(self) -> None:
        """Close all that are idle."""
        self.pool.close()

    def send(self, model: str, job: bytes, seconds: float, listener: JobListener) -> JobCall:
        """Send *job* to *model*; *listener* is told of the answer, unless the call is cancelled.

        *seconds* may pass until a connection is free, and once more until the answer is there.
        """
        return JobCall(self, model, job, seconds, listener)

    def head(self, model: str, length: int) -> bytes:
        """Return the head of a job of *length* bytes for *model*."""
        authorization = self._keys.known.get("inference") or self._keys.read("inference")
        return b"%b%d\r\n\r\n" % (_head(self.pool.host, model, authorization), length)

    def head_with_new_key(self, model: str, length: int) -> bytes:
        """Return the same with the token that TorchServe knows now."""
        self._keys.reload()
        return self.head(model, length)


@functools.lru_cache(maxsize=1024)
def _head(host: str, model: str, authorization: str) -> bytes:
    """Return what all jobs for *model* begin with, up to their length."""
    credential = f"Authorization: {authorization}\r\n" if authorization else ""
    return (
        f"POST {quote(PREDICTIONS + model)} HTTP/1.1\r\nHost: {host}\r\n{credential}"
        "Content-Type: application/octet-stream\r\nContent-Length: "
    ).encode()
