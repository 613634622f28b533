"""POST /transcribe: speech as text; whole, as subtitles, or segment by segment."""

import time
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass
from typing import NamedTuple

import msgspec
from aiohttp import web

from sidecar.errors import InvalidInput
from sidecar.routes.timestamps import now
from sidecar.routes.transcription_request import TranscriptionCall, read_request
from sidecar.scheduling.request import SchedulingOptions
from sidecar.schemas.transcription import (
    InputAudio,
    InputsTranscriptionResponse,
    Recogniser,
    RecogniserInfo,
    TranscriptionMetadata,
    TranscriptionParameters,
    TranscriptionRequest,
    TranscriptionResponse,
)
from sidecar.speech.audio_source import AudioSource
from sidecar.speech.service import SpeechService
from sidecar.speech.subtitles import srt, vtt
from sidecar.speech.transcript import Transcript
from sidecar.speech.transcription import Heard, Transcription
from sidecar.speech.voice_activity import Recording
from sidecar.speech.voices import Listener, check_language
from sidecar.web import request_head
from sidecar.web.admission import ADMISSION, Admission
from sidecar.web.event_stream import MEDIA_TYPE, Event, send_events
from sidecar.web.measurement import CALL
from sidecar.web.route import Route, json_response

_encode = msgspec.json.Encoder().encode


class Listening(NamedTuple):
    """One request at work.  *began* is on the statistics' clock."""

    asked: TranscriptionCall
    listener: Listener
    source: AudioSource
    began: float
    traceparent: str | None

    def heard(self, speech: SpeechService) -> AsyncGenerator[Heard, None]:
        """What is said, stretch by stretch."""
        request = self.asked.request
        recording = Recording(
            self.source.blocks(),
            speech.voice_activity(),
            SchedulingOptions(
                request.priority, request.timeout, self.began, traceparent=self.traceparent
            ),
            streamed=request.stream,
        )
        return Transcription(speech.scheduler, recording, self.listener, request).heard()


@dataclass(frozen=True, slots=True)
class TranscriptionParts:
    """What listens."""

    speech: SpeechService


PARTS = web.AppKey("transcribe", TranscriptionParts)


async def transcribe(request: web.Request) -> web.StreamResponse:
    """Write down one recording."""
    speech, admission, call = request.app[PARTS].speech, request[ADMISSION], request[CALL]
    call.inputs = 1
    async with read_request(admission, speech) as asked:
        listener = await _listener(admission, asked.request, speech)
        async with speech.audio_source(asked.upload.file, asked.field, admission.client) as source:
            traceparent = request_head.traceparent(request)
            listening = Listening(asked, listener, source, call.arrived, traceparent)
            response, call.success = await _answer(request, listening, speech)
    return response


async def _listener(
    admission: Admission, asked: TranscriptionRequest, speech: SpeechService
) -> Listener:
    """Who listens.  Raises 400, 404, 429 or 503."""
    listener = speech.listener(asked.wanted_model)
    check_language(listener.speech, asked.known_language)
    if asked.task == "translate" and not listener.speech.translates:
        raise InvalidInput(f"task: {listener.name} does not translate")
    admission.prepare(speech.voice_activity(), "voice activity")
    await admission.admit_to_model(listener.key, listener.name)
    return listener


async def _answer(
    request: web.Request, listening: Listening, speech: SpeechService
) -> tuple[web.StreamResponse, bool]:
    """The answer, and whether all of it could be sent."""
    asked = listening.asked.request
    if asked.stream:
        return await send_events(request, _events(listening, speech))
    transcript = Transcript()
    async with aclosing(listening.heard(speech)) as parts:
        async for heard in parts:
            transcript.add(heard)
    if asked.response_format == "json":
        return json_response(_body(listening, transcript)), True
    response = _plain(asked.response_format, transcript)
    if warnings := _warnings(listening, transcript):
        response.headers["X-Warnings"] = "; ".join(warnings)
    return response, True


async def _events(listening: Listening, speech: SpeechService) -> AsyncGenerator[Event, None]:
    """Each segment when it is ready; at the end the answer that there is without streaming."""
    transcript = Transcript()
    async with aclosing(listening.heard(speech)) as parts:
        async for heard in parts:
            transcript.add(heard)
            for segment in heard.segments:
                yield Event("segment", _encode(segment))
    yield Event("done", _encode(_body(listening, transcript)))


def _plain(response_format: str, transcript: Transcript) -> web.Response:
    if response_format == "srt":
        return web.Response(text=srt(transcript.segments), content_type="application/x-subrip")
    if response_format == "vtt":
        return web.Response(text=vtt(transcript.segments), content_type="text/vtt")
    return web.Response(text=transcript.text + "\n", content_type="text/plain")


def _warnings(listening: Listening, transcript: Transcript) -> list[str]:
    source = listening.source
    return [*source.warnings, *transcript.warnings(source.seconds)]


def _body(
    listening: Listening, transcript: Transcript
) -> TranscriptionResponse | InputsTranscriptionResponse:
    """The answer in the form that the request had."""
    asked, listener = listening.asked, listening.listener
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
            warnings=_warnings(listening, transcript),
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
        warnings=_warnings(listening, transcript),
    )


def _input_audio(listening: Listening) -> InputAudio:
    facts = listening.source.facts
    return InputAudio(
        sample_rate=facts.sample_rate,
        channels=facts.channels,
        format=facts.format,
        duration=round(listening.source.seconds, 3),
        size_bytes=listening.asked.upload.size,
    )


def _parameters(asked: TranscriptionRequest) -> dict[str, object]:
    """What the recogniser was told, but for the prompt: it is the client's own text."""
    names = TranscriptionParameters.__struct_fields__
    return {name: getattr(asked, name) for name in names if name != "initial_prompt"}


ROUTES = [
    Route(
        "POST",
        "/transcribe",
        transcribe,
        "Write speech down",
        response=TranscriptionResponse,
        or_response=InputsTranscriptionResponse,
        request=TranscriptionRequest,
        statuses=(400, 401, 404, 413, 422, 500, 503, 504),
        credential="optional",
        form=True,
        measured_as="inference",
        other_media=("text/plain", "application/x-subrip", "text/vtt", MEDIA_TYPE),
    )
]
