"""A multipart body: its fields as text, and its file on disk, however large it is.

The parts are cut apart by the library `multipart`, a push parser: it is fed a piece at a time,
and everything a client can send too much of is counted as it arrives.
"""

import asyncio
import re
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import BinaryIO, NamedTuple, TypeVar

import msgspec
from aiohttp import hdrs, web
from multipart import (
    MultipartError,
    MultipartSegment,
    ParserLimitReached,
    PushMultipartParser,
    parse_options_header,
)

from sidecar.errors import (
    InvalidFields,
    InvalidForm,
    NotAuthenticated,
    PayloadTooLarge,
)
from sidecar.settings import MB
from sidecar.web import body
from sidecar.web.admission import Admission
from sidecar.web.body import ANONYMOUS_BYTES, check_timeout, invalid_fields
from sidecar.web.body_reader import PIECE_BYTES, BodyReader, max_form_bytes

CHUNK_BYTES = MB  # written to disk at a time
MAX_FIELD_BYTES = 1 << 16
MAX_PARTS = 33  # 32 fields and the file
MAX_PREAMBLE_BYTES = 1 << 10  # before the first boundary, where nothing should be
MAX_BOUNDARY = 70  # characters: RFC 2046, section 5.1.1
MAX_NAME = 255  # characters of a field's name, or of a file's that are kept
# x[] is one of a list, x[y] a field of an object.
_NAME = re.compile(r"[A-Za-z_]\w*(\[\w*\])?", re.ASCII)
FILE = "file"
FILE_FIELDS = frozenset({FILE, "audio"})  # the second is the name that people try first
INLINE = "inputs"  # the field of a request in JSON that holds the audio
BELONGS = f"the audio belongs in the field {FILE}, as a file"

Parsed = TypeVar("Parsed", bound=body.TimedRequest)


class Upload(NamedTuple):
    """A file that a client sent, in *field* of its request.

    *name* is the client's name for it, never a path here.
    """

    file: BinaryIO
    name: str | None
    size: int
    field: str


@asynccontextmanager
async def opened_form(
    admission: Admission, kind: type[Parsed]
) -> AsyncIterator[tuple[Parsed, Upload]]:
    """Give the form's fields as *kind*, and its file, which is there until the block ends.

    The credential in the form is for *admission* to accept.  Raises, in this order: 413 or 503,
    400, 401, 429, 422.
    """
    settings, form = admission.settings, _Form(admission, kind)
    with BodyReader(admission, max_form_bytes(settings)) as reader:
        try:
            await form.read(reader)
            await admission.accept_token(form.fields.get("token"))
            asked = _convert(form.fields, form.lists, kind)
            check_timeout(asked, settings)
            if form.upload is None:
                raise InvalidFields("needs the audio file", field=FILE)
            yield asked, form.upload
        finally:
            await form.close()


def _convert(fields: dict[str, str], lists: dict[str, list[str]], kind: type[Parsed]) -> Parsed:
    if INLINE in fields:
        raise InvalidFields(f"in a form, {BELONGS}", field=INLINE)
    try:
        return msgspec.convert({**fields, **lists}, kind, strict=False)
    except msgspec.ValidationError as exc:
        raise invalid_fields(exc, kind) from exc


class _Form:
    """The parts of one body; fields that are empty count as absent.

    A name that ends with ``[]`` may come several times, and makes one of the *lists*.
    """

    def __init__(self, admission: Admission, kind: type[body.TimedRequest]) -> None:
        self._admission = admission
        known = {each.encode_name for each in msgspec.structs.fields(kind)}  # type: ignore[arg-type]
        self._text_fields = known - {INLINE}
        self._max_mb = admission.settings.max_upload_mb
        self._file: BinaryIO | None = None
        self._unwritten = bytearray()
        self._name = ""  # of the part that is being read
        self._field = bytearray()
        self._parts = 0
        self.fields: dict[str, str] = {}
        self.lists: dict[str, list[str]] = {}
        self.upload: Upload | None = None
        self._hint = ""  # to the refusal of the part that is being read

    async def read(self, reader: BodyReader) -> None:
        """Read every part.

        Raises PayloadTooLarge, InvalidForm, InvalidFields, NotAuthenticated, Overloaded.
        """
        parser = _parser(self._admission.request)
        try:
            async for piece in reader.pieces():
                if self._admission.needs_credential and reader.size > ANONYMOUS_BYTES:
                    raise NotAuthenticated(
                        "A form above 1 MB needs its credential in a header, or before the file"
                    )
                for start in range(0, len(piece), PIECE_BYTES):
                    for event in parser.parse(piece[start : start + PIECE_BYTES]):
                        await self._take(event)
                if not self._parts and reader.size > MAX_PREAMBLE_BYTES:
                    raise InvalidForm("expected the first boundary at its beginning", field="body")
            parser.close()
        except ParserLimitReached as exc:
            raise InvalidForm("the headers of a part are too long", field="body") from exc
        except MultipartError as exc:
            raise InvalidForm("it is cut short, or its parts are malformed", field="body") from exc

    async def close(self) -> None:
        """Give the file's space back."""
        if self._file is not None:
            await asyncio.to_thread(self._file.close)

    async def _take(self, event: MultipartSegment | bytes | None) -> None:
        """Take the beginning of a part, some of its bytes, or (None) its end."""
        if event is None:
            await self._end_part()
        elif isinstance(event, MultipartSegment):
            await self._begin_part(event)
        elif self._name in FILE_FIELDS:
            await self._spool(event)
        else:
            self._field += event
            if len(self._field) > MAX_FIELD_BYTES:
                raise InvalidFields(
                    f"at most {MAX_FIELD_BYTES} bytes of text{self._hint}",
                    field=self._name,
                )

    async def _begin_part(self, part: MultipartSegment) -> None:
        self._parts += 1
        if self._parts > MAX_PARTS:
            raise InvalidFields(f"at most {MAX_PARTS} parts", field="body")
        name = part.name or ""
        if len(name) > MAX_NAME or _NAME.fullmatch(name) is None:
            raise InvalidForm("every part needs a name, of letters, digits and _", field="body")
        if name in self.fields and not name.endswith("[]"):
            raise InvalidFields("given twice", field=name)
        self._name, self._field = name, bytearray()
        self._hint = f"; {BELONGS}" if part.filename or name == INLINE else ""
        if name in FILE_FIELDS:
            await self._begin_file(part)
        elif part.filename and name not in self._text_fields:
            raise InvalidFields(f"not the field of a file; {BELONGS}", field=name)

    async def _begin_file(self, part: MultipartSegment) -> None:
        if self._file is not None:
            raise InvalidFields("a second file; expected one in each request", field=self._name)
        self._file = await asyncio.to_thread(tempfile.TemporaryFile)
        self.upload = Upload(self._file, _shown_name(part.filename), 0, self._name)

    async def _end_part(self) -> None:
        if self._name in FILE_FIELDS:
            assert self._file is not None
            await self._write()
            await asyncio.to_thread(self._file.seek, 0)
            return
        try:
            text = self._field.decode()
        except UnicodeDecodeError as exc:
            raise InvalidForm(f"expected text in UTF-8{self._hint}", field=self._name) from exc
        if text and self._name.endswith("[]"):
            self.lists.setdefault(self._name, []).append(text)
        elif text:
            self.fields[self._name] = text
        if self._name == "token" and text and self._admission.needs_credential:
            await self._admission.accept_token(text)

    async def _spool(self, data: bytes) -> None:
        assert self.upload is not None
        self.upload = self.upload._replace(size=self.upload.size + len(data))
        if self.upload.size > self._max_mb * MB:
            raise PayloadTooLarge(f"at most {self._max_mb:g} MB", field=self._name)
        self._unwritten += data
        if len(self._unwritten) >= CHUNK_BYTES:
            await self._write()

    async def _write(self) -> None:
        assert self._file is not None
        data, self._unwritten = self._unwritten, bytearray()
        await asyncio.to_thread(self._file.write, data)


def _parser(request: web.Request) -> PushMultipartParser:
    """Return a parser for the boundary in Content-Type.  Raises InvalidForm without one."""
    _, options = parse_options_header(request.headers.get(hdrs.CONTENT_TYPE, ""))
    boundary = options.get("boundary", "")
    if not 1 <= len(boundary) <= MAX_BOUNDARY or not boundary.isascii():
        raise InvalidForm(
            f"expected a boundary of 1 to {MAX_BOUNDARY} characters", field="Content-Type"
        )
    try:
        return PushMultipartParser(boundary, max_segment_count=MAX_PARTS + 1)
    except MultipartError as exc:
        raise InvalidForm(
            "the boundary holds characters that none may", field="Content-Type"
        ) from exc


def _shown_name(name: str | None) -> str | None:
    """Return what can be shown of a file's name; None when it has none."""
    printable = "".join(each for each in (name or "")[:MAX_NAME] if each.isprintable())
    return printable or None
