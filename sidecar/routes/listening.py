"""One recording at work, for every route that writes speech down."""

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing, asynccontextmanager
from typing import NamedTuple

from aiohttp import web

from sidecar.errors import InvalidInput
from sidecar.scheduling.request import SchedulingOptions
from sidecar.schemas.transcription import TranscriptionRequest
from sidecar.speech.audio_source import AudioSource
from sidecar.speech.service import SpeechService
from sidecar.speech.transcript import Transcript
from sidecar.speech.transcription import Heard, Transcription
from sidecar.speech.voice_activity import Recording
from sidecar.speech.voices import Listener, check_language
from sidecar.web import request_head
from sidecar.web.admission import ADMISSION, Admission
from sidecar.web.measurement import CALL
from sidecar.web.uploads import Upload


class Listening(NamedTuple):
    """What is heard, by whom, and how it was asked for.  *began* is on the statistics' clock."""

    speech: SpeechService
    asked: TranscriptionRequest
    upload: Upload
    listener: Listener
    source: AudioSource
    began: float
    traceparent: str | None

    def heard(self) -> AsyncGenerator[Heard, None]:
        """Return what is said, stretch by stretch."""
        asked = self.asked
        recording = Recording(
            self.source.blocks(),
            self.speech.voice_activity(),
            SchedulingOptions(
                asked.priority, asked.timeout, self.began, traceparent=self.traceparent
            ),
            streamed=asked.stream,
        )
        return Transcription(self.speech.scheduler, recording, self.listener, asked).heard()

    async def transcript(self) -> Transcript:
        """Return all that is said."""
        transcript = Transcript()
        async with aclosing(self.heard()) as parts:
            async for heard in parts:
                transcript.add(heard)
        return transcript

    def warnings(self, transcript: Transcript) -> list[str]:
        """Return what was empty, cut off, damaged or left out."""
        return [*self.source.warnings, *transcript.warnings(self.source.seconds)]


@asynccontextmanager
async def listening_to(
    request: web.Request,
    speech: SpeechService,
    asked: TranscriptionRequest,
    upload: Upload,
    field: str,
) -> AsyncIterator[Listening]:
    """Give *upload*, which came in *field*, to the recogniser that *asked* names.

    Raises InvalidInput, ModelNotFound, SpeechRefusal, and what `Admission.admit_to_model` raises.
    """
    admission = request[ADMISSION]
    listener = await _listener(admission, asked, speech)
    async with speech.audio_source(upload.file, field, admission.client) as source:
        traceparent = request_head.traceparent(request)
        yield Listening(speech, asked, upload, listener, source, request[CALL].arrived, traceparent)


async def _listener(
    admission: Admission, asked: TranscriptionRequest, speech: SpeechService
) -> Listener:
    listener = speech.listener(asked.wanted_model)
    check_language(listener.speech, asked.known_language)
    if asked.task == "translate" and not listener.speech.translates:
        raise InvalidInput(f"task: {listener.name} does not translate")
    admission.prepare(speech.voice_activity(), "voice activity")
    await admission.admit_to_model(listener.key, listener.name)
    return listener
