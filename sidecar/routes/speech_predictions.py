"""POST /predict with speech models: a text becomes audio, a recording text or times of speech."""

import asyncio
import base64
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import aclosing, asynccontextmanager
from typing import Any, NamedTuple, TypeVar

import msgspec

from sidecar.errors import InvalidInput, RequestTimedOut, SidecarError
from sidecar.models.model import Model
from sidecar.routes.input_audio import inline_audio
from sidecar.scheduling.entry import Body, Reply
from sidecar.scheduling.scheduler import SchedulingOptions
from sidecar.schemas.synthesis import (
    MAX_REQUEST_BYTES,
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
from sidecar.speech.service import SpeechService
from sidecar.speech.synthesis import warnings
from sidecar.speech.transcript import write_down
from sidecar.speech.voice_activity import Recording, SpeechFinder
from sidecar.web.admission import Admission
from sidecar.web.body import invalid_fields

_encode = msgspec.json.Encoder().encode
_spoken = msgspec.json.Decoder(str | SpeechInput)
_heard = msgspec.json.Decoder(RecognitionInput)
Given = TypeVar("Given")
Parameters = TypeVar("Parameters")


class SpeechInputCall(NamedTuple):
    """One input of *client* for a speech model."""

    speech: SpeechService
    client: str
    model: Model
    scheduling: SchedulingOptions
    body: Body


class SpeechPredictions:
    """Runs /predict's inputs through speech models."""

    def __init__(self, speech: SpeechService) -> None:
        self._speech = speech

    async def run(
        self,
        admission: Admission,
        model: Model,
        bodies: Sequence[Body],
        scheduling: SchedulingOptions,
    ) -> list[Reply | SidecarError]:
        """Return the reply of each input, or why it has none, in order.

        Raises RequestTimedOut; for recordings, ModelNotFound, ModelDownloading and NoRoom
        because of the model that finds speech.
        """
        speech, client = self._speech, admission.client
        if model.spec.task == "speech_recognition":
            admission.prepare(speech.voice_activity(), "voice activity")
        calls = (SpeechInputCall(speech, client, model, scheduling, body) for body in bodies)
        return await asyncio.gather(*(_outcome(call) for call in calls))


async def _outcome(call: SpeechInputCall) -> Reply | SidecarError:
    """Return the reply, or the error, whose fields are named by their place in `inputs`."""
    try:
        return await _RUN[call.model.spec.task](call)
    except RequestTimedOut:
        raise
    except SidecarError as exc:
        return exc.renamed(_FIELDS.get(exc.field or "", exc.field))


async def _speak(call: SpeechInputCall) -> Reply:
    if len(call.body) > MAX_REQUEST_BYTES:
        raise InvalidInput(
            f"at most {MAX_REQUEST_BYTES} bytes, a voice to clone included", field="inputs"
        )
    given = _decoded(_spoken, call.body, "text, or an object {text, parameters}")
    text, raw = (given, {}) if isinstance(given, str) else (given.text, given.parameters)
    parameters = _parameters(raw, SynthesisParameters)
    speech = call.speech
    synthesis = speech.synthesis_call(text, parameters, call.scheduling, call.model.key)
    file = await speech.speak(synthesis, parameters.output_format or "wav", call.client)
    return _reply(
        SpeechPrediction(
            base64.b64encode(file.data).decode(),
            file.format,
            file.sample_rate,
            round(file.seconds, 3),
            warnings(file.left_out),
            file.words if parameters.timestamps else msgspec.UNSET,
        ),
        file.replies,
    )


async def _transcribe(call: SpeechInputCall) -> Reply:
    audio: Body | msgspec.Raw = call.body
    raw: dict[str, Any] = {}
    if audio[:1] == b"{":
        given = _decoded(_heard, call.body, "a data URI, or an object {audio, parameters}")
        audio, raw = given.audio, given.parameters
    parameters = _parameters(raw, TranscriptionParameters)
    listener = call.speech.listener(call.model.key, parameters)
    async with _source(call, audio) as source:
        transcription = call.speech.transcription(source, listener, parameters, call.scheduling)
        transcript = await write_down(transcription)
    answer = RecognitionPrediction(
        transcript.text,
        transcript.segments,
        transcript.language,
        [*source.warnings, *transcript.warnings(source.seconds)],
    )
    return _reply(answer, transcription.replies)


async def _find_speech(call: SpeechInputCall) -> Reply:
    async with _source(call, call.body) as source:
        recording = Recording(source.blocks(), call.model.key, call.scheduling)
        finder = SpeechFinder(call.speech.scheduler, recording)
        async with aclosing(finder.parts()) as parts:
            times = [SpeechTimes(round(p.start, 3), round(p.end, 3)) async for p in parts]
    return _reply(VoiceActivityPrediction(times), finder.replies)


_RUN: Mapping[str, Callable[[SpeechInputCall], Awaitable[Reply]]] = {
    "speech_synthesis": _speak,
    "speech_recognition": _transcribe,
    "voice_activity": _find_speech,
}
_FIELDS = {
    name: f"inputs.parameters.{name}"
    for kind in (SynthesisParameters, TranscriptionParameters)
    for name in kind.__struct_fields__
} | {"text": "inputs"}


@asynccontextmanager
async def _source(call: SpeechInputCall, audio: Body | msgspec.Raw) -> AsyncIterator[AudioSource]:
    speech, client = call.speech, call.client
    upload = await inline_audio(audio, "inputs", speech.in_threads_of(client))
    async with speech.audio_source(upload.file, "inputs", client) as source:
        yield source


def _decoded(decoder: msgspec.json.Decoder[Given], body: Body, what: str) -> Given:
    try:
        return decoder.decode(body)
    except msgspec.DecodeError as exc:
        raise InvalidInput(f"must be {what}", field="inputs") from exc


def _parameters(raw: dict[str, Any], kind: type[Parameters]) -> Parameters:
    try:
        return msgspec.convert(raw, kind)
    except msgspec.ValidationError as exc:
        refusal = invalid_fields(exc, kind, within="inputs.parameters")
        raise InvalidInput(refusal.rule, field=refusal.field) from exc


def _reply(answer: Any, replies: Sequence[Reply]) -> Reply:
    """Return one reply for all the jobs of an input; *forward_pass* is that of the fullest one."""
    fullest = max(replies, key=lambda reply: reply.forward_pass)
    return msgspec.structs.replace(fullest, body=_encode(answer))
