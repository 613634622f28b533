"""POST /v1/audio/speech: turn a text into streamed speech; and GET /v1/audio/voices."""

import base64
from collections.abc import Iterator, Sequence
from typing import get_args

import msgspec
from aiohttp import web

from sidecar.openai.instructions import emotion_of
from sidecar.openai.names import VOICES
from sidecar.routes.openai.names import NAMES, OpenAINames
from sidecar.routes.speech_models import SpeechModel, speech_models, usable
from sidecar.routes.speech_stream import Streamed, send_speech_events, send_stream
from sidecar.routes.synthesize import PARTS
from sidecar.schemas.openai.speech import (
    ListedVoice,
    SpeechAudioDelta,
    SpeechAudioDone,
    SpeechFormat,
    SpeechRequest,
    VoiceListing,
)
from sidecar.schemas.synthesis import (
    MAX_REQUEST_BYTES,
    OutputFormat,
    SpokenWord,
    SynthesisRequest,
)
from sidecar.speech.output_formats import media_types
from sidecar.speech.synthesis import SpeechSynthesis
from sidecar.web.admission import ADMISSION, CALL
from sidecar.web.body import read_json, scheduling_of
from sidecar.web.event_stream import Event
from sidecar.web.route import Route, json_response

_request = msgspec.json.Decoder(SpeechRequest)
_encode = msgspec.json.Encoder().encode
DEFAULT_FORMAT: OutputFormat = "mp3"
FIELD_NAMES = {"text": "input", "inputs": "input", "model_name": "model"}


class SpeechAudioEvents:
    """The events of the `stream_format` sse."""

    def part(self, data: bytes, words: Sequence[SpokenWord]) -> Event:  # noqa: ARG002 - our own
        """Return the event `speech.audio.delta`."""
        return Event("", _encode(SpeechAudioDelta(base64.b64encode(data).decode())))

    def whole(self, speaking: SpeechSynthesis, sample_rate: int) -> Event:  # noqa: ARG002 - our own
        """Return the event `speech.audio.done`."""
        return Event("", _encode(SpeechAudioDone()))


async def speak_as_openai(request: web.Request) -> web.StreamResponse:
    """Speak one text.  The audio is sent as it is synthesised."""
    speech, admission, call = request.app[PARTS].speech, request[ADMISSION], request[CALL]
    call.inputs = 1
    wanted = await read_json(admission, _request)
    admission.field_names = FIELD_NAMES
    asked = _translated(wanted, request.app[NAMES])
    scheduling = scheduling_of(request, asked)
    order = speech.synthesis_call(asked.words, asked, scheduling, asked.wanted_model)
    await admission.admit_to_model(order.speaker.key, order.speaker.name)
    streamed = Streamed(order, asked.output_format or DEFAULT_FORMAT, asked.quality)
    if wanted.stream_format == "sse":
        events = SpeechAudioEvents()
        response, call.synthesis = await send_speech_events(request, speech, streamed, events)
    else:
        response, call.synthesis = await send_stream(request, speech, streamed)
    call.success = call.synthesis is not None
    return response


def _translated(wanted: SpeechRequest, names: OpenAINames) -> SynthesisRequest:
    """Translate *wanted* into a request to /synthesize."""
    model = names.model(wanted.model)
    return SynthesisRequest(
        inputs=wanted.input,
        model_name=model,
        voice=names.voice(model, wanted.voice_name),
        speed=wanted.speed or 1.0,
        emotion=emotion_of(wanted.instructions or ""),
        output_format=wanted.response_format or DEFAULT_FORMAT,
        enable_streaming=True,
        priority=wanted.priority,
        timeout=wanted.timeout,
    )


async def list_voices(request: web.Request) -> web.Response:
    """Answer with every voice that can speak."""
    names = request.app[NAMES]
    speaking = usable(speech_models(names.models, "speech_synthesis"))
    default = names.settings.default_tts_model
    known = {model.key: model for model in speaking}
    aliases = {
        name: f"{default}/{voice}"
        for name in VOICES
        if default in known and (voice := names.voice(default, name)) is not None
    }
    voices = [voice for model in speaking for voice in _voices_of(model)]
    return json_response(VoiceListing("list", voices, aliases))


def _voices_of(model: SpeechModel) -> Iterator[ListedVoice]:
    described = model.spec.handler_options["voices"]
    for name in model.spec.voices:
        yield ListedVoice(
            id=name,
            object="audio.voice",
            name=name,
            model=model.key,
            description=described[name].get("description", ""),
        )


ROUTES = [
    Route(
        "POST",
        "/v1/audio/speech",
        speak_as_openai,
        "Turn a text into streamed speech",
        request=SpeechRequest,
        statuses=(400, 401, 404, 413, 500, 503, 504),
        credential="optional",
        max_body_bytes=MAX_REQUEST_BYTES,
        example={
            "model": "tts-1",
            "voice": "alloy",
            "input": "Hello. This is how I sound.",
            "instructions": "Speak in a cheerful tone.",
            "stream_format": "sse",
        },
        placeholders=True,
        measured_as="synthesis",
        media_type="audio/mpeg",
        other_media=media_types(get_args(SpeechFormat)),
        events=(("", SpeechAudioDelta), ("", SpeechAudioDone)),
    ),
    Route(
        "GET",
        "/v1/audio/voices",
        list_voices,
        "The voices that can speak",
        VoiceListing,
        placeholders=True,
    ),
]
