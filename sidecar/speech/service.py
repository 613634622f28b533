"""The parts of speech in one running program, as the routes are handed them."""

from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any, BinaryIO

from sidecar.models.registry import ModelRegistry
from sidecar.scheduling.scheduler import Scheduler
from sidecar.settings import Settings
from sidecar.speech.audio_decoder import DecodingBudget
from sidecar.speech.audio_source import AudioSource
from sidecar.speech.fair_threads import FairThreads
from sidecar.speech.voices import (
    Listener,
    Speaker,
    find_listener,
    find_speaker,
    find_voice_activity,
)

InThread = Callable[..., Awaitable[Any]]


class SpeechService:
    """Finds voices and recognisers, and has the threads that encode and decode."""

    def __init__(self, models: ModelRegistry, scheduler: Scheduler, settings: Settings) -> None:
        self.scheduler = scheduler
        self.max_speech_seconds = settings.max_speech_seconds
        self._models = models
        self._settings = settings
        self._threads = FairThreads(settings.audio_threads)
        self._budget = DecodingBudget(
            settings.max_audio_seconds, settings.max_audio_megasamples * 1e6
        )

    def speaker(self, model: str | None, voice: str | None) -> Speaker:
        """Who speaks.  Raises ModelNotFound, SpeechRefusal, UnknownVoice."""
        return find_speaker(self._models.catalog, self._settings.default_tts_model, model, voice)

    def listener(self, model: str | None) -> Listener:
        """Who listens.  Raises ModelNotFound, SpeechRefusal."""
        return find_listener(self._models.catalog, self._settings.default_asr_model, model)

    def voice_activity(self) -> str:
        """Return the model that finds speech.  Raises ModelNotFound."""
        return find_voice_activity(self._models.catalog)

    def in_threads_of(self, client: str) -> InThread:
        """Return what runs work that blocks in one of a few threads, when it is *client*'s turn."""
        return partial(self._threads.run, client)

    def audio_source(
        self, file: BinaryIO, field: str, client: str, *, strict: bool = False
    ) -> AudioSource:
        """Return *file*, to be decoded within what one file may cost, in *client*'s turns."""
        return AudioSource(file, field, self._budget, self.in_threads_of(client), strict=strict)

    def close(self) -> None:
        """End the threads, when what they do is done."""
        self._threads.close()
