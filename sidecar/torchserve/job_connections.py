"""Jobs over kept connections: the head is always the same, and the answer is wanted as a whole."""

import functools
from collections.abc import Mapping
from urllib.parse import quote

from aiohttp.http_parser import RawResponseMessage
from aiohttp.streams import StreamReader

from sidecar.torchserve.kept_connections import ConnectionPool, KeptConnection

Answer = tuple[int, bytes]  # status and body


class _JobConnection(KeptConnection):
    max_buffered_bytes = 1 << 30  # TorchServe's own limit is below it, so it never pauses

    async def ask(self, head: bytes, body: bytes, seconds: float) -> Answer:
        """Send one request, and return the answer.  Raises ConnectionError or TimeoutError."""
        answer: Answer = await self._ask(head, body, seconds)
        return answer

    def hear(self, message: RawResponseMessage, body: StreamReader) -> None:
        """Wait for the whole *body*."""
        body.on_eof(functools.partial(self._finish, message, body))

    def _finish(self, message: RawResponseMessage, body: StreamReader) -> None:
        if message.should_close:
            self.close()
        self._tell((message.code, body.read_nowait()))


class JobConnections:
    """Connections to *url*, at most *most* at a time; who finds none free waits for one."""

    def __init__(self, url: str, most: int) -> None:
        self._pool = ConnectionPool(url, most, _JobConnection)

    def close(self) -> None:
        """Close all that are idle."""
        self._pool.close()

    async def post(
        self, path: str, body: bytes, headers: Mapping[str, str], seconds: float
    ) -> Answer:
        """Return the answer to *body*.

        *seconds* may pass until a connection is free, and once more until the answer is there.
        Raises NotConnected where nothing was sent, else ConnectionError or TimeoutError.
        """
        pool = self._pool
        head = f"{_head(pool.host, path, tuple(headers.items()))}{len(body)}\r\n\r\n".encode()
        await pool.enter(seconds)
        try:
            connection = await pool.take()
            answer = await connection.ask(head, body, seconds)
        finally:
            pool.free.release()
        pool.keep(connection)
        return answer


@functools.lru_cache(maxsize=1024)
def _head(host: str, path: str, headers: tuple[tuple[str, str], ...]) -> str:
    lines = "".join([f"{name}: {value}\r\n" for name, value in headers])
    return (
        f"POST {quote(path)} HTTP/1.1\r\nHost: {host}\r\n{lines}"
        "Content-Type: application/octet-stream\r\nContent-Length: "
    )
