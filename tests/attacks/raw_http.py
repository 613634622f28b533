"""HTTP/1.1 as bytes on a socket: for requests that no client library would send."""

import asyncio
import io
import json
from collections.abc import Mapping
from contextlib import suppress
from http.client import HTTPMessage, parse_headers
from typing import Any, NamedTuple

ANSWER_SECONDS = 60.0
HOST = b"Host: 127.0.0.1"


class Answer(NamedTuple):
    """What came back.  *status* 0: the connection ended without an answer."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    def json(self) -> Any:
        """The body.  Raises ValueError where it is not JSON."""
        return json.loads(self.body)


NO_ANSWER = Answer(0, {}, b"")


def request(
    method: str, target: str | bytes, *headers: str | bytes, body: bytes | None = None
) -> bytes:
    """A whole request with the right length; strings are sent as UTF-8."""
    lines = [b"%s %s HTTP/1.1" % (method.encode(), _bytes(target)), HOST]
    lines += [_bytes(each) for each in headers]
    if body is not None:
        lines.append(b"Content-Length: %d" % len(body))
    return b"\r\n".join([*lines, b"", body or b""])


def _bytes(text: str | bytes) -> bytes:
    return text.encode() if isinstance(text, str) else text


async def exchange(
    port: int, data: bytes, *, seconds: float = ANSWER_SECONDS, half_close: bool = False
) -> Answer:
    """Send *data* on a connection of its own and return the first final answer.

    *half_close* ends the sending side afterwards.  Raises TimeoutError when neither an answer
    nor the connection's end comes within *seconds*.
    """
    async with asyncio.timeout(seconds):
        try:
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
        except OSError:
            return NO_ANSWER
        sending = asyncio.create_task(_send(writer, data, half_close=half_close))
        try:
            return await read_answer(reader, has_body=not data.startswith(b"HEAD "))
        finally:
            sending.cancel()
            await asyncio.wait([sending])
            writer.transport.abort()


async def _send(writer: asyncio.StreamWriter, data: bytes, *, half_close: bool) -> None:
    with suppress(OSError):  # the server may refuse, and leave, before it has all
        writer.write(data)
        await writer.drain()
        if half_close:
            writer.write_eof()


async def read_answer(reader: asyncio.StreamReader, *, has_body: bool = True) -> Answer:
    """The next answer of a connection that is no 100 Continue; NO_ANSWER at its end.

    Raises ValueError for what is not HTTP.
    """
    try:
        while True:
            head = await reader.readuntil(b"\r\n\r\n")
            first, _, rest = head.partition(b"\r\n")
            status = int(first.split()[1])
            if status >= 200:
                headers = parse_headers(io.BytesIO(rest))
                has_body = has_body and status not in (204, 304)
                body = await _body(reader, headers) if has_body else b""
                return Answer(status, dict(headers.items()), body)
    except (OSError, asyncio.IncompleteReadError):
        return NO_ANSWER


async def _body(reader: asyncio.StreamReader, headers: HTTPMessage) -> bytes:
    if "chunked" in headers.get("Transfer-Encoding", ""):
        parts = []
        while size := int(await reader.readuntil(b"\r\n"), 16):
            parts.append((await reader.readexactly(size + 2))[:-2])
        return b"".join(parts)
    length = headers.get("Content-Length")
    return await (reader.readexactly(int(length)) if length is not None else reader.read())
