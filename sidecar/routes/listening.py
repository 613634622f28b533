"""One recording on its way through a recogniser, for every route that transcribes."""

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from typing import NamedTuple

from aiohttp import web

from sidecar.schemas.transcription import TranscriptionRequest
from sidecar.speech.audio_source import AudioSource
from sidecar.speech.service import SpeechService
from sidecar.speech.subtitles import srt, vtt
from sidecar.speech.transcript import Transcript, write_down
from sidecar.speech.transcription import Heard, Transcription
from sidecar.speech.voices import Listener
from sidecar.web.admission import ADMISSION, CALL
from sidecar.web.body import scheduling_of
from sidecar.web.uploads import Upload


class Listening(NamedTuple):
    """A recording on its way through the recogniser, and how it was asked for.

    *began* is on the statistics' clock.
    """

    asked: TranscriptionRequest
    upload: Upload
    listener: Listener
    source: AudioSource
    transcription: Transcription
    began: float

    def heard(self) -> AsyncGenerator[Heard, None]:
        """Return what is said, stretch by stretch."""
        return self.transcription.heard()

    async def transcript(self) -> Transcript:
        """Return all that is said."""
        return await write_down(self.transcription)

    def warnings(self, transcript: Transcript) -> list[str]:
        """Return what was empty, cut off, damaged or left out."""
        return [*self.source.warnings, *transcript.warnings(self.source.seconds)]


def as_file(name: str, transcript: Transcript) -> web.Response:
    """Return *transcript* as subtitles where *name* is "srt" or "vtt", else as plain text."""
    if name == "srt":
        return web.Response(text=srt(transcript.segments), content_type="application/x-subrip")
    if name == "vtt":
        return web.Response(text=vtt(transcript.segments), content_type="text/vtt")
    return web.Response(text=transcript.text + "\n", content_type="text/plain")


@asynccontextmanager
async def listening_to(
    request: web.Request,
    speech: SpeechService,
    asked: TranscriptionRequest,
    upload: Upload,
) -> AsyncIterator[Listening]:
    """Give *upload* to the recogniser that *asked* names.

    Raises InvalidInput, ModelNotFound, SpeechRefusal, and what `Admission.admit_to_model` raises.
    """
    admission, began = request[ADMISSION], request[CALL].arrived
    listener = speech.listener(asked.wanted_model, asked)
    admission.prepare(speech.voice_activity(), "voice activity")
    await admission.admit_to_model(listener.key, listener.name)
    scheduling = scheduling_of(request, asked)
    async with speech.audio_source(upload.file, upload.field, admission.client) as source:
        transcription = speech.transcription(
            source, listener, asked, scheduling, streamed=asked.stream
        )
        yield Listening(asked, upload, listener, source, transcription, began)
