"""Requests with an audio file: as a form, or inside JSON as a data URI or plain base64.

A path or an address is refused.
"""

import binascii
import io
import re
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Generic, NamedTuple, TypeVar

import msgspec

from sidecar.errors import InvalidFields, InvalidInput
from sidecar.schemas.audio import ValidationRequest
from sidecar.schemas.inline_audio import no_audio
from sidecar.schemas.transcription import TranscriptionRequest
from sidecar.settings import MB
from sidecar.speech.fair_threads import InThread
from sidecar.speech.service import SpeechService
from sidecar.web.admission import Admission
from sidecar.web.body import read_json
from sidecar.web.body_reader import is_form
from sidecar.web.uploads import Upload, opened_form

_DATA_URI = re.compile(rb"data:(?:[\w.+-]|\\?/)*(;[^,;]*)*;base64,", re.IGNORECASE)
_URI_BYTES = 1000  # what stands before the data is shorter
_STEP_BYTES = MB  # decoded at a time; other threads run in between
_BLANKS = b" \t\r\n"
_USUAL_ALPHABET = bytes.maketrans(b"-_", b"+/")  # from that of addresses and file names
_ESCAPE_BYTES = 6  # the longest escape
_text = msgspec.json.Decoder(str)


Kind = TypeVar("Kind", TranscriptionRequest, ValidationRequest)


class AudioRequest(NamedTuple, Generic[Kind]):
    """A checked request and its file.  *form*: it came as multipart."""

    request: Kind
    upload: Upload
    form: bool


@asynccontextmanager
async def received_audio(
    admission: Admission, decoder: msgspec.json.Decoder[Kind], speech: SpeechService
) -> AsyncIterator[AudioRequest[Kind]]:
    """Yield a request in either form; its file is there until the block ends.

    Raises, in this order: 413 or 503, 400, 401, 429, 422; and 400 for what is not base64.
    """
    if is_form(admission.request):
        async with opened_form(admission, decoder.type) as (given, upload):
            yield AudioRequest(given, upload, form=True)
        return
    asked = await read_json(admission, decoder, line_breaks=True)
    upload = await inline_audio(asked.inputs, "inputs", speech.in_threads_of(admission.client))
    yield AudioRequest(msgspec.structs.replace(asked, inputs=no_audio()), upload, form=False)


async def inline_audio(
    inputs: msgspec.Raw | bytes | memoryview, field: str, in_thread: InThread
) -> Upload:
    """Return the file in *inputs*, a JSON string.

    Raises InvalidFields for another kind of value, InvalidInput for a string that is neither a
    data URI nor base64; both name *field*.
    """
    value = memoryview(inputs)
    if bytes(value[:1]) != b'"':
        raise InvalidFields("expected the audio as a string, data:audio/…;base64,…", field=field)
    file: io.BytesIO = await in_thread(_decode, value, field)
    return Upload(file, None, file.getbuffer().nbytes, field)


def _decode(value: memoryview, field: str) -> io.BytesIO:
    file = io.BytesIO()
    try:
        for group in _groups(value[1:-1]):
            file.write(binascii.a2b_base64(group, strict_mode=True))
    except (binascii.Error, UnicodeError, msgspec.DecodeError) as exc:
        raise InvalidInput(
            "expected data:audio/…;base64,… or plain base64; "
            "this server opens no path and no address",
            field=field,
        ) from exc
    file.seek(0)
    return file


def _groups(text: memoryview) -> Iterator[bytes]:
    """Yield the base64 in *text*, without white space, in pieces that can be decoded alone."""
    rest, ended = b"", False
    for piece in _unescaped(text):
        data = rest + piece.translate(_USUAL_ALPHABET, _BLANKS)
        whole = len(data) // 4 * 4
        if whole and ended:
            raise binascii.Error("data follows the padding")
        ended = data.endswith(b"=", 0, whole)
        yield data[:whole]
        rest = data[whole:]
    if rest:
        raise binascii.Error("the last group is not complete")


def _unescaped(text: memoryview) -> Iterator[bytes]:
    """Yield what follows the head of the data URI, with the escapes of JSON resolved.

    Some encoders write ``\\/`` for a slash and ``\\u002B`` for a plus sign.
    """
    uri = _DATA_URI.match(text[:_URI_BYTES])
    rest = b""
    for step in _cut(text[uri.end() if uri else 0 :]):
        piece, rest = rest + bytes(step), b""
        if b"\\" in piece:
            begun = piece.rfind(
                b"\\", max(len(piece) - _ESCAPE_BYTES, 0)
            )  # it may go on in the next step
            if begun >= 0:
                piece, rest = piece[:begun], piece[begun:]
            piece = _resolve(piece)
        yield piece
    yield _resolve(rest)


def _resolve(piece: bytes) -> bytes:
    return _text.decode(b'"' + piece + b'"').encode("ascii")


def _cut(text: memoryview) -> Iterator[memoryview]:
    for start in range(0, len(text), _STEP_BYTES):
        yield text[start : start + _STEP_BYTES]
