"""Speech to text: one queue entry per stretch of speech, the text in order.

Only a few stretches are ahead of the one that is waited for, so that memory stays small
however long the audio is.
"""

import time
from collections import deque
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing

import msgspec

from sidecar.errors import QueueFull
from sidecar.scheduling.entry import Reply
from sidecar.scheduling.scheduler import PendingRequest, Scheduler
from sidecar.schemas.transcription import Segment, TranscriptionParameters
from sidecar.speech.voice_activity import Recording, SpeechFinder, SpeechStretch
from sidecar.speech.voices import Listener
from sidecar.telemetry.prometheus import SpeechMetrics

AHEAD = 8  # stretches that are queued or in flight
TOGETHER = 4  # stretches that are waited for before any is queued

_TO_THE_HANDLER = TranscriptionParameters.__struct_fields__


class Heard(msgspec.Struct):
    """What the recogniser made of one stretch of speech.  Times count from the file's start."""

    text: str
    segments: list[Segment]
    language: str | None = None
    language_probability: float | None = None


_heard = msgspec.json.Decoder(Heard)


class Transcription:
    """One recording on its way through the recogniser."""

    def __init__(
        self,
        scheduler: Scheduler,
        recording: Recording,
        listener: Listener,
        parameters: TranscriptionParameters,
        metrics: SpeechMetrics,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._scheduler = scheduler
        self._recording = recording
        self._listener = listener
        self._parameters = parameters
        self._metrics = metrics
        self._clock = clock
        self._counted_seconds = 0.0  # of the recording, in the metrics
        self._language = parameters.known_language
        self._pending: deque[PendingRequest] = deque()
        # A requested version is the recogniser's; the default version finds the speech.
        scheduling = recording.scheduling._replace(version=None)
        self._finder = SpeechFinder(scheduler, recording._replace(scheduling=scheduling))
        self._replies: list[Reply] = []

    @property
    def replies(self) -> list[Reply]:
        """What ran it, without the bodies.

        Where nothing was said it is what looked for speech, without the version, which is that
        of another model than the recogniser.
        """
        looked = [msgspec.structs.replace(reply, version="") for reply in self._finder.replies]
        return self._replies or looked

    async def heard(self) -> AsyncGenerator[Heard, None]:
        """Yield what is said, stretch by stretch, in order.

        Raises what the scheduler raises.  Whoever stops reading closes the iterator.
        """
        pending, started = self._pending, self._clock()
        try:
            async with aclosing(self._groups()) as groups:
                async for group in groups:
                    self._count_heard()
                    for part in group:
                        while not self._queue(part):
                            yield await self._next()
                    while pending and (len(pending) >= AHEAD or pending[0].answered):
                        yield await self._next()
            while pending:
                yield await self._next()
            taken = self._clock() - started
            if self._finder.seconds:
                factor = taken / self._finder.seconds
                self._metrics.factor.of(self._listener.key).observe(factor)
        finally:
            self._count_heard()
            for request in pending:
                request.close()

    async def _groups(self) -> AsyncGenerator[list[SpeechStretch], None]:
        """Yield the stretches, in groups that are queued at once.

        In one job several are recognised in little more than the time of the longest.  While
        another job is on its way they gather in the queue; before that they are gathered here,
        unless the first one is waited for.
        """
        group: list[SpeechStretch] = []
        async with aclosing(self._finder.parts()) as parts:
            async for part in parts:
                group.append(part)
                alone = self._recording.streamed or self._detects
                if self._pending or alone or len(group) == TOGETHER:
                    yield group
                    group = []
        if group:
            yield group

    def _count_heard(self) -> None:
        """Count what of the recording has come since this was called last."""
        seconds = self._finder.seconds
        self._metrics.heard.add(self._listener.key, amount=seconds - self._counted_seconds)
        self._counted_seconds = seconds

    async def _next(self) -> Heard:
        reply = await self._pending[0].entries[0].reply
        self._pending.popleft().close()
        self._replies.append(msgspec.structs.replace(reply, body=b""))
        heard = _heard.decode(reply.body)
        if self._detects:  # the language of the recording, which does not change between stretches
            self._language = heard.language
        return heard

    @property
    def _detects(self) -> bool:
        return self._language is None and len(self._listener.speech.languages) > 1

    def _queue(self, part: SpeechStretch) -> bool:
        """Queue *part*; return False if what is pending must be answered first."""
        if self._pending and self._detects:
            return False
        parameters = {name: getattr(self._parameters, name) for name in _TO_THE_HANDLER}
        parameters |= {"language": self._language, "offset": part.start}
        try:
            request = self._scheduler.start(
                self._recording.request(self._listener.key, part.pcm, parameters)
            )
        except QueueFull:
            if not self._pending:
                raise
            return False
        self._pending.append(request)
        return True
