"""POST /predict with speech models: a text becomes audio, a recording text or times of speech."""

import asyncio
import base64
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import aclosing, asynccontextmanager
from typing import Any, NamedTuple, TypeVar

import msgspec

from sidecar.errors import InvalidInput, RequestTimedOut, SidecarError, TextTooLong
from sidecar.models.model import Model
from sidecar.routes.input_audio import inline_audio
from sidecar.routes.speech_stream import warnings
from sidecar.scheduling.entry import Body, Reply
from sidecar.scheduling.request import SchedulingOptions
from sidecar.schemas.synthesis import (
    MAX_REQUEST_BYTES,
    MAX_TEXT,
    SpeechInput,
    SpeechPrediction,
    SynthesisParameters,
)
from sidecar.schemas.transcription import (
    RecognitionInput,
    RecognitionPrediction,
    SpeechTimes,
    TranscriptionParameters,
    VoiceActivityPrediction,
)
from sidecar.speech.audio_source import AudioSource
from sidecar.speech.rendering import render
from sidecar.speech.service import SpeechService
from sidecar.speech.synthesis import SynthesisCall, speak
from sidecar.speech.transcript import Transcript
from sidecar.speech.transcription import Transcription
from sidecar.speech.voice_activity import Recording, SpeechFinder
from sidecar.speech.voices import check_language
from sidecar.web.body import field_rule

_encode = msgspec.json.Encoder().encode
_spoken = msgspec.json.Decoder(str | SpeechInput)
_heard = msgspec.json.Decoder(RecognitionInput)
Given = TypeVar("Given")
Parameters = TypeVar("Parameters")


class Task(NamedTuple):
    """One input of *client* for the speech model *key*."""

    speech: SpeechService
    client: str
    key: str
    scheduling: SchedulingOptions
    body: Body


async def predict_speech(
    speech: SpeechService,
    client: str,
    model: Model,
    bodies: Sequence[Body],
    scheduling: SchedulingOptions,
) -> list[Reply | SidecarError]:
    """The reply of each input, or why it has none, in order.  Raises RequestTimedOut."""
    run = _RUN[model.spec.task]
    tasks = (Task(speech, client, model.key, scheduling, body) for body in bodies)
    return await asyncio.gather(*(_outcome(run, task) for task in tasks))


async def _outcome(run: Callable[[Task], Awaitable[Reply]], task: Task) -> Reply | SidecarError:
    try:
        return await run(task)
    except RequestTimedOut:
        raise
    except SidecarError as exc:
        return exc


async def _speak(task: Task) -> Reply:
    speech = task.speech
    if len(task.body) > MAX_REQUEST_BYTES:
        raise InvalidInput(f"inputs: at most {MAX_REQUEST_BYTES} bytes, a voice to clone included")
    given = _decoded(_spoken, task.body, "text, or an object {text, parameters}")
    text, raw = (given, {}) if isinstance(given, str) else (given.text, given.parameters)
    if len(text) > MAX_TEXT:
        raise TextTooLong("inputs", MAX_TEXT, len(text))
    parameters = _parameters(raw, SynthesisParameters)
    speaker = speech.speaker(task.key, parameters.voice)
    check_language(speaker.speech, parameters.language)
    longest = speech.max_speech_seconds
    order = SynthesisCall(text, speaker, parameters, task.scheduling, longest)
    spoken = await speak(speech.scheduler, order)
    in_thread = speech.in_threads_of(task.client)
    rendered = await render(
        in_thread, spoken, parameters.output_format or "wav", parameters.quality
    )
    return _reply(
        SpeechPrediction(
            base64.b64encode(rendered.data).decode(),
            rendered.format,
            rendered.sample_rate,
            round(spoken.seconds, 3),
            warnings(spoken.left_out),
            spoken.words if parameters.timestamps else msgspec.UNSET,
        ),
        spoken.replies,
    )


async def _transcribe(task: Task) -> Reply:
    speech = task.speech
    audio: Body | msgspec.Raw = task.body
    raw: dict[str, Any] = {}
    if audio[:1] == b"{":
        given = _decoded(_heard, task.body, "a data URI, or an object {audio, parameters}")
        audio, raw = given.audio, given.parameters
    parameters = _parameters(raw, TranscriptionParameters)
    listener = speech.listener(task.key)
    check_language(listener.speech, parameters.known_language)
    transcript = Transcript()
    async with _recording(task, audio) as (recording, source):
        transcription = Transcription(speech.scheduler, recording, listener, parameters)
        async with aclosing(transcription.heard()) as parts:
            async for heard in parts:
                transcript.add(heard)
    answer = RecognitionPrediction(
        transcript.text,
        transcript.segments,
        transcript.language,
        [*source.warnings, *transcript.warnings(source.seconds)],
    )
    return _reply(answer, transcription.replies)


async def _find_speech(task: Task) -> Reply:
    async with _recording(task, task.body) as (recording, _):
        finder = SpeechFinder(task.speech.scheduler, recording)
        async with aclosing(finder.parts()) as parts:
            times = [SpeechTimes(round(p.start, 3), round(p.end, 3)) async for p in parts]
    return _reply(VoiceActivityPrediction(times), finder.replies)


_RUN: Mapping[str, Callable[[Task], Awaitable[Reply]]] = {
    "speech_synthesis": _speak,
    "speech_recognition": _transcribe,
    "voice_activity": _find_speech,
}


@asynccontextmanager
async def _recording(
    task: Task, audio: Body | msgspec.Raw
) -> AsyncIterator[tuple[Recording, AudioSource]]:
    speech = task.speech
    upload = await inline_audio(audio, "inputs", speech.in_threads_of(task.client))
    async with speech.audio_source(upload.file, "inputs", task.client) as source:
        yield Recording(source.blocks(), speech.voice_activity(), task.scheduling), source


def _decoded(decoder: msgspec.json.Decoder[Given], body: Body, what: str) -> Given:
    try:
        return decoder.decode(body)
    except msgspec.DecodeError as exc:
        raise InvalidInput(f"inputs: must be {what}") from exc


def _parameters(raw: dict[str, Any], kind: type[Parameters]) -> Parameters:
    try:
        return msgspec.convert(raw, kind)
    except msgspec.ValidationError as exc:
        raise InvalidInput(f"inputs.parameters.{field_rule(exc)}") from exc


def _reply(answer: Any, replies: Sequence[Reply]) -> Reply:
    """One reply for all the jobs that an input was in; *forward_pass*: the fullest of them."""
    fullest = max(replies, key=lambda reply: reply.forward_pass)
    return msgspec.structs.replace(fullest, body=_encode(answer))
