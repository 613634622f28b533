"""Speech that leaves sentence by sentence, while the next one is still being made."""

import base64
import logging
import time
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import aclosing
from typing import NamedTuple, Protocol

import msgspec
from aiohttp import hdrs, web

from sidecar.errors import SidecarError
from sidecar.scheduling.entry import Reply
from sidecar.schemas.synthesis import (
    CaptionFormat,
    OutputFormat,
    Quality,
    SpokenPart,
    SpokenWhole,
    SpokenWord,
)
from sidecar.speech.audio_encoder import StreamEncoder
from sidecar.speech.captions import captions
from sidecar.speech.fair_threads import InThread
from sidecar.speech.output_formats import FORMATS
from sidecar.speech.service import SpeechService
from sidecar.speech.synthesis import (
    BYTES_PER_SAMPLE,
    LEFT_OUT,
    LeftOut,
    SpeechSynthesis,
    SynthesisCall,
    warnings,
)
from sidecar.speech.voices import Speaker
from sidecar.telemetry.statistics import Synthesis
from sidecar.web.admission import ADMISSION
from sidecar.web.event_stream import Event, send_events
from sidecar.web.middleware import begin_stream

_encode = msgspec.json.Encoder().encode
log = logging.getLogger(__name__)

FIRST_SAMPLES = 4096  # encoded and sent before the rest of the first part


class Streamed(NamedTuple):
    """What to speak, and as which file."""

    order: SynthesisCall
    format: OutputFormat
    quality: Quality


def audio_headers(
    name: OutputFormat, sample_rate: int, speaker: Speaker, left_out: LeftOut
) -> dict[str, str]:
    """Return the headers of an answer that is the audio itself.

    A header is ASCII, so the one of warnings names scripts and no words.
    """
    headers = {
        hdrs.CONTENT_TYPE: FORMATS[name].mime_type,
        "X-Sample-Rate": str(sample_rate),
        "X-Model": speaker.key,
        "X-Voice": speaker.voice,
    }
    if left_out:
        scripts = ", ".join(each.encode("ascii", "replace").decode() for each in left_out)
        headers["X-Warnings"] = f"{LEFT_OUT}: {scripts}"
    return headers


async def send_stream(
    request: web.Request, speech: SpeechService, wanted: Streamed
) -> tuple[web.StreamResponse, Synthesis | None]:
    """Send the answer and return it, with no synthesis if it ended early.

    A failure before the first audio is raised.  After that the connection is cut, so that the
    client does not mistake a part for the whole.
    """
    order = wanted.order
    started = time.monotonic()
    speaking = speech.synthesis(order, streamed=True)
    async with aclosing(speaking.replies()) as parts:
        first = await anext(parts)
        rate = first.parameters["sample_rate"]
        with StreamEncoder(FORMATS[wanted.format], rate, wanted.quality) as encoder:
            headers = audio_headers(
                wanted.format, encoder.sample_rate, order.speaker, speaking.left_out
            )
            response = web.StreamResponse(headers=headers)
            try:
                await begin_stream(request, response)
                in_thread = speech.in_threads_of(request[ADMISSION].client)
                samples = await _relay(in_thread, response, encoder, _all(first, parts))
            except (SidecarError, ConnectionError) as exc:
                _cut_off(request, exc)
                return response, None
    ended = time.monotonic()
    taken = ended - order.scheduling.arrived
    return response, Synthesis(order.speaker.key, taken, samples / rate, ended - started)


class EventForm(Protocol):
    """How the events of a stream of speech are written."""

    def part(self, data: bytes, words: Sequence[SpokenWord]) -> Event:
        """Return the event for the next bytes of the file and the words that are said in them."""

    def whole(self, speaking: SpeechSynthesis, sample_rate: int) -> Event:
        """Return the event that ends the stream; *sample_rate* is the file's."""


class TimedEvents(NamedTuple):
    """The audio with the times of its words, and at the end what it was."""

    format: OutputFormat
    caption_format: CaptionFormat | None

    def part(self, data: bytes, words: Sequence[SpokenWord]) -> Event:
        """Return the event `audio`."""
        return Event("audio", _encode(SpokenPart(base64.b64encode(data).decode(), list(words))))

    def whole(self, speaking: SpeechSynthesis, sample_rate: int) -> Event:
        """Return the event `done`."""
        return Event(
            "done",
            _encode(
                SpokenWhole(
                    success=True,
                    format=self.format,
                    sample_rate=sample_rate,
                    duration=round(speaking.seconds, 3),
                    warnings=warnings(speaking.left_out),
                    captions=captions(speaking.words, self.caption_format)
                    if self.caption_format
                    else msgspec.UNSET,
                )
            ),
        )


async def send_speech_events(
    request: web.Request, speech: SpeechService, wanted: Streamed, form: EventForm
) -> tuple[web.StreamResponse, Synthesis | None]:
    """Send the audio as events; no synthesis when it ended early."""
    started = time.monotonic()
    speaking = speech.synthesis(wanted.order, streamed=True)
    in_thread = speech.in_threads_of(request[ADMISSION].client)
    response, whole = await send_events(request, _events(in_thread, speaking, wanted, form))
    if not whole:
        return response, None
    ended = time.monotonic()
    order = wanted.order
    taken = ended - order.scheduling.arrived
    return response, Synthesis(order.speaker.key, taken, speaking.seconds, ended - started)


async def _events(
    in_thread: InThread, speaking: SpeechSynthesis, wanted: Streamed, form: EventForm
) -> AsyncGenerator[Event, None]:
    async with aclosing(speaking.replies()) as parts:
        first = await anext(parts)
        rate = first.parameters["sample_rate"]
        with StreamEncoder(FORMATS[wanted.format], rate, wanted.quality) as encoder:
            told = 0
            async for part in _all(first, parts):
                data = await in_thread(encoder.encode, part.body)
                yield form.part(data, speaking.words[told:])
                told = len(speaking.words)
            yield form.part(await in_thread(encoder.finish), [])
            yield form.whole(speaking, encoder.sample_rate)


async def _all(first: Reply, others: AsyncIterator[Reply]) -> AsyncIterator[Reply]:
    yield first
    async for part in others:
        yield part


async def _relay(
    in_thread: InThread,
    response: web.StreamResponse,
    encoder: StreamEncoder,
    parts: AsyncIterator[Reply],
) -> int:
    """Send what is spoken as it comes, and return how many samples that was."""
    samples = 0
    async for part in parts:
        ahead = 0 if samples else FIRST_SAMPLES * BYTES_PER_SAMPLE
        samples += len(part.body) // BYTES_PER_SAMPLE
        for piece in filter(None, (part.body[:ahead], part.body[ahead:])):
            if data := await in_thread(encoder.encode, piece):
                await response.write(data)
    await response.write(await in_thread(encoder.finish))
    await response.write_eof()
    return samples


def _cut_off(request: web.Request, exc: Exception) -> None:
    log.warning("a stream of %s ended early: %s", request.path, exc)
    if request.transport is not None:
        request.transport.abort()
