"""POST /audio/validate: what a file is, and whether it can be decoded."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import NamedTuple

import msgspec
from aiohttp import web
from msgspec.structs import replace

from sidecar.errors import AudioTooLarge, AudioTooLong, CorruptAudio, UnsupportedAudio
from sidecar.routes.input_audio import inline_audio
from sidecar.schemas.audio import ValidationRequest, ValidationResponse
from sidecar.schemas.inline_audio import hello, no_audio
from sidecar.speech.audio_source import AudioSource
from sidecar.speech.service import SpeechService
from sidecar.web.admission import ADMISSION, Admission
from sidecar.web.body import read_json
from sidecar.web.body_reader import is_form
from sidecar.web.route import Route, json_response
from sidecar.web.uploads import Upload, opened_form

_request = msgspec.json.Decoder(ValidationRequest)


class ValidationCall(NamedTuple):
    """A checked request and its file."""

    request: ValidationRequest
    upload: Upload
    field: str


@dataclass(frozen=True, slots=True)
class ValidationParts:
    """What decodes files."""

    speech: SpeechService


PARTS = web.AppKey("audio validation", ValidationParts)


async def validate_audio(request: web.Request) -> web.Response:
    """Tells of one file; that it is not valid is an answer, and no error."""
    speech, admission = request.app[PARTS].speech, request[ADMISSION]
    async with _read(admission, speech) as asked:
        return json_response(await _validated(asked, speech, admission.client))


@asynccontextmanager
async def _read(admission: Admission, speech: SpeechService) -> AsyncIterator[ValidationCall]:
    if is_form(admission.request):
        async with opened_form(admission, ValidationRequest) as (asked, upload):
            yield ValidationCall(asked, upload, "file")
        return
    asked = await read_json(admission, _request, line_breaks=True)
    in_thread = speech.in_threads_of(admission.client)
    upload = await inline_audio(asked.inputs, "inputs", in_thread)
    yield ValidationCall(replace(asked, inputs=no_audio()), upload, "inputs")


async def _validated(
    asked: ValidationCall, speech: SpeechService, client: str
) -> ValidationResponse:
    answer = ValidationResponse(
        valid=False,
        file_path=asked.upload.name,
        size_bytes=asked.upload.size,
        format=None,
        format_valid=None,
        duration=None,
        sample_rate=None,
        estimated=False,
        warnings=[],
    )
    whole = asked.request.check_integrity
    try:
        async with speech.audio_source(
            asked.upload.file, asked.field, client, strict=whole
        ) as source:
            answer.format = source.facts.format
            answer.sample_rate = source.facts.sample_rate
            answer.format_valid = True if asked.request.validate_format else None
            answer.duration, answer.estimated = await _duration(source, whole=whole)
            answer.warnings = source.warnings
    except (AudioTooLarge, AudioTooLong, CorruptAudio, UnsupportedAudio) as exc:
        refused = isinstance(exc, UnsupportedAudio) and asked.request.validate_format
        answer.format_valid = False if refused else answer.format_valid
        answer.error = exc.detail
    else:
        answer.valid = True
    return answer


async def _duration(source: AudioSource, *, whole: bool) -> tuple[float | None, bool]:
    """Seconds, and whether that is only what the file says."""
    if not whole:
        return source.facts.seconds, source.facts.seconds is not None
    async for _ in source.blocks():
        pass
    return round(source.seconds, 3), False


ROUTES = [
    Route(
        "POST",
        "/audio/validate",
        validate_audio,
        "What an audio file is",
        response=ValidationResponse,
        request=ValidationRequest,
        statuses=(400, 401, 413, 422, 503),
        example={"inputs": hello(), "check_integrity": True},
        credential="optional",
        form=True,
    )
]
