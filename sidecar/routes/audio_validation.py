"""POST /audio/validate: what a file is, and whether it can be decoded."""

from dataclasses import dataclass

import msgspec
from aiohttp import web

from sidecar.errors import AudioTooLarge, AudioTooLong, CorruptAudio, UnsupportedAudio
from sidecar.routes.input_audio import AudioRequest, received_audio
from sidecar.schemas.audio import ValidationRequest, ValidationResponse
from sidecar.schemas.inline_audio import hello
from sidecar.speech.audio_source import AudioSource
from sidecar.speech.service import SpeechService
from sidecar.web.admission import ADMISSION
from sidecar.web.route import Route, json_response

_request = msgspec.json.Decoder(ValidationRequest)


@dataclass(frozen=True, slots=True)
class ValidationParts:
    """What decodes files."""

    speech: SpeechService


PARTS = web.AppKey("audio validation", ValidationParts)


async def validate_audio(request: web.Request) -> web.Response:
    """Examine one file; an invalid file is an answer, not an error."""
    speech, admission = request.app[PARTS].speech, request[ADMISSION]
    async with received_audio(admission, _request, speech) as asked:
        return json_response(await _validated(asked, speech, admission.client))


async def _validated(
    asked: AudioRequest[ValidationRequest], speech: SpeechService, client: str
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
            asked.upload.file, asked.upload.field, client, strict=whole
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
    """Return the seconds, and whether the file merely declares them."""
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
