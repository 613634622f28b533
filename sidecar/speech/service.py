"""Speech as the routes ask for it: one way to speak, and one way to listen."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from functools import partial
from typing import BinaryIO, NamedTuple

import msgspec

from sidecar.caching.answer_cache import OVERHEAD_BYTES
from sidecar.errors import InvalidInput, TextTooLong
from sidecar.models.registry import ModelRegistry
from sidecar.scheduling.entry import Reply
from sidecar.scheduling.scheduler import Scheduler, SchedulingOptions
from sidecar.schemas.synthesis import (
    MAX_TEXT,
    OutputFormat,
    Quality,
    SpokenWord,
    SynthesisParameters,
)
from sidecar.schemas.transcription import TranscriptionParameters
from sidecar.settings import Settings
from sidecar.speech.audio_decoder import DecodingBudget
from sidecar.speech.audio_encoder import EncodedAudio, StreamEncoder, encode_turn, encoding
from sidecar.speech.audio_source import AudioSource
from sidecar.speech.fair_threads import FairThreads, InThread
from sidecar.speech.joint_start import JointStart
from sidecar.speech.output_formats import FORMATS
from sidecar.speech.synthesis import (
    LeftOut,
    SpeechSynthesis,
    SynthesisCall,
    SynthesizedSpeech,
    speak,
)
from sidecar.speech.transcription import Transcription
from sidecar.speech.voice_activity import Recording
from sidecar.speech.voices import (
    Listener,
    check_cloning,
    check_language,
    find_listener,
    find_speaker,
    find_voice_activity,
)
from sidecar.telemetry.prometheus import SpeechMetrics

MOST_OPENED = 16  # encoders before their first samples: one of FLAC takes 7 MiB


class SpeechFile(NamedTuple):
    """A text as a whole file, which plays for *seconds*.

    *replies* are what spoke it, without their audio.  *speaking_seconds* is how long that took,
    *encode_seconds* how long it took to make the file.
    """

    format: OutputFormat
    data: bytes
    sample_rate: int
    seconds: float
    replies: list[Reply]
    left_out: LeftOut
    words: list[SpokenWord]
    speaking_seconds: float
    encode_seconds: float

    @property
    def size(self) -> int:
        """Bytes."""
        return len(self.data) + OVERHEAD_BYTES * (1 + len(self.replies))


class SpeechService:
    """Finds voices and recognisers, and has the threads that encode and decode."""

    def __init__(
        self,
        models: ModelRegistry,
        scheduler: Scheduler,
        settings: Settings,
        metrics: SpeechMetrics,
        joint_start: JointStart | None = None,
    ) -> None:
        self.scheduler = scheduler
        self._metrics = metrics
        self._models = models
        self._settings = settings
        self._threads = FairThreads(settings.audio_threads)
        self._joint_start = joint_start or JointStart()
        self._opened = 0  # encoders whose first samples have not come yet
        self._budget = DecodingBudget(
            settings.max_audio_seconds, settings.max_audio_megasamples * 1e6
        )

    def synthesis_call(
        self,
        text: str,
        parameters: SynthesisParameters,
        scheduling: SchedulingOptions,
        model: str | None,
    ) -> SynthesisCall:
        """Return the checked call to speak *text*, by the default model if none is named.

        Raises TextTooLong, ModelNotFound, SpeechRefusal, UnknownVoice, and InvalidInput for a
        parameter that the voice does not support.  They name the text `text`, and the model
        `model_name`.
        """
        if len(text) > MAX_TEXT:
            raise TextTooLong("text", MAX_TEXT, len(text))
        default = self._settings.default_tts_model
        speaker = find_speaker(self._models, default, model, parameters.voice)
        check_language(speaker.speech, parameters.language)
        check_cloning(speaker, parameters)
        longest = self._settings.max_speech_seconds
        return SynthesisCall(text, speaker, parameters, scheduling, longest)

    def synthesis(self, call: SynthesisCall, *, streamed: bool) -> SpeechSynthesis:
        """Return the way of the text of *call* through the voice."""
        joint_start = self._joint_start if streamed else None
        return SpeechSynthesis(self.scheduler, call, self._metrics, joint_start=joint_start)

    async def speak(self, call: SynthesisCall, name: OutputFormat, client: str) -> SpeechFile:
        """Return all that *call* asks for as a file in the format *name*.

        Raises what the scheduler raises, SpeechTooLong, and the first sentence's error.
        """
        started = time.monotonic()
        spoken = await speak(self.synthesis(call, streamed=False))
        speaking_seconds = time.monotonic() - started
        replies = [msgspec.structs.replace(reply, body=b"") for reply in spoken.replies]
        started = time.perf_counter()
        file = await self._encode(spoken, name, call.parameters.quality, client)
        return SpeechFile(
            name,
            file.data,
            file.sample_rate,
            spoken.seconds,
            replies,
            spoken.left_out,
            spoken.words,
            speaking_seconds,
            time.perf_counter() - started,
        )

    async def _encode(
        self, spoken: SynthesizedSpeech, name: OutputFormat, quality: Quality, client: str
    ) -> EncodedAudio:
        """Return the audio as a file, encoded in *client*'s turns of the threads."""
        with closing(encoding(spoken.pcm, FORMATS[name], spoken.sample_rate, quality)) as begun:
            file: EncodedAudio | None = None
            while file is None:
                file = await self._threads.run(client, encode_turn, begun)
        return file

    def listener(self, model: str | None, parameters: TranscriptionParameters) -> Listener:
        """Return the recogniser to use, the default model if none is named.

        Raises ModelNotFound, SpeechRefusal, and InvalidInput for what the model cannot do.
        """
        listener = find_listener(self._models, self._settings.default_asr_model, model)
        check_language(listener.speech, parameters.known_language)
        if parameters.task == "translate" and not listener.speech.translates:
            raise InvalidInput(f"{listener.name} does not translate", field="task")
        return listener

    def transcription(
        self,
        source: AudioSource,
        listener: Listener,
        parameters: TranscriptionParameters,
        scheduling: SchedulingOptions,
        *,
        streamed: bool = False,
    ) -> Transcription:
        """Return the transcription of *source* by the recogniser, not yet begun.

        *streamed*: the time-out counts for each job.  Raises ModelNotFound without a model that
        finds speech.
        """
        recording = Recording(source.blocks(), self.voice_activity(), scheduling, streamed)
        return Transcription(self.scheduler, recording, listener, parameters, self._metrics)

    def voice_activity(self) -> str:
        """Return the model that finds speech.  Raises ModelNotFound."""
        return find_voice_activity(self._models)

    def in_threads_of(self, client: str) -> InThread:
        """Return a function that runs blocking work in a thread when it is *client*'s turn."""
        return partial(self._threads.run, client)

    @property
    def in_first_thread(self) -> InThread:
        """What runs short work in a thread before all clients' turns."""
        return self._threads.run_first

    @asynccontextmanager
    async def opened_meanwhile(self, encoder: StreamEncoder) -> AsyncIterator[None]:
        """Open *encoder* in a thread while the context lasts: its first samples come after that.

        Where MOST_OPENED are open in this way, or no thread was free, they find it closed.
        """
        if self._opened >= MOST_OPENED:
            yield
            return
        self._opened += 1
        opening = asyncio.create_task(self._threads.run_first(encoder.open))
        try:
            yield
        finally:
            self._opened -= 1
            opening.cancel()  # an opening under way is waited for
            await asyncio.gather(opening, return_exceptions=True)

    def audio_source(
        self, file: BinaryIO, field: str, client: str, *, strict: bool = False
    ) -> AudioSource:
        """Return *file*, to be decoded within what one file may cost, in *client*'s turns."""
        return AudioSource(file, field, self._budget, self.in_threads_of(client), strict=strict)

    def close(self) -> None:
        """End the threads, when what they do is done."""
        self._threads.close()
