"""POST /v1/audio/transcriptions and /v1/audio/translations: turn speech into text."""

import math
import zlib
from collections.abc import AsyncGenerator
from contextlib import aclosing
from functools import partial
from typing import Literal

import msgspec
from aiohttp import web

from sidecar.errors import InvalidForm
from sidecar.routes.listening import Listening, as_file, listening_to
from sidecar.routes.openai.names import NAMES, OpenAINames
from sidecar.routes.transcribe import PARTS
from sidecar.schemas.languages import language_name
from sidecar.schemas.openai.transcription import (
    AudioUsage,
    TranscribedText,
    TranscriptDelta,
    TranscriptDone,
    TranscriptionForm,
    TranslationForm,
    VerboseSegment,
    VerboseTranscript,
    VerboseWord,
)
from sidecar.schemas.transcription import Segment, TranscriptionRequest
from sidecar.speech.transcript import Transcript
from sidecar.web.admission import ADMISSION, CALL
from sidecar.web.body_reader import is_form
from sidecar.web.event_stream import Event, send_events
from sidecar.web.route import Route, json_response
from sidecar.web.uploads import opened_form

_encode = msgspec.json.Encoder().encode
MAX_PROMPT = 1000  # characters; of a longer prompt the last ones are used
SMALLEST_CONFIDENCE = 1e-10  # so that its logarithm is finite
OpenAITask = Literal["transcribe", "translate"]


async def transcribe_as_openai(request: web.Request) -> web.StreamResponse:
    """Transcribe one recording in its own language."""
    return await _written_down(request, TranscriptionForm, "transcribe")


async def translate_as_openai(request: web.Request) -> web.StreamResponse:
    """Translate one recording into English text."""
    return await _written_down(request, TranslationForm, "translate")


async def _written_down(
    request: web.Request, kind: type[TranslationForm], task: OpenAITask
) -> web.StreamResponse:
    admission, call = request[ADMISSION], request[CALL]
    call.inputs = 1
    if not is_form(request):
        await admission.accept_token(None)
        raise InvalidForm(
            "expected multipart/form-data with the audio in the field file", field="Content-Type"
        )
    async with opened_form(admission, kind) as (form, upload):
        asked = _translated(form, task, request.app[NAMES])
        async with listening_to(request, request.app[PARTS].speech, asked, upload) as listening:
            if asked.stream:
                events = _events(listening)
                response, call.success = await send_events(request, events)
                return response
            transcript = await listening.transcript()
            call.success = True
            return _answer(form, listening, transcript)


def _translated(
    form: TranslationForm, task: OpenAITask, names: OpenAINames
) -> TranscriptionRequest:
    """Translate the form into a request to /transcribe."""
    own = form if isinstance(form, TranscriptionForm) else None
    return TranscriptionRequest(
        model=names.model(form.model),
        task=task,
        language=own.language if own else None,
        temperature=form.temperature,
        initial_prompt=form.prompt[-MAX_PROMPT:] or None,
        word_timestamps=own is not None and "word" in own.timestamp_granularities,
        stream=own is not None and own.stream,
        priority=form.priority,
        timeout=form.timeout,
    )


async def _events(listening: Listening) -> AsyncGenerator[Event, None]:
    """Yield the text in parts as it is recognised, and the whole text at the end."""
    transcript = Transcript()
    async with aclosing(listening.heard()) as parts:
        async for heard in parts:
            before = len(transcript.text)
            transcript.add(heard)
            if delta := transcript.text[before:]:
                yield Event("", _encode(TranscriptDelta(delta)))
    yield Event("", _encode(TranscriptDone(transcript.text, _usage(listening))))


def _answer(form: TranslationForm, listening: Listening, transcript: Transcript) -> web.Response:
    name = form.response_format
    if name == "json":
        return json_response(TranscribedText(transcript.text, _usage(listening)))
    if name == "verbose_json":
        return json_response(_verbose(form, listening, transcript))
    return as_file(name, transcript)


def _verbose(
    form: TranslationForm, listening: Listening, transcript: Transcript
) -> VerboseTranscript:
    granularities = (
        form.timestamp_granularities if isinstance(form, TranscriptionForm) else []
    ) or ["segment"]
    segments = [
        _segment(number, each, form.temperature) for number, each in enumerate(transcript.segments)
    ]
    words = [
        VerboseWord(word.word.strip(), word.start, word.end)
        for segment in transcript.segments
        for word in segment.words or ()
    ]
    language = "en" if listening.asked.task == "translate" else transcript.language
    return VerboseTranscript(
        task=listening.asked.task,
        language=None if language is None else language_name(language),
        duration=_seconds(listening),
        text=transcript.text,
        usage=_usage(listening),
        segments=segments if "segment" in granularities else msgspec.UNSET,
        words=words if "word" in granularities else msgspec.UNSET,
    )


def _segment(number: int, heard: Segment, temperature: float) -> VerboseSegment:
    text = heard.text.encode()
    return VerboseSegment(
        id=number,
        seek=round(100 * heard.start),
        start=heard.start,
        end=heard.end,
        text=heard.text,
        tokens=[],
        temperature=temperature,
        avg_logprob=round(math.log(max(heard.confidence, SMALLEST_CONFIDENCE)), 6),
        compression_ratio=round(len(text) / len(zlib.compress(text)), 6),
        no_speech_prob=heard.no_speech_prob,
    )


def _usage(listening: Listening) -> AudioUsage:
    return AudioUsage("duration", _seconds(listening))


def _seconds(listening: Listening) -> float:
    return round(listening.source.seconds, 3)


_recording_route = partial(
    Route,
    "POST",
    response=TranscribedText,
    or_response=VerboseTranscript,
    statuses=(400, 401, 404, 413, 500, 503, 504),
    credential="optional",
    form="only",
    placeholders=True,
    measured_as="inference",
    other_media=("text/plain", "application/x-subrip", "text/vtt"),
)
ROUTES = [
    _recording_route(
        "/v1/audio/transcriptions",
        transcribe_as_openai,
        "Turn a recording into text",
        request=TranscriptionForm,
        example={"model": "whisper-1"},
        events=(("", TranscriptDelta), ("", TranscriptDone)),
    ),
    _recording_route(
        "/v1/audio/translations",
        translate_as_openai,
        "Turn a recording into English text",
        request=TranslationForm,
        example={"model": "whisper_base"},
    ),
]
