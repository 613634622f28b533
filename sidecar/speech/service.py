"""The parts of speech in one running program, as the routes are handed them."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import ParamSpec, TypeVar

from sidecar.catalog.catalog import Catalog
from sidecar.scheduling.scheduler import Scheduler
from sidecar.settings import Settings
from sidecar.speech.voices import (
    Listener,
    Speaker,
    find_listener,
    find_speaker,
    find_voice_activity,
)
from sidecar.telemetry.speech_statistics import SpeechStatistics

Arguments = ParamSpec("Arguments")
Result = TypeVar("Result")


class Speech:
    """Finds voices and recognisers, and has the threads that encode and decode."""

    def __init__(self, catalog: Catalog, scheduler: Scheduler, settings: Settings) -> None:
        self.scheduler = scheduler
        self.statistics = SpeechStatistics()
        self._catalog = catalog
        self._settings = settings
        self._threads = ThreadPoolExecutor(settings.audio_threads, thread_name_prefix="audio")

    def speaker(self, model: str | None, voice: str | None) -> Speaker:
        """Who speaks.  Raises ModelNotFound, SpeechRefusal, UnknownVoice."""
        return find_speaker(self._catalog, self._settings.default_tts_model, model, voice)

    def listener(self, model: str | None) -> Listener:
        """Who listens.  Raises ModelNotFound, SpeechRefusal."""
        return find_listener(self._catalog, self._settings.default_asr_model, model)

    def voice_activity(self) -> str:
        """The model that finds speech.  Raises ModelNotFound."""
        return find_voice_activity(self._catalog)

    async def in_thread(
        self,
        work: Callable[Arguments, Result],
        *args: Arguments.args,
        **kwargs: Arguments.kwargs,
    ) -> Result:
        """Runs what blocks, in one of a few threads."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._threads, lambda: work(*args, **kwargs))

    def close(self) -> None:
        """Ends the threads, when what they do is done."""
        self._threads.shutdown(wait=False, cancel_futures=True)
