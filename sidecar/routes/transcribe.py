"""POST /transcribe: speech as text; whole, as subtitles, or segment by segment."""

import time
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass

import msgspec
from aiohttp import web

from sidecar.routes.input_audio import AudioRequest, received_audio
from sidecar.routes.listening import Listening, as_file, listening_to
from sidecar.schemas.inline_audio import hello
from sidecar.schemas.transcription import (
    InputAudio,
    InputsTranscriptionResponse,
    Recogniser,
    RecogniserInfo,
    Segment,
    TranscriptionMetadata,
    TranscriptionParameters,
    TranscriptionRequest,
    TranscriptionResponse,
)
from sidecar.speech.service import SpeechService
from sidecar.speech.transcript import Transcript
from sidecar.web.admission import ADMISSION, CALL
from sidecar.web.event_stream import Event, send_events
from sidecar.web.route import Route, json_response, now

_request = msgspec.json.Decoder(TranscriptionRequest)
_encode = msgspec.json.Encoder().encode


@dataclass(frozen=True, slots=True)
class TranscriptionParts:
    """The parts that listen."""

    speech: SpeechService


PARTS = web.AppKey("transcribe", TranscriptionParts)


async def transcribe(request: web.Request) -> web.StreamResponse:
    """Transcribe one recording."""
    speech, admission, call = request.app[PARTS].speech, request[ADMISSION], request[CALL]
    call.inputs = 1
    async with received_audio(admission, _request, speech) as asked:
        admission.field_names = asked.request.field_names
        async with listening_to(request, speech, asked.request, asked.upload) as listening:
            response, call.success = await _answer(request, asked, listening)
    return response


async def _answer(
    request: web.Request, asked: AudioRequest[TranscriptionRequest], listening: Listening
) -> tuple[web.StreamResponse, bool]:
    """Return the answer, and whether all of it could be sent."""
    if asked.request.stream:
        return await send_events(request, _events(asked, listening))
    transcript = await listening.transcript()
    if asked.request.response_format == "json":
        return json_response(_body(asked, listening, transcript)), True
    response = as_file(asked.request.response_format, transcript)
    if warnings := listening.warnings(transcript):
        response.headers["X-Warnings"] = "; ".join(warnings)
    return response, True


async def _events(
    asked: AudioRequest[TranscriptionRequest], listening: Listening
) -> AsyncGenerator[Event, None]:
    """Yield each segment when it is ready, and at the end the answer as without streaming."""
    transcript = Transcript()
    async with aclosing(listening.heard()) as parts:
        async for heard in parts:
            transcript.add(heard)
            for segment in heard.segments:
                yield Event("segment", _encode(segment))
    yield Event("done", _encode(_body(asked, listening, transcript)))


def _body(
    asked: AudioRequest[TranscriptionRequest], listening: Listening, transcript: Transcript
) -> TranscriptionResponse | InputsTranscriptionResponse:
    """Return the answer in the form that matches the request's."""
    listener = listening.listener
    taken = round(time.monotonic() - listening.began, 6)
    if not asked.form:
        return InputsTranscriptionResponse(
            success=True,
            text=transcript.text,
            segments=transcript.segments,
            language=transcript.language,
            confidence=transcript.confidence,
            processing_time=taken,
            model_info=RecogniserInfo(listener.name, listener.key, asked.request.task),
            warnings=listening.warnings(transcript),
        )
    return TranscriptionResponse(
        success=True,
        timestamp=now(),
        transcription=transcript.text,
        segments=transcript.segments,
        language=transcript.language,
        language_probability=transcript.language_probability,
        duration=round(listening.source.seconds, 3),
        model_used=listener.key,
        processing_time=taken,
        metadata=TranscriptionMetadata(
            _input_audio(listening),
            Recogniser(listener.spec.display_name, "stt", _parameters(asked.request)),
        ),
        warnings=listening.warnings(transcript),
    )


def _input_audio(listening: Listening) -> InputAudio:
    facts = listening.source.facts
    return InputAudio(
        sample_rate=facts.sample_rate,
        channels=facts.channels,
        format=facts.format,
        duration=round(listening.source.seconds, 3),
        size_bytes=listening.upload.size,
    )


def _parameters(asked: TranscriptionRequest) -> dict[str, object]:
    """Return the recogniser's parameters without the prompt, which is the client's own text."""
    names = TranscriptionParameters.__struct_fields__
    return {name: getattr(asked, name) for name in names if name != "initial_prompt"}


ROUTES = [
    Route(
        "POST",
        "/transcribe",
        transcribe,
        "Transcribe speech",
        response=TranscriptionResponse,
        or_response=InputsTranscriptionResponse,
        request=TranscriptionRequest,
        statuses=(400, 401, 404, 413, 422, 500, 503, 504),
        credential="optional",
        form=True,
        example={"inputs": hello(), "language": "en"},
        measured_as="inference",
        other_media=("text/plain", "application/x-subrip", "text/vtt"),
        events=(
            ("segment", Segment),
            ("done", TranscriptionResponse),
            ("done", InputsTranscriptionResponse),
        ),
    )
]
