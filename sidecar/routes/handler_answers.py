"""A custom handler's answer as /predict shows it: as JSON, or as a data URI.

What is large is worked on in a thread, since other requests would wait meanwhile: where the work
keeps the interpreter to itself, it is done in steps.
"""

import asyncio
import binascii
import zlib
from collections.abc import Mapping

import msgspec

from sidecar.settings import MB
from sidecar.web.turns import LARGE_BYTES

MAX_INFLATED_BYTES = 32 * MB  # of one request's answers: 50 ms of JSON, which is one step
BYTES = "application/octet-stream"
_GZIP = 16  # zlib's flag for its header
_STEP_BYTES = 3 << 17  # of bytes that become base64; a multiple of three needs no padding
_raw = msgspec.json.Decoder(msgspec.Raw)
_encode = msgspec.json.Encoder().encode


class ShownAnswers:
    """The answers to one request: what their handler has compressed has one bound for all."""

    def __init__(self) -> None:
        self._room = MAX_INFLATED_BYTES

    async def show(self, body: bytes, headers: Mapping[str, str]) -> bytes:
        """Return JSON for *body*; the names of *headers* are in lower case."""
        media_type = headers.get("content-type")
        if headers.get("content-encoding") == "gzip":
            body = await asyncio.to_thread(_inflated, body, self._room)
            self._room = max(0, self._room - len(body))
        if len(body) <= LARGE_BYTES:
            return _as_json(body, media_type)
        return await asyncio.to_thread(_as_json, body, media_type)


def _inflated(body: bytes, most: int) -> bytes:
    """Return what a handler has compressed; what is above *most* bytes, or no gzip, stays as it is.

    zlib lets other threads run.
    """
    reader = zlib.decompressobj(zlib.MAX_WBITS | _GZIP)
    try:
        inflated = reader.decompress(body, most + 1)
    except zlib.error:
        return body
    return inflated if reader.eof and len(inflated) <= most else body


def _as_json(body: bytes, media_type: str | None) -> bytes:
    """Return JSON as it is, and anything else as a data URI of its type.

    TorchServe names no type of what handlers return as a list or an object, which is JSON then.
    """
    if media_type is None or media_type.partition(";")[0].strip().endswith("json"):
        try:
            return bytes(_raw.decode(body))
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            pass
    kind = media_type or ("text/plain;charset=utf-8" if _is_text(body) else BYTES)
    head = _encode(f"data:{kind.replace(' ', '')};base64,").removesuffix(b'"')
    return b"".join([head, *_base64(body), b'"'])


def _base64(body: bytes) -> list[bytes]:
    view = memoryview(body)
    return [
        binascii.b2a_base64(view[start : start + _STEP_BYTES], newline=False)
        for start in range(0, len(body), _STEP_BYTES)
    ]


def _is_text(body: bytes) -> bool:
    try:
        body.decode()
    except UnicodeDecodeError:
        return False
    return True
