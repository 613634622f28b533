"""A multipart body: its fields as text, and its file on disk, however large it is."""

import errno
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any, BinaryIO, NamedTuple, TypeVar

import msgspec
from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError

from sidecar.errors import InvalidFields, InvalidForm, PayloadTooLarge, Unavailable
from sidecar.routes import body
from sidecar.routes.body import check_timeout, field_rule
from sidecar.routes.credentials import admit
from sidecar.services import SERVICES, Services

CHUNK_BYTES = 1 << 20
MAX_FIELD_BYTES = 1 << 16
MAX_FIELDS = 32
MB = 2**20

Asked = TypeVar("Asked", bound=body.Asked)
InThread = Callable[..., Awaitable[Any]]
_MALFORMED = (  # what aiohttp raises of it
    *(ValueError, RuntimeError, AssertionError, LookupError),
    HttpProcessingError,
)


class Upload(NamedTuple):
    """A file that a client sent; *name* is what it calls it, and no path of ours."""

    file: BinaryIO
    name: str | None
    size: int


def is_form(request: web.Request) -> bool:
    """Whether the body says that it is a multipart form."""
    return request.content_type == "multipart/form-data"


@asynccontextmanager
async def opened_form(
    request: web.Request, kind: type[Asked]
) -> AsyncIterator[tuple[Asked, Upload]]:
    """The form's fields as *kind*, and its file, which is there until the block ends.

    Raises, in this order: 413, 400, 401, 422.
    """
    form = _Form(request.app[SERVICES])
    try:
        await form.read(request)
        await admit(request, form.fields.get("token"))
        asked = _convert(form.fields, kind)
        check_timeout(asked, request.app[SERVICES])
        if form.upload is None:
            raise InvalidFields("file: needs the audio file")
        yield asked, form.upload
    finally:
        await form.close()


def _convert(fields: dict[str, str], kind: type[Asked]) -> Asked:
    if "inputs" in fields:
        raise InvalidFields("inputs: in a form, the audio is the part file")
    try:
        return msgspec.convert(fields, kind, strict=False)
    except msgspec.ValidationError as exc:
        raise InvalidFields(field_rule(exc)) from exc


class _Form:
    """The parts of one body; fields that are empty count as absent."""

    def __init__(self, services: Services) -> None:
        self._in_thread: InThread = services.speech.in_thread
        self._max_mb = services.settings.max_upload_mb
        self._file: BinaryIO | None = None
        self.fields: dict[str, str] = {}
        self.upload: Upload | None = None

    async def read(self, request: web.Request) -> None:
        """Raises PayloadTooLarge, InvalidForm, InvalidFields."""
        try:
            async for part in await request.multipart():
                await self._take(part, getattr(part, "name", None))
        except OSError as exc:
            if exc.errno != errno.ENOSPC:
                raise
            raise Unavailable("file: there is no room for it on the disk", retry_after=30) from exc
        except _MALFORMED as exc:
            raise InvalidForm(f"body: {type(exc).__name__}") from exc

    async def close(self) -> None:
        """Gives the file's space back."""
        if self._file is not None:
            await self._in_thread(self._file.close)

    async def _take(self, part: Any, name: str | None) -> None:
        if not name or not hasattr(part, "read_chunk"):
            raise InvalidForm("body: every part needs a name")
        if name in self.fields or (name == "file" and self.upload):
            raise InvalidFields(f"{name}: given twice")
        if len(self.fields) >= MAX_FIELDS:
            raise InvalidFields(f"{name}: more than {MAX_FIELDS} fields")
        if name == "file":
            await self._spool(part)
        elif text := await _text(part, name):
            self.fields[name] = text

    async def _spool(self, part: Any) -> None:
        file = self._file = await self._in_thread(tempfile.TemporaryFile)
        size, waiting = 0, bytearray()
        while chunk := await part.read_chunk(CHUNK_BYTES):
            size += len(chunk)
            if size > self._max_mb * MB:
                raise PayloadTooLarge(f"file: at most {self._max_mb:g} MB")
            waiting += chunk
            if len(waiting) >= CHUNK_BYTES:
                await self._in_thread(file.write, bytes(waiting))
                waiting.clear()
        await self._in_thread(file.write, bytes(waiting))
        await self._in_thread(file.seek, 0)
        self.upload = Upload(file, part.filename, size)


async def _text(part: Any, name: str) -> str:
    data = bytearray()
    while chunk := await part.read_chunk(MAX_FIELD_BYTES):
        data += chunk
        if len(data) > MAX_FIELD_BYTES:
            raise InvalidFields(f"{name}: at most {MAX_FIELD_BYTES} bytes")
    return data.decode()
