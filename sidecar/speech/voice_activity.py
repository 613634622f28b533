"""A recording's stretches of speech, found by the voice activity model as the audio comes in."""

import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from typing import Any, NamedTuple

import msgspec

from sidecar.scheduling.entry import Reply
from sidecar.scheduling.scheduler import InferenceRequest, Scheduler, SchedulingOptions
from sidecar.speech.segmentation import FRAME_SAMPLES, SAMPLE_RATE, Segmenter, Stretch

FRAME_BYTES = 2 * FRAME_SAMPLES
BLOCK_SECONDS = 960 * FRAME_SAMPLES / SAMPLE_RATE  # 30.72: whole frames


class Recording(NamedTuple):
    """What to listen to, and how soon.  *streamed*: the time-out counts for each job."""

    blocks: AsyncIterator[bytes]  # s16le mono at 16 kHz, whole frames but for the last
    voice_activity: str  # the model that finds speech
    scheduling: SchedulingOptions
    streamed: bool = False
    clock: Callable[[], float] = time.monotonic

    def request(self, model: str, pcm: bytes, parameters: dict[str, Any]) -> InferenceRequest:
        """Return a job's part for *model*."""
        scheduling = self.scheduling
        if self.streamed:
            scheduling = scheduling._replace(arrived=self.clock())
        return InferenceRequest(
            model=model, bodies=[pcm], **scheduling._asdict(), type="pcm", parameters=[parameters]
        )


class SpeechStretch(NamedTuple):
    """A stretch of speech: its first sample's time in seconds, and its samples (s16le)."""

    start: float
    pcm: bytes

    @property
    def end(self) -> float:
        """Where it ends, in seconds."""
        return self.start + len(self.pcm) / (2 * SAMPLE_RATE)


class _Activity(msgspec.Struct):
    probabilities: list[float]
    state: str


_activity = msgspec.json.Decoder(_Activity)


class SpeechFinder:
    """One recording on its way through the voice activity model."""

    def __init__(self, scheduler: Scheduler, recording: Recording) -> None:
        self._scheduler = scheduler
        self._recording = recording
        self._kept = b""  # samples that a later stretch may need
        self._first = 0  # the frame that they begin with
        self._bytes = 0
        self.replies: list[Reply] = []  # without their bodies

    @property
    def seconds(self) -> float:
        """How much of the recording was looked at."""
        return self._bytes / (2 * SAMPLE_RATE)

    async def parts(self) -> AsyncGenerator[SpeechStretch, None]:
        """Yield the stretches in order.  Raises what the scheduler raises."""
        segmenter = Segmenter()
        parameters: dict[str, Any] = {}
        async for block in self._recording.blocks:
            activity = await self._activity(block, parameters)
            self._bytes += len(block)
            parameters = {"state": activity.state}
            self._kept += block
            for stretch in segmenter.feed(activity.probabilities):
                yield self._cut_out(stretch)
            self._forget_before(segmenter.needed_from)
        for stretch in segmenter.finish():
            yield self._cut_out(stretch)

    async def _activity(self, block: bytes, parameters: dict[str, Any]) -> _Activity:
        recording = self._recording
        request = recording.request(recording.voice_activity, block, parameters)
        (reply,) = await self._scheduler.run(request)
        if not isinstance(reply, Reply):
            raise reply
        self.replies.append(msgspec.structs.replace(reply, body=b""))
        return _activity.decode(reply.body)

    def _cut_out(self, stretch: Stretch) -> SpeechStretch:
        begin, end = ((frame - self._first) * FRAME_BYTES for frame in stretch)
        return SpeechStretch(stretch.start * FRAME_SAMPLES / SAMPLE_RATE, self._kept[begin:end])

    def _forget_before(self, frame: int) -> None:
        self._kept = self._kept[(frame - self._first) * FRAME_BYTES :]
        self._first = frame
