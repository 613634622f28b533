"""Speech that leaves sentence by sentence, while the next one is still being made."""

import base64
import logging
import time
from collections.abc import AsyncGenerator, AsyncIterator, Iterator, Sequence
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

FIRST_BYTES = 2048 * BYTES_PER_SAMPLE  # encoded and sent before all else


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
        first, encoder = await _begin(speech, wanted, parts)
        with encoder:
            client = request[ADMISSION].client
            async with aclosing(_encoded(speech, client, encoder, first, parts)) as file:
                beginning = await anext(file)
                headers = audio_headers(
                    wanted.format, encoder.sample_rate, order.speaker, speaking.left_out
                )
                response = web.StreamResponse(headers=headers)
                try:
                    await begin_stream(request, response)
                    await response.write(beginning.data)
                    async for piece in file:
                        await response.write(piece.data)
                    await response.write_eof()
                except (SidecarError, ConnectionError) as exc:
                    _cut_off(request, exc)
                    return response, None
    return response, _synthesis(order, speaking, started)


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
    client = request[ADMISSION].client
    response, whole = await send_events(request, _events(speech, client, speaking, wanted, form))
    if not whole:
        return response, None
    return response, _synthesis(wanted.order, speaking, started)


async def _events(
    speech: SpeechService,
    client: str,
    speaking: SpeechSynthesis,
    wanted: Streamed,
    form: EventForm,
) -> AsyncGenerator[Event, None]:
    async with aclosing(speaking.replies()) as parts:
        first, encoder = await _begin(speech, wanted, parts)
        with encoder:
            told, samples = 0, 0
            async with aclosing(_encoded(speech, client, encoder, first, parts)) as file:
                async for piece in file:
                    samples += piece.samples
                    seconds = samples / encoder.input_rate
                    words = [each for each in speaking.words[told:] if each.start < seconds]
                    told += len(words)
                    yield form.part(piece.data, words)
            yield form.whole(speaking, encoder.sample_rate)


async def _begin(
    speech: SpeechService, wanted: Streamed, parts: AsyncIterator[Reply]
) -> tuple[Reply, StreamEncoder]:
    """Return the first of *parts*, and what encodes them, opened while that was being spoken."""
    file_format, expected = FORMATS[wanted.format], wanted.order.speaker.speech.sample_rate
    encoder = StreamEncoder(file_format, expected, wanted.quality)
    try:
        async with speech.opened_meanwhile(encoder):
            first = await anext(parts)
    except BaseException:
        encoder.close()
        raise
    rate = first.parameters["sample_rate"]
    if rate == encoder.input_rate:
        return first, encoder
    encoder.close()  # the catalog was mistaken
    return first, StreamEncoder(file_format, rate, wanted.quality)


class FilePiece(NamedTuple):
    """The next bytes of a file, and how many samples went into it since the last ones."""

    data: bytes
    samples: int


async def _encoded(
    speech: SpeechService,
    client: str,
    encoder: StreamEncoder,
    first: Reply,
    others: AsyncIterator[Reply],
) -> AsyncGenerator[FilePiece, None]:
    """Yield a file as its parts come: the beginning before all turns of the threads that wait."""
    beginning, *rest = _growing(first.body)
    in_thread = speech.in_threads_of(client)
    yield _piece(await speech.in_first_thread(encoder.encode, beginning), beginning)
    for pcm in rest:
        yield _piece(await in_thread(encoder.encode, pcm), pcm)
    async for part in others:
        yield _piece(await in_thread(encoder.encode, part.body), part.body)
    yield _piece(await in_thread(encoder.finish), b"")


def _piece(data: bytes, pcm: bytes) -> FilePiece:
    return FilePiece(data, len(pcm) // BYTES_PER_SAMPLE)


def _growing(pcm: bytes) -> Iterator[bytes]:
    """Cut *pcm* into pieces, each twice as long as the one before it.

    While one of them is heard there is time for the next to be encoded, and for others' pieces.
    """
    start, size = 0, FIRST_BYTES
    while start < len(pcm):
        yield pcm[start : start + size]
        start, size = start + size, 2 * size


def _synthesis(order: SynthesisCall, speaking: SpeechSynthesis, started: float) -> Synthesis:
    """Return what the statistics have of a stream that *started* then and has just ended."""
    ended = time.monotonic()
    taken = ended - order.scheduling.arrived
    return Synthesis(order.speaker.key, taken, speaking.seconds, ended - started)


def _cut_off(request: web.Request, exc: Exception) -> None:
    log.warning("a stream of %s ended early: %s", request.path, exc)
    if request.transport is not None:
        request.transport.abort()
