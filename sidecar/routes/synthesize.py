"""POST /synthesize: a text as speech; in JSON, as a file, or as a stream."""

import base64
import time
from dataclasses import dataclass
from typing import NamedTuple

import msgspec
from aiohttp import web
from msgspec.structs import replace

from sidecar.caching.result_cache import Origin, ResultCache
from sidecar.errors import InvalidInput
from sidecar.models.registry import ModelRegistry
from sidecar.routes.results import cached, result_key, within
from sidecar.routes.speech_stream import (
    Streamed,
    TimedEvents,
    audio_headers,
    send_speech_events,
    send_stream,
)
from sidecar.schemas.synthesis import (
    MAX_REQUEST_BYTES,
    AudioFacts,
    InputsSynthesisResponse,
    OutputFormat,
    ProcessingFacts,
    SpokenBy,
    SpokenPart,
    SpokenWhole,
    SpokenWord,
    SynthesisMetadata,
    SynthesisRequest,
    SynthesisResponse,
    VoiceInfo,
)
from sidecar.speech.captions import captions
from sidecar.speech.output_formats import FORMATS, media_types
from sidecar.speech.service import SpeechFile, SpeechService
from sidecar.speech.synthesis import SynthesisCall, warnings
from sidecar.telemetry.statistics import Synthesis
from sidecar.web import request_head
from sidecar.web.admission import ADMISSION, CALL
from sidecar.web.body import read_json, scheduling_of
from sidecar.web.route import Route, json_response, now

DEFAULT_FORMAT: OutputFormat = "wav"
_request = msgspec.json.Decoder(SynthesisRequest)


@dataclass(frozen=True, slots=True)
class SynthesisParts:
    """The parts that speak, or keep what was spoken before."""

    models: ModelRegistry
    speech: SpeechService
    results: ResultCache


class WantedAudio(NamedTuple):
    """The audio that a client asks for.  *raw*: the file itself, rather than JSON that holds it."""

    format: OutputFormat
    raw: bool


PARTS = web.AppKey("synthesize", SynthesisParts)


async def synthesize(request: web.Request) -> web.StreamResponse:
    """Speak one text."""
    parts, admission, call = request.app[PARTS], request[ADMISSION], request[CALL]
    call.inputs = 1
    asked = await read_json(admission, _request)
    if asked.format is not None:
        asked = replace(asked, timestamps="word")
    scheduling = scheduling_of(request, asked)
    admission.field_names = asked.field_names
    order = parts.speech.synthesis_call(asked.words, asked, scheduling, asked.wanted_model)
    wanted = _wanted_audio(request_head.accept(request), asked.output_format)
    answer = _streamed if asked.enable_streaming else _whole
    response, call.synthesis = await answer(request, asked, order, wanted)
    call.success = call.synthesis is not None
    return response


async def _whole(
    request: web.Request, asked: SynthesisRequest, order: SynthesisCall, wanted: WantedAudio
) -> tuple[web.StreamResponse, Synthesis | None]:
    if wanted.raw and asked.timestamps:
        field = "timestamps" if asked.format is None else "format"
        raise InvalidInput(
            "an audio file cannot contain it; send Accept: application/json", field=field
        )
    file, origin = await _file(request, asked, order, wanted.format)
    taken = time.monotonic() - order.scheduling.arrived
    speaking = file.speaking_seconds if origin == "computed" else None
    synthesis = Synthesis(order.speaker.key, taken, file.seconds, speaking)
    if wanted.raw:
        headers = audio_headers(wanted.format, file.sample_rate, order.speaker, file.left_out)
        return web.Response(body=file.data, headers=headers), synthesis
    if asked.text is None:
        return json_response(_inputs_answer(asked, order, file, taken)), synthesis
    return json_response(_text_answer(asked, order, file, taken)), synthesis


def _wanted_audio(accept: str, output_format: OutputFormat | None) -> WantedAudio:
    """Return what the field *output_format* says, else *accept*, which is in small letters.

    The header may name one of our types, or any audio at all.
    """
    ranges = [part.partition(";")[0].strip() for part in accept.split(",")]
    audio = [each for each in ranges if each.startswith("audio/")]
    named = (
        name
        for each in audio
        for name, file_format in FORMATS.items()
        if file_format.mime_type == each
    )
    chosen: OutputFormat = next(named, DEFAULT_FORMAT)
    return WantedAudio(output_format or chosen, raw=bool(audio))


async def _file(
    request: web.Request, asked: SynthesisRequest, order: SynthesisCall, name: OutputFormat
) -> tuple[SpeechFile, Origin]:
    """Return the whole file, and where it came from."""
    parts, admission, speaker = request.app[PARTS], request[ADMISSION], order.speaker

    async def compute() -> SpeechFile:
        await admission.admit_to_model(speaker.key, speaker.name)
        return await parts.speech.speak(order, name, admission.client)

    if not speaker.spec.cache:
        return await compute(), "computed"
    model = parts.models.require(speaker.key, called=speaker.name)
    exact = replace(
        asked, voice=speaker.voice, output_format=name, token=None, priority=0, timeout=60.0
    )
    key = result_key(model, b"speech", msgspec.json.encode(exact))
    async with within(order.scheduling):
        return await cached(parts.results, request, key, compute)


async def _streamed(
    request: web.Request, asked: SynthesisRequest, order: SynthesisCall, wanted: WantedAudio
) -> tuple[web.StreamResponse, Synthesis | None]:
    speech = request.app[PARTS].speech
    await request[ADMISSION].admit_to_model(order.speaker.key, order.speaker.name)
    streamed = Streamed(order, wanted.format, asked.quality)
    if asked.timestamps:
        timed = TimedEvents(wanted.format, asked.format)
        return await send_speech_events(request, speech, streamed, timed)
    return await send_stream(request, speech, streamed)


def _text_answer(
    asked: SynthesisRequest, order: SynthesisCall, file: SpeechFile, taken: float
) -> SynthesisResponse:
    speaker = order.speaker
    return SynthesisResponse(
        success=True,
        audio_data=base64.b64encode(file.data).decode(),
        format=file.format,
        duration=round(file.seconds, 3),
        sample_rate=file.sample_rate,
        channels=1,
        model_used=speaker.key,
        voice_used=speaker.voice,
        generation_time=round(taken, 6),
        text_length=len(order.text),
        metadata=SynthesisMetadata(
            SpokenBy(speaker.spec.display_name, "tts", speaker.spec.description),
            _audio_facts(file),
            _processing(file),
        ),
        words=_words(order, file),
        captions=_captions(asked, file),
        warnings=warnings(file.left_out),
        timestamp=now(),
    )


def _audio_facts(file: SpeechFile) -> AudioFacts:
    bits = 8 * len(file.data)  # headers included
    bit_rate = round(bits / file.seconds) if file.seconds else 0
    return AudioFacts(bit_rate, FORMATS[file.format].codec, len(file.data))


def _processing(file: SpeechFile) -> ProcessingFacts:
    """Add up the jobs' times: each job counts once, in full even if other requests shared it."""
    jobs = {(reply.worker, reply.job): reply for reply in file.replies}
    timings = [reply.timings for reply in jobs.values() if reply.timings is not None]
    return ProcessingFacts(
        gpu_used=any(reply.device.startswith("cuda") for reply in jobs.values()),
        inference_time=round(sum(each.forward_ms for each in timings) / 1000, 6),
        preprocessing_time=round(sum(each.decode_ms for each in timings) / 1000, 6),
        postprocessing_time=round(
            sum(each.encode_ms for each in timings) / 1000 + file.encode_seconds, 6
        ),
    )


def _inputs_answer(
    asked: SynthesisRequest, order: SynthesisCall, file: SpeechFile, taken: float
) -> InputsSynthesisResponse:
    speaker = order.speaker
    language = order.parameters.language or speaker.speech.languages[0]
    return InputsSynthesisResponse(
        success=True,
        audio_data=base64.b64encode(file.data).decode(),
        audio_format=file.format,
        duration=round(file.seconds, 3),
        sample_rate=file.sample_rate,
        processing_time=round(taken, 6),
        model_info=VoiceInfo(speaker.name, speaker.voice, language, speaker.key),
        words=_words(order, file),
        captions=_captions(asked, file),
        warnings=warnings(file.left_out),
    )


def _words(order: SynthesisCall, file: SpeechFile) -> list[SpokenWord] | msgspec.UnsetType:
    return file.words if order.parameters.timestamps else msgspec.UNSET


def _captions(asked: SynthesisRequest, file: SpeechFile) -> str | msgspec.UnsetType:
    return captions(file.words, asked.format) if asked.format else msgspec.UNSET


ROUTES = [
    Route(
        "POST",
        "/synthesize",
        synthesize,
        "Speak a text",
        response=SynthesisResponse,
        or_response=InputsSynthesisResponse,
        request=SynthesisRequest,
        statuses=(400, 401, 404, 413, 422, 500, 503, 504),
        credential="optional",
        max_body_bytes=MAX_REQUEST_BYTES,
        example={"text": "Hello. This is how I sound.", "emotion": "happy"},
        measured_as="synthesis",
        other_media=media_types(FORMATS),
        events=(("audio", SpokenPart), ("done", SpokenWhole)),
    )
]
